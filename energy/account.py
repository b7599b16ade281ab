"""From integrals to joules: who drew what from the supply, and what became heat, by part, layer and phase.

    reset    a switch of one coupling finger on each node discharges it for RESET time constants C/G_on of the slowest;
             ½CV² of what a run leaves there turns to heat, and the supply charges the switches' gates, C_gate VDD²
    load     the DACs write the inputs, so many at a time, and they are clamped
    anneal   from letting go to the time at which the machine is read
    read     the ADCs convert the outputs, so many at a time

Nodes and drivers have no current outside the anneal; outputs are sampled at its end and held. Weights leak all along,
and the controller waits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.cells import Meter, NodeArray, Term, feedback_of
from ..circuits.circuit import Circuit
from ..circuits.loads import buffers, rows
from ..circuits.technology import Technology
from ..circuits.wires import row_capacitance
from .design import Design
from .report import EnergyReport, Entry

Array = Any
END_OF_RUN = "end of the run"
RESET = 7.0  # time constants: e⁻⁷ is less than 2⁻¹⁰ of what a node held


@dataclass(frozen=True)
class Sums:
    """Integrals over a run of `seconds`, by array (batch, *shape), logical units.

    square ∫x², magnitude ∫|x|, travel ∫|dx|: of nodes that cost the same in the first of them (`columns.py`). rest:
    joules of heat, joules delivered and coulombs (3, batch) of the parts whose law has a `rest`; start, last: where the
    arrays began and where they ended.
    """

    seconds: float
    batch: int
    square: Mapping[str, Array]
    magnitude: Mapping[str, Array]
    travel: Mapping[str, Array]
    rest: Mapping[str, Array]
    start: Mapping[str, Array]
    last: Mapping[str, Array]


def weigh(
    circuit: Circuit,
    design: Design,
    laws: Mapping[str, Meter],
    sums: Sums,
    *,
    tokens: int | None,
    basis: str,
    waits: Mapping[str, float],
) -> EnergyReport:
    """The account of a run. laws: power law by part; basis: what the seconds of the run are; waits: by other bases."""
    technology, account = design.technology, _Account(circuit, design, laws, sums)
    delivered = np.zeros(sums.batch)
    for term in circuit.terms.values():
        if term.name in laws:
            delivered += account.weigh_term(term)
        account.weigh_retention(term)
        account.weigh_controller(term)
    for node in account.free:
        account.weigh_node(node)
        if not node.stored:
            account.weigh_reset(node)
    account.weigh_drivers()
    account.weigh_converters()
    weights = sum(term.weights(circuit) for term in circuit.terms.values())
    count, each = _rows(circuit), _each(circuit, tokens)
    return EnergyReport(
        circuit=circuit.name,
        technology=f"{technology.name} {technology.corner}",
        duration=float(sums.seconds),
        basis=basis,
        phases=account.phases,
        tokens=count if tokens is None else checks.whole("tokens", tokens, 1, 10**9),
        entries=tuple(account),
        delivered=delivered,
        stored_before=account.stored(sums.start),
        stored_after=account.stored(sums.last),
        weights=weights,
        programming=weights * technology.switch.refresh_energy,
        programming_time=conversions(weights, technology.converter.dac_count) * technology.converter.dac_time,
        passive=not any(term.conveyed for term in circuit.terms.values()),
        waits=dict(waits),
        read=0 if circuit.output is None else {"all": count, "last": 1, "none": 0}[design.read],
        each=each,
        assumed=design.assumptions(weights, account.least_resistance, _outputs_read(circuit, design.read, each)),
    )


class _Account:
    """Entries by (part, layer, phase), in order of first mention."""

    def __init__(self, circuit: Circuit, design: Design, laws: Mapping[str, Meter], sums: Sums) -> None:
        self.circuit, self.design, self.laws, self.sums = circuit, design, laws, sums
        self.technology = design.technology
        self.least_resistance = self.technology.conveyor.input_resistance
        self._lines: dict[tuple[str, str, str], Array] = {}
        self.free = [node for node in circuit.arrays.values() if not node.clamped and not node.is_inner]
        self.output = None if circuit.output is None else circuit.arrays[circuit.output]
        self.phases = self._phases()

    def _phases(self) -> dict[str, float]:
        """Seconds of each phase of a run, in order."""
        tech, converter = self.technology, self.technology.converter
        slowest = max((float(np.max(node.capacitance)) for node in self.free), default=0.0)
        return {
            "reset": float(RESET * slowest / tech.device.on_conductance),
            "load": conversions(sum(n.count for n in self._written()), converter.dac_count) * converter.dac_time,
            "anneal": float(self.sums.seconds),
            "read": conversions(self._outputs(), converter.adc_count) * converter.adc_time,
        }

    def add(self, part: str, layer: str, phase: str = "anneal", *, drawn: Array = 0.0, dissipated: Array = 0.0) -> None:
        line = self._lines.setdefault((part, layer, phase), np.zeros((2, self.sums.batch)))
        line[0] += drawn
        line[1] += dissipated

    def __iter__(self) -> Iterator[Entry]:
        for (part, layer, phase), (drawn, dissipated) in self._lines.items():
            yield Entry(part, layer, phase, drawn, dissipated)

    def weigh_term(self, term: Term) -> Array:
        """Heat and supply of one term; returns what its drivers delivered [J]."""
        heat, delivered, coulombs = self._integrated(term.name)
        if self.design.output_class == "A" and term.drivers():
            coulombs = self._at_the_rails(term.name)
        tech, standing = self.technology, self.laws[term.name].standing * self.sums.seconds
        drawn = tech.supply.vdd * (tech.buffer.class_b_factor * coulombs + standing)
        self.add(term.kind, self._layer(term), drawn=drawn, dissipated=heat)
        self._weigh_common_mode(term)
        return delivered

    def _weigh_common_mode(self, term: Term) -> None:
        """What even orders of its devices make conveyors draw, and drivers save."""
        tech = self.technology
        for name, weight in self.laws[term.name].common.items():
            coulombs, source = _total(self.sums.square[name], weight) * tech.supply.vdd, self.circuit.arrays[name]
            self.add("conveyors", self._layer(term), drawn=tech.conveyor.common_mode * coulombs)
            self.add(_drivers_of(source), source.layer, drawn=-tech.buffer.common_mode * coulombs)

    def weigh_retention(self, term: Term) -> None:
        held, tech = term.weights(self.circuit), self.technology
        if not held:
            return
        leak = held * tech.switch.off_current * tech.supply.vdd
        refresh = held * tech.switch.refresh_energy / tech.switch.refresh_interval
        for phase, seconds in self.phases.items():
            self.add("retention", self._layer(term), phase, drawn=leak * seconds)
            self.add("refresh", self._layer(term), phase, drawn=refresh * seconds)

    def weigh_controller(self, term: Term) -> None:
        """Power for each weight that is not a copy: rows of an array are copies of one another."""
        controller, shape = self.technology.controller, self.circuit.arrays[term.target].shape
        watts = term.weights(self.circuit) / math.prod(shape[:-1]) * controller.power_per_coupling * controller.scale
        for phase, seconds in self.phases.items() if watts else ():
            self.add("controller", self._layer(term), phase, drawn=watts * seconds)

    def weigh_node(self, node: NodeArray) -> None:
        """Feedback heat, and the conveyor's bias and mirrored current."""
        heat, _, coulombs = self._integrated(feedback_of(node.name))
        self.add("feedback", node.layer, dissipated=heat)
        if any(term.conveyed for term in self.circuit.into(node.name)):
            coulombs = coulombs + _total(self.sums.travel[node.name], charge(self.circuit, node))
            if self.design.output_class == "A":
                coulombs = self._at_the_rails(feedback_of(node.name))
            standing, copies = self._conveyor_bias(node), self.technology.conveyor.mirror_copies
            drawn = self.technology.supply.vdd * (standing * self.sums.seconds + copies * coulombs)
            self.add("conveyors", node.layer, drawn=drawn)

    def _conveyor_bias(self, node: NodeArray) -> float:
        """Amperes of all conveyors of an array: transconductance, so 1/r_x, goes with the bias."""
        conveyor, into = self.technology.conveyor, self.circuit.into(node.name)
        load = sum((self.laws[term.name].load for term in into), start=np.zeros(node.shape))
        ohms = np.asarray(node.conveyor_resistance(conveyor, load), float)[node.present]
        self.least_resistance = min(self.least_resistance, float(ohms.min(initial=np.inf)))
        return float((conveyor.bias_current * conveyor.input_resistance / ohms).sum())

    def _at_the_rails(self, part: str) -> float:
        """Coulombs that a part would take with every node at its rail all along, beside its standing current."""
        law = self.laws[part]
        return float((law(self._rails).supply - law.standing).sum()) * self.sums.seconds

    @cached_property
    def _rails(self) -> dict[str, Array]:
        """Largest logical values that nodes reach, (1, *shape)."""
        return {
            name: np.broadcast_to(node.full_scale if node.rail is None else node.rail, (1, *node.shape))
            / self.circuit.units(name)
            for name, node in self.circuit.arrays.items()
        }

    def weigh_reset(self, node: NodeArray) -> None:
        tech = self.technology
        gates = node.count * tech.wire.gate_capacitance * tech.supply.vdd**2
        self.add("reset switches", node.layer, "reset", drawn=gates, dissipated=self._stored(node, self.sums.last))

    def weigh_drivers(self) -> None:
        """Bias of the buffers, and in class AB what charges the wire of their rows."""
        tech, (units, _) = self.technology, rows(self.circuit)
        bias = tech.buffer.bias_current * tech.supply.vdd * self.sums.seconds
        for name, count in driver_counts(self.circuit, tech).items():
            node, volts = self.circuit.arrays[name], self.circuit.units(name)
            self.add(_drivers_of(node), node.layer, drawn=bias * count)
            if self.design.output_class == "AB":
                phase, way = ("load", abs(self.sums.last[name])) if node.clamped else ("anneal", self.sums.travel[name])
                coulombs = _total(way, row_capacitance(tech, units[name]) * volts)
                drawn = tech.supply.vdd * tech.buffer.class_b_factor * coulombs
                self.add(_drivers_of(node), node.layer, phase, drawn=drawn)

    def weigh_converters(self) -> None:
        """One DAC conversion for each input node, one ADC conversion for each output node."""
        converter = self.technology.converter
        for node in self._written():
            self.add("converters", node.layer, "load", drawn=node.count * converter.dac_energy)
        if self.output is not None:
            self.add("converters", self.output.layer, "read", drawn=self._outputs() * converter.adc_energy)

    def _outputs(self) -> int:
        """Nodes that ADCs read."""
        if self.output is None or self.design.read == "none":
            return 0
        if self.design.read == "all":
            return self.output.count
        present = self.output.present
        return int(np.count_nonzero(present.reshape(-1, present.shape[-1])[-1]))

    def _written(self) -> list[NodeArray]:
        """Inputs that DACs write."""
        return [node for node in self.circuit.inputs() if not node.stored]

    def stored(self, values: Mapping[str, Array]) -> Array:
        """½CV² on all free nodes [J], (batch,)."""
        return sum((self._stored(node, values) for node in self.free), start=np.zeros(self.sums.batch))

    def _stored(self, node: NodeArray, values: Mapping[str, Array]) -> Array:
        volts = values[node.name] * self.circuit.units(node.name)
        return _total(volts * volts, 0.5 * node.capacitance)

    def _integrated(self, part: str) -> tuple[Array, Array, Array]:
        """A part's heat [J], energy delivered to it [J] and charge it takes [C] beside its standing current."""
        law, sums = self.laws[part], self.sums
        heat, delivered, coulombs = sums.rest.get(part, np.zeros((3, sums.batch)))
        return (
            heat + self._sum(law.heat, sums.square),
            delivered + self._sum(law.delivered, sums.square),
            coulombs + self._sum(law.supply, sums.magnitude),
        )

    def _sum(self, weights: Mapping[str, Array], integrals: Mapping[str, Array]) -> Array:
        each = (_total(integrals[name], weight) for name, weight in weights.items())
        return sum(each, start=np.zeros(self.sums.batch))

    def _layer(self, term: Term) -> str:
        return self.circuit.arrays[term.target].layer


