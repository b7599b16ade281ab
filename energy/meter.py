"""EnergyMeter: joules from V·I, watched while the circuit relaxes (DESIGN §6).

    heat of a cell   ∫ Σ H x² dt           from ∫x² of each node, which all cells on an array share
    its supply       VDD ∫ Σ A |x| dt      class-B drivers; from ∫|x|
    conveyor         VDD (I_bias T + m ∫|I| dt),      |I| = |C dv/dt + g₀γ v| ≤ C|dv/dt| + g₀γ|v|, equal at rest;
                                           ∫|dv/dt| dt is counted from element to element
    buffer           VDD I_bias T          of each node that must deliver current
    retention        VDD I_off T,   refresh  E_refresh T / (C_hold ΔV / I_off)       of each weight that is held

The power laws are the cells' own (`circuits.cells.parts`). Integrals use the quadrature of the solver's own elements
(Radau, exact to degree 2p − 2); only what reads two arrays (products, feedback that a node drives, passive
couplings) is evaluated at every point. The meter keeps a few numbers a node, no waveform.

The solver stops when it likes, at the end of a window; a machine stops when its timer says. Once at rest the power is
constant, so E(T) = E(end) + P(end)·(T − end) for any T, before or after the end, from which the machine rests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuits.cells import Meter, feedback_of, parts
from ..circuits.errors import Error
from ..circuits.technology import Technology, load_technology
from ..emulator.observers import Element
from ..emulator.plan import Plan
from .account import END_OF_RUN, Sums, driver_counts, weigh
from .integrals import Integrals
from .report import EnergyReport

Array = Any


class EnergyMeter:
    """Observer that weighs a run. Pass it in `observers`, then ask `report()`.

    technology: supply, bias currents, converters, switches (a Technology or its name).
    dac_bits, adc_bits: of the converters that write inputs and read outputs; None: the technology's own.
    """

    keeps = ("_of", "_rest", "duration")

    def __init__(
        self, technology: Technology | str = "cmos45", *, dac_bits: int | None = None, adc_bits: int | None = None
    ) -> None:
        found = load_technology(technology) if isinstance(technology, str) else technology
        self.technology = replace(found, converter=found.converter.of_bits(dac_bits, adc_bits))
        self.duration = 0.0

    # --- observing ------------------------------------------------------------------------------------

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        """Work out every cell's power law; nothing of it changes in the run."""
        self._plan, circuit, backend = plan, plan.circuit, plan.backend
        self._batch = max((len(v) for v in start.values()), default=1)
        self._laws: dict[str, Meter] = {name: cell.meter(circuit) for name, cell in parts(circuit).items()}
        self._point_laws = {name: backend.place(law.rest) for name, law in self._laws.items() if law.rest is not None}
        self._rest = {name: np.zeros((3, self._batch)) for name in self._point_laws}
        self._of = {
            name: Integrals.zero(backend.xp, backend.dtype, (self._batch, *node.shape), start.get(name))
            for name, node in circuit.arrays.items()
        }
        self._start = self._last()
        self._inputs = _first_readers(plan)
        self.duration = 0.0

    def element(self, element: Element) -> None:
        """Add one accepted element of one group."""
        backend = self._plan.backend
        weights = backend.xp.asarray(element.weights, dtype=backend.dtype)
        for stage in element.group.stages:
            self._add(stage.name, element, weights)
            for part in (*(term.name for term in stage.terms), feedback_of(stage.name)):
                if part in self._rest:
                    self._add_rest(part, element, weights)
        for name in self._inputs.get(element.group.stages[0].name, ()):
            self._add(name, element, weights)

    def _add(self, name: str, element: Element, weights: Array) -> None:
        x = element.values[name]
        self._of[name].add(weights, x, x[element.points - 1 :: element.points])

    def _add_rest(self, part: str, element: Element, weights: Array) -> None:
        for k, value in enumerate(self._point_laws[part](element.flat)):
            if not isinstance(value, float):
                joules = weights @ value.reshape(len(weights), -1)
                self._rest[part][k] += self._plan.backend.host(joules)

    def window(self, time: float) -> None:
        """All groups have reached `time`."""
        self.duration = time

    # --- the account ----------------------------------------------------------------------------------

    def report(self, tokens: int | None = None, *, until: float | None = None, basis: str = "") -> EnergyReport:
        """What the machine costs until it is read.

        tokens: positions answered (default: rows of the circuit's output). until [s]: when it is read; the machine
        must be at rest between then and the end of the run, as it is from its settling time on. None: the end of the
        run, wherever the solver left off. basis: what `until` is, in words for the report.

        Raises Error if `until` is no time.
        """
        if until is not None and not (math.isfinite(until) and until >= 0):
            raise Error(f"until is {until!r} s: give the time at which the machine is read, such as its settling time")
        basis = basis or (END_OF_RUN if until is None else "as asked")
        sums = self._sums(self.duration if until is None else until)
        return weigh(self._plan.circuit, self.technology, self._laws, sums, tokens=tokens, basis=basis)

    def _sums(self, until: float) -> Sums:
        """The integrals up to `until`: to the end of the run as watched, from there (or back) at rest."""
        more, last = until - self.duration, self._last()
        square, magnitude, travel = (
            {name: np.asarray(self._plan.backend.host(getattr(of, kind)), float) for name, of in self._of.items()}
            for kind in ("square", "magnitude", "travel")
        )
        rest = {}
        for part, sums in self._rest.items():
            law = self._laws[part].rest
            assert law is not None
            rest[part] = sums + more * np.stack([np.broadcast_to(power, self._batch) for power in law(last)])
        for name, x in last.items():
            square[name] = square[name] + more * x * x
            magnitude[name] = magnitude[name] + more * abs(x)
        return Sums(until, self._batch, square, magnitude, travel, rest, self._start, last)

    def _last(self) -> dict[str, Array]:
        """Where every array stands, logical, (batch, *shape)."""
        host = self._plan.backend.host
        return {
            name: np.broadcast_to(host(of.last), (self._batch, *of.last.shape[1:])).astype(float)
            for name, of in self._of.items()
        }


def _first_readers(plan: Plan) -> dict[str, list[str]]:
    """Inputs by the first stage of the group that is the first to read them: there they are integrated."""
    readers: dict[str, list[str]] = {}
    seen: set[str] = set()
    needs = plan.circuit.all_needs()
    for group in plan.groups:
        for name in (name for stage in group.stages for name in sorted(needs[stage.name])):
            if plan.circuit.arrays[name].clamped and name not in seen:
                seen.add(name)
                readers.setdefault(group.stages[0].name, []).append(name)
    return readers


__all__ = ["EnergyMeter", "EnergyReport", "driver_counts"]
