"""EnergyMeter: joules from V·I, watched while the circuit relaxes (DESIGN §6).

    heat of a cell   ∫ Σ H x² dt           from ∫x² of each node, which all cells on an array share
    its supply       VDD ∫ Σ A |x| dt      class-B drivers; from ∫|x|
    conveyor         VDD (I_bias T + m ∫|I| dt),      |I| = |C dv/dt + g₀γ v| ≤ C|dv/dt| + g₀γ|v|, equal at rest;
                                           ∫|dv/dt| dt is counted from element to element; I_bias ∝ 1/r_x
    buffer           VDD (I_bias T + C_row ∫|dv/dt| dt)       of each node that must deliver current
    retention        VDD I_off T,   refresh  E_refresh T / (C_hold ΔV / I_off)       of each weight that is held

The power laws are the cells' own (`circuits.cells.parts`). Integrals use the quadrature of the solver's own elements
(Radau, exact to degree 2p − 2); only what reads two arrays (products, feedback that a node drives, passive
couplings) is evaluated at every point. The meter keeps sums over nodes that cost the same, no waveform.

The solver stops when it likes, at the end of a window; a machine stops when its timer says. Once at rest the power is
constant, so E(T) = E(end) + P(end)·(T − end) for any T, before or after the end, from which the machine rests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.errors import Error
from ..circuits.technology import Technology, as_technology
from ..circuits.units import engineering
from ..circuits.words import counted
from ..emulator.observers import Element
from ..emulator.plan import Plan
from .account import END_OF_RUN, weigh
from .design import Design
from .fused import tally
from .integrals import Tally
from .report import EnergyReport

Array = Any


class EnergyMeter:
    """Observer that weighs a run. Pass it in `observers`, then ask `report()`.

    technology: supply, bias currents, converters, switches (a Technology or its name).
    dac_bits, adc_bits, weight_bits: of what writes inputs, reads outputs, writes weights; None: the technology's own.
    output_class: "AB" or "A", of buffers and conveyors; read: outputs of "all" positions, of
    the "last" or of "none"; weight_hold: switches of the weights, "plain" or "low-leakage" (`design.py`).
    """

    keeps = ("state", "duration")

    def __init__(
        self,
        technology: Technology | str = "cmos45",
        *,
        dac_bits: int | None = None,
        adc_bits: int | None = None,
        weight_bits: int | None = None,
        output_class: str = "AB",
        read: str = "all",
        weight_hold: str = "plain",
    ) -> None:
        found = as_technology(technology)
        self.design = Design.of(found, output_class, dac_bits, adc_bits, weight_bits, read, weight_hold)
        self.duration = 0.0
        self.state: Tally | None = None  # what was weighed so far; another after runs of another plan

    def __repr__(self) -> str:
        technology = self.design.technology
        weighed = "nothing weighed"
        if self.state is not None:
            weighed = f"{self.state.plan.circuit.name!r}, {engineering(self.duration, 's')} weighed"
        return f"{type(self).__name__}({technology.name} {technology.corner}, {weighed})"

    # --- observing ------------------------------------------------------------------------------------

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        """Every cell's power law is worked out once a plan; nothing of it changes in a run."""
        batch = max((len(v) for v in start.values()), default=1)
        if self.state is None or self.state.plan is not plan or self.state.batch != batch:
            self.state = tally(plan, batch)
        self.state.ready()
        self.duration = 0.0
        self.restart(start)

    def restart(self, start: Mapping[str, Array]) -> None:
        """Nothing weighed yet; `start` as in `begin`."""
        self._begun().restart(start)

    def element(self, element: Element) -> None:
        """Add accepted elements of one group."""
        self._begun().element(element)

    def window(self, time: float) -> None:
        """All groups have reached `time`."""
        self.duration = time

    # --- the account ----------------------------------------------------------------------------------

    def report(
        self,
        tokens: int | None = None,
        *,
        until: float | Array | None = None,
        basis: str = "",
        waits: Mapping[str, float] | None = None,
    ) -> EnergyReport:
        """What the machine costs until it is read.

        tokens: positions answered (default: rows of the circuit's output). until [s]: when it is read; the machine
        must be at rest between then and the end of the run, as it is from its settling time on. One number, or one of
        each sample, as `run.settling_time`: all are read together, after the latest. None: the end of the run, wherever
        the solver left off. basis: what `until` is, in words for the report; waits [s]: that of every
        basis known, for `EnergyReport.stages`.

        Raises Error if `until` is no time, or no run was weighed.
        """
        basis = basis or (END_OF_RUN if until is None else "as asked")
        state = self._begun()
        sums = state.sums(self.duration, self.duration if until is None else _latest(until, state.batch))
        circuit, known = state.plan.circuit, waits or {}
        return weigh(circuit, self.design, state.laws, sums, tokens=tokens, basis=basis, waits=known)

    def _begun(self) -> Tally:
        if self.state is None:
            raise Error("nothing was weighed: pass the meter to a run, observers=[meter]")
        return self.state


def _latest(until: Any, batch: int) -> float:
    """When the last of so many samples is read [s]."""
    fix = "give seconds at which a machine at rest is read, such as run.settling_time of one that has settled"
    if not isinstance(until, np.ndarray | list | tuple):
        return checks.number("until", until, fix, least=0)
    times = checks.values("until", until, fix)
    if times.size not in (1, batch):
        raise Error(f"until has shape {times.shape}: {fix}, one number or one of each of {counted(batch, 'sample')}")
    return checks.number("until", float(times.max()), fix, least=0)


__all__ = ["EnergyMeter", "EnergyReport"]