def conversions(values: int, converters: float) -> int:
    """Turns that so many converters side by side take for so many values."""
    return math.ceil(values / converters)


def charge(circuit: Circuit, node: NodeArray) -> Array:
    """C U [C] that a logical unit is on each node of an array."""
    return node.capacitance * circuit.units(node.name)


def _drivers_of(node: NodeArray) -> str:
    """What drives couplings for a node: a buffer, of an input the driver that is there anyhow."""
    return "input drivers" if node.clamped else "buffers"


def _total(integral: Array, weight: Array) -> Array:
    """Σ over nodes of an integral (batch, *shape) × weight (broadcastable to the shape), (batch,)."""
    return integral.reshape(len(integral), -1) @ np.broadcast_to(weight, integral.shape[1:]).astype(float).reshape(-1)


def driver_counts(circuit: Circuit, technology: Technology) -> dict[str, int]:
    """Buffers of each array: for each node that delivers current to couplings or products one, or one a tile of its
    row."""
    masks: dict[str, Array] = {}
    for term in circuit.terms.values():
        for view in term.drivers():
            mask = masks.setdefault(view.array, np.zeros((1, *circuit.arrays[view.array].shape), bool))
            view.of(mask)[...] = True
    units, _ = rows(circuit)
    each = {name: np.maximum(1, buffers(units[name], technology)) for name in masks}
    return {name: int(np.sum(each[name] * (mask & circuit.arrays[name].present))) for name, mask in masks.items()}


def _rows(circuit: Circuit) -> int:
    """Positions of the output array; 1 without one."""
    shape = circuit.arrays[circuit.output].shape if circuit.output is not None else ()
    return int(np.prod(shape[:-1])) if len(shape) > 1 else 1


def _each(circuit: Circuit, tokens: int | None) -> str:
    """What a row of the output is called; "" where there is one, and nobody says that it is a token."""
    if tokens is not None or "tokens" in circuit.notes:
        return "token"
    return "row" if _rows(circuit) > 1 else ""


def _outputs_read(circuit: Circuit, read: str, each: str) -> str:
    """Which outputs are converted. read: as a `Design` has it."""
    if circuit.output is None:
        return "no outputs read, as the circuit names none (circuit.output)"
    of = {"token": "position"}.get(each, each)
    some = {"all": f" of every {of}", "last": f" of the last {of}"}
    return "no outputs read" if read == "none" else f"outputs{some[read] if of else ''} read"
