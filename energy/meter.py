"""EnergyMeter: joules from V·I, watched while the circuit relaxes (DESIGN §6).

    heat of a cell   ∫ Σ H x² dt           from ∫x² of each node, which all cells on an array share
    its supply       VDD ∫ Σ A |x| dt      class-B drivers; from ∫|x|
    conveyor         VDD (I_bias T + m ∫|I| dt),      |I| = |C dv/dt + g₀γ v| ≤ C|dv/dt| + g₀γ|v|, equal at rest;
                                           ∫|dv/dt| dt is counted from window to window
    buffer           VDD I_bias T          of each node that must deliver current
    retention        VDD I_off T,   refresh  E_refresh T / (C_hold ΔV / I_off)       of each weight that is held

The power laws are the cells' own (`circuits.cells.parts`). Integrals use the quadrature of the solver's own elements
(Radau, exact to degree 2p − 2); only what reads two arrays (products, feedback that a node drives, passive
couplings) is evaluated at every point. The meter keeps a few numbers a node, no waveform.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits.cells import Meter, NodeArray, Term, feedback_of, parts
from ..circuits.circuit import Circuit
from ..circuits.technology import Technology, load_technology
from ..emulator.observers import Element
from ..emulator.plan import Group, Plan
from .report import EnergyReport, Entry

Array = Any


@dataclass
class Integrals:
    """Of one array, per node, (batch, *shape), logical units and seconds.

    square ∫x², magnitude ∫|x|; travel Σ|Δx| over windows; begun, last: x at the present window's start and the latest
    element's end.
    """

    square: Array
    magnitude: Array
    travel: Array
    begun: Array
    last: Array

    @classmethod
    def zero(cls, xp: Any, shape: tuple[int, ...], start: Array) -> Integrals:
        return cls(xp.zeros(shape), xp.zeros(shape), xp.zeros(shape), start, start)

    def add(self, weights: Array, x: Array) -> None:
        """One element: weights (p,) in seconds, x (p, batch, *shape)."""
        size = abs(x)
        self.magnitude += _weighted(weights, size)
        size *= size
        self.square += _weighted(weights, size)
        self.last = x[-1]

    def end_window(self) -> None:
        """A window is over: count the way from where it began."""
        self.travel += abs(self.last - self.begun)
        self.begun = self.last.copy()


def _weighted(weights: Array, x: Array) -> Array:
    return (weights @ x.reshape(len(weights), -1)).reshape(x.shape[1:])


class EnergyMeter:
    """Observer that weighs a run. Pass it in `observers`, then ask `report()`.

    technology: supply, bias currents, converters, switches (a Technology or its name).
    """

    def __init__(self, technology: Technology | str = "cmos45") -> None:
        self.technology = load_technology(technology) if isinstance(technology, str) else technology
        self.duration = 0.0

    # --- observing ------------------------------------------------------------------------------------

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        """Work out every cell's power law; nothing of it changes in the run."""
        self._plan, circuit = plan, plan.circuit
        self._batch = max((len(v) for v in start.values()), default=1)
        self._laws: dict[str, Meter] = {name: cell.meter(circuit) for name, cell in parts(circuit).items()}
        self._point_laws = {
            name: plan.backend.place(law.rest) for name, law in self._laws.items() if law.rest is not None
        }
        self._rest = {name: np.zeros((3, self._batch)) for name in self._point_laws}
        self._of = {name: self._zero(node, start.get(name)) for name, node in circuit.arrays.items()}
        self._before = self._stored()
        self._inputs = _first_readers(plan)
        self.duration = 0.0

    def _zero(self, node: NodeArray, start: Array | None) -> Integrals:
        xp, shape = self._plan.backend.xp, (self._batch, *node.shape)
        return Integrals.zero(xp, shape, xp.zeros(shape) if start is None else start.copy())

    def element(self, element: Element) -> None:
        """Add one accepted element of one group."""
        backend = self._plan.backend
        weights = backend.xp.asarray(element.weights, dtype=backend.dtype)
        for stage in element.group.stages:
            self._of[stage.name].add(weights, element.values[stage.name])
            for part in (*(term.name for term in stage.terms), feedback_of(stage.name)):
                if part in self._rest:
                    self._add_rest(part, element, weights)
        for name in self._inputs.get(element.group.stages[0].name, ()):
            self._of[name].add(weights, element.values[name])

    def _add_rest(self, name: str, element: Element, weights: Array) -> None:
        for k, value in enumerate(self._point_laws[name](element.flat)):
            if not isinstance(value, float):
                joules = weights @ value.reshape(len(weights), -1)
                self._rest[name][k] += self._plan.backend.host(joules)

    def window(self, time: float) -> None:
        """All groups have reached `time`."""
        self.duration = time
        for stage in self._plan.stages:
            self._of[stage.name].end_window()

    # --- the account ----------------------------------------------------------------------------------

    def report(self, tokens: int | None = None) -> EnergyReport:
        """What the run has cost so far. tokens: positions answered (default: rows of the circuit's output)."""
        circuit, tech = self._plan.circuit, self.technology
        account = _Account(self._batch)
        delivered = np.zeros(self._batch)
        for term in circuit.terms.values():
            delivered += self._weigh_term(account, term)
            self._weigh_retention(account, term)
        for node in circuit.arrays.values():
            self._weigh_node(account, node)
        self._weigh_drivers(account)
        self._weigh_converters(account)
        weights = sum(term.weights(circuit) for term in circuit.terms.values())
        return EnergyReport(
            circuit=circuit.name,
            technology=f"{tech.name} {tech.corner}",
            duration=self.duration,
            tokens=tokens or _rows(circuit),
            entries=tuple(account),
            delivered=delivered,
            stored_before=self._before,
            stored_after=self._stored(),
            weights=weights,
            programming=weights * tech.switch.refresh_energy,
            passive=not any(term.conveyed for term in circuit.terms.values()),
        )

    def _total(self, name: str, kind: str, weight: Array) -> Array:
        """Σ over nodes of an integral × weight (array's shape or broadcastable), (batch,) in float64."""
        integral = self._plan.backend.host(getattr(self._of[name], kind))
        weight = np.broadcast_to(weight, integral.shape[1:]).astype(float)
        return integral.reshape(self._batch, -1) @ weight.reshape(-1)

    def _sum(self, weights: Mapping[str, Array], kind: str) -> Array:
        parts = (self._total(name, kind, weight) for name, weight in weights.items())
        return sum(parts, start=np.zeros(self._batch))

    def _integrated(self, part: str) -> tuple[Array, Array, Array]:
        """A part's heat [J], energy delivered to it [J] and charge it takes [C] beside its standing current."""
        law = self._laws[part]
        heat, delivered, coulombs = self._rest.get(part, np.zeros((3, self._batch)))
        return (
            heat + self._sum(law.heat, "square"),
            delivered + self._sum(law.delivered, "square"),
            coulombs + self._sum(law.supply, "magnitude"),
        )

    def _weigh_term(self, account: _Account, term: Term) -> Array:
        """Heat and supply of one term; returns what its drivers delivered [J]."""
        heat, delivered, coulombs = self._integrated(term.name)
        supply, standing = self.technology, self._laws[term.name].standing * self.duration
        drawn = supply.supply.vdd * (supply.buffer.class_b_factor * coulombs + standing)
        account.add(term.kind, self._layer(term), drawn=drawn, dissipated=heat)
        return delivered

    def _weigh_retention(self, account: _Account, term: Term) -> None:
        held, tech = term.weights(self._plan.circuit), self.technology
        if not held:
            return
        leak = held * tech.switch.off_current * tech.supply.vdd * self.duration
        refresh = held * tech.switch.refresh_energy * self.duration / tech.switch.refresh_interval
        account.add("retention", self._layer(term), drawn=leak)
        account.add("refresh", self._layer(term), drawn=refresh)

    def _weigh_node(self, account: _Account, node: NodeArray) -> None:
        """Feedback heat, and the conveyor's bias and mirrored current."""
        if node.clamped:
            return
        heat, _, coulombs = self._integrated(feedback_of(node.name))
        account.add("feedback", node.layer, dissipated=heat)
        if any(term.conveyed for term in self._plan.circuit.into(node.name)):
            unit = self._plan.circuit.units(node.name)
            coulombs = coulombs + self._total(node.name, "travel", node.capacitance * unit)
            conveyor = self.technology.conveyor
            standing = conveyor.bias_current * node.count * self.duration
            drawn = self.technology.supply.vdd * (standing + conveyor.mirror_copies * coulombs)
            account.add("conveyors", node.layer, drawn=drawn)

    def _weigh_drivers(self, account: _Account) -> None:
        """Class-A bias of the buffers."""
        bias = self.technology.buffer.bias_current * self.technology.supply.vdd * self.duration
        for name, count in driver_counts(self._plan.circuit).items():
            node = self._plan.circuit.arrays[name]
            account.add("input drivers" if node.clamped else "buffers", node.layer, drawn=bias * count)

    def _weigh_converters(self, account: _Account) -> None:
        """One DAC conversion for each input node, one ADC conversion for each output node."""
        circuit, converter = self._plan.circuit, self.technology.converter
        for node in circuit.inputs():
            account.add("converters", node.layer, "load", drawn=node.count * converter.dac_energy)
        if circuit.output is not None:
            node = circuit.arrays[circuit.output]
            account.add("converters", node.layer, "read", drawn=node.count * converter.adc_energy)

    def _layer(self, term: Term) -> str:
        return self._plan.circuit.arrays[term.target].layer

    def _stored(self) -> Array:
        """½CV² on all free nodes [J], (batch,)."""
        total = np.zeros(self._batch)
        for node in self._plan.circuit.arrays.values():
            if not node.clamped:
                volts = self._plan.backend.host(self._of[node.name].last) * self._plan.circuit.units(node.name)
                total += (0.5 * node.capacitance * volts.astype(float) ** 2).reshape(self._batch, -1).sum(axis=1)
        return total


def driver_counts(circuit: Circuit) -> dict[str, int]:
    """Nodes of each array that deliver current to couplings or products, so need a buffer."""
    masks: dict[str, Array] = {}
    for term in circuit.terms.values():
        for view in term.drivers():
            mask = masks.setdefault(view.array, np.zeros((1, *circuit.arrays[view.array].shape), bool))
            view.of(mask)[...] = True
    exists = {name: circuit.arrays[name].exists for name in masks}
    return {
        name: int(np.count_nonzero(mask if exists[name] is None else mask & exists[name]))
        for name, mask in masks.items()
    }


def _first_readers(plan: Plan) -> dict[str, list[str]]:
    """Inputs by the first stage of the group that is the first to read them: there they are integrated."""
    readers: dict[str, list[str]] = {}
    seen: set[str] = set()
    for group in plan.groups:
        for name in _reads(plan.circuit, group):
            if plan.circuit.arrays[name].clamped and name not in seen:
                seen.add(name)
                readers.setdefault(group.stages[0].name, []).append(name)
    return readers


def _reads(circuit: Circuit, group: Group) -> Iterator[str]:
    for stage in group.stages:
        yield from sorted(circuit.needs(stage.name))


def _rows(circuit: Circuit) -> int:
    """Positions of the output array; 1 without one."""
    shape = circuit.arrays[circuit.output].shape if circuit.output is not None else ()
    return int(np.prod(shape[:-1])) if len(shape) > 1 else 1


class _Account:
    """Entries by (part, layer, phase), in order of first mention."""

    def __init__(self, batch: int) -> None:
        self._lines: dict[tuple[str, str, str], Array] = {}
        self._batch = batch

    def add(self, part: str, layer: str, phase: str = "anneal", *, drawn: Array = 0.0, dissipated: Array = 0.0) -> None:
        line = self._lines.setdefault((part, layer, phase), np.zeros((2, self._batch)))
        line[0] += drawn
        line[1] += dissipated

    def __iter__(self) -> Iterator[Entry]:
        for (part, layer, phase), (drawn, dissipated) in self._lines.items():
            yield Entry(part, layer, phase, drawn, dissipated)


__all__ = ["EnergyMeter", "EnergyReport", "driver_counts"]
