"""Node unit in transistors: a capacitor 2C on each side, a feedback device between the sides, the conveyors.

    C dv/dt = (i(p) − i(n))/2 − h v − F(V_g, v),        F(V, v) = f from V_CM + v/2 into V_CM − v/2

C and g are the behavioural node's, between its sides: 2C on each, in series. v has kT/C, and ½ C v² is stored.
A device between the sides is odd in v by itself: what makes a device to V_CM even in v is that one of its ends stands
still. So feedback leaves the common mode alone. Resistors hold it: h = `HOLD` of a constant g, all of a driven
feedback's floor, 2h from each side to V_CM. Capacitor and resistors have less by what a measured conveyor's output has
of capacitance and conductance. The gate is constant, or driven by the node that controls it: m fingers whose gate
follows V₀ + s v_c, the line through the characterised conductances at a quarter of the largest G = g K x_c and at all
of it.

There is no rail but the supply's: sides stop where a sink (near 0 V) or a mirror (near VDD) leaves saturation; class A
sinks take no more than their bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import Error
from ..spice import Array, elements
from . import follower
from .common_mode import CAPACITANCE, CONDUCTANCE, amplifier
from .coupling import fingers
from .rails import SIDES
from .unequal import Size, Unequal, defaults, erring

if TYPE_CHECKING:
    from ...circuit import Circuit
    from ...devices.card import DeviceCard
    from ..node import NodeArray
    from .sheet import DeviceSheet

HOLD = 0.3  # of a constant feedback: resistors, which hold the common mode
USUAL = 0.8  # share of a control's full scale that most stand at: 1 / the margin of ranges
LOW = 0.25  # share of a control's full scale at which a driven feedback device is exact, beside full scale itself


def node_units(sheet: DeviceSheet, node: NodeArray) -> list[str]:
    """Capacitors, the difference that people read, feedback devices, conveyors."""
    here, names = sheet.present(node.name), sheet.names[node.name]
    lines = elements(sheet.prefix("E"), "%s 0 %s %s 1", here, names, names + SIDES[0], names + SIDES[1])
    hung, leak = _conveyor_output(sheet)
    hung = hung + 2 * _feedback_hangs(sheet, node)
    farads = 2 * np.broadcast_to(np.asarray(node.capacitance, float), node.shape) - hung
    if np.any(farads[here] <= 0):
        raise Error(
            f"capacitance of {node.name!r} is {(farads[here].min() + hung) / 2:g} F: its transistors alone have "
            f"{hung / 2:g} F, raise node.capacitance"
        )
    for side in SIDES:
        lines += elements(sheet.prefix("C"), "%s 0 %.12g", here, names + side, farads)
    ratio = np.broadcast_to(np.asarray(node.ratio, float), node.shape)
    lines += _offsets(sheet, node, ratio if node.feedback is None else 1.0)
    if sheet.transistors.feedback == "ideal":
        lines += _ideal(sheet, node, 2 * node.conductance * ratio - leak, leak)
    elif node.feedback is None:
        lines += _held(sheet, node, HOLD * node.conductance * ratio - leak / 2)
        lines += _devices(sheet, node, (1 - HOLD) * node.conductance * ratio)
    else:
        lines += _held(
            sheet, node, np.full(node.shape, node.conductance * node.feedback.floor - CONDUCTANCE - leak / 2)
        )
        lines += _driven(sheet, node)
        ends = (names + SIDES[0], names + SIDES[1])
        lines += elements(sheet.prefix("X"), f"%s %s {amplifier(sheet)}", here, *ends)
    return lines + follower.conveyors(sheet, node.name, node.input_resistance / 2, _drawn(sheet, node))


def _drawn(sheet: DeviceSheet, node: NodeArray) -> tuple[Unequal, Unequal] | None:
    """Errors of the node's two conveyors, where the netlist has conveyors of that class."""
    known = node.conveyors
    return known.drawn if known is not None and known.errors.kind == sheet.transistors.conveyor else None


def _conveyor_output(sheet: DeviceSheet) -> tuple[float, float]:
    """(F, S) that a measured conveyor puts on a side, which its own capacitor and feedback device have less."""
    support = sheet.transistors.support
    if support is None or sheet.transistors.conveyor == "ideal":
        return 0.0, 0.0
    return support.output_capacitance, support.output_conductance


def _ideal(sheet: DeviceSheet, node: NodeArray, siemens: Array, leak: float) -> list[str]:
    """Conductances from each side to the common mode that do not bend."""
    here, names, lines = sheet.present(node.name), sheet.names[node.name], []
    for side in SIDES:
        if node.feedback is None:
            lines += elements(sheet.prefix("R"), "%s vcm %.12g", here & (siemens > 0), names + side, 1 / siemens)
            continue
        control = np.broadcast_to(sheet.names[node.feedback.control], node.shape)
        k = np.broadcast_to(np.asarray(node.feedback.gain / sheet.circuit.units(node.feedback.control)), node.shape)
        law = np.full(node.shape, "", object)
        law[here] = [node.feedback.spice(c, float(one)) for c, one in zip(control[here], k[here], strict=True)]
        pattern = f"%s vcm I=({2 * node.conductance:.11g}*%s-{leak:.11g})*(V(%s)-V(vcm))"
        lines += elements(sheet.prefix("B"), pattern, here, names + side, law, names + side)
    return lines


def _feedback_hangs(sheet: DeviceSheet, node: NodeArray) -> float:
    """F between the sides, of feedback device and common-mode amplifier: the mean on the way to where most stand."""
    card = sheet.transistors.card
    if sheet.transistors.feedback == "ideal":
        return 0.0
    usual = USUAL * float(np.max(node.full_scale))

    def hung(gate: Array) -> float:
        one = sheet.transistors.finger_capacitance
        return float(np.max(card.cells["feedback"].hung(gate, usual))) if "feedback" in card.cells else one

    if node.feedback is None:
        m, gate = constant_gate(sheet.transistors.pair_card, np.asarray((1 - HOLD) * node.conductance * node.ratio))
        return m * hung(gate)
    line = driven_line(sheet.transistors.pair_card, node, sheet.circuit)
    return CAPACITANCE + line.fingers * hung(np.array(line.usual))


def _held(sheet: DeviceSheet, node: NodeArray, siemens: Array) -> list[str]:
    """Resistors from both sides to the common mode, so much between the sides."""
    here, names, lines = sheet.present(node.name) & (siemens > 0), sheet.names[node.name], []
    for side in SIDES:
        lines += elements(sheet.prefix("R"), "%s vcm %.12g", here, names + side, 1 / (2 * np.where(here, siemens, 1.0)))
    return lines


def _devices(sheet: DeviceSheet, node: NodeArray, siemens: Array) -> list[str]:
    """A device between the sides that makes a constant conductance."""
    here, pair = sheet.present(node.name) & (siemens > 0), sheet.transistors.pair_card
    if not here.any():
        return []
    m, gate = constant_gate(pair, np.where(here, siemens, np.max(siemens)))
    lines, gate = sheet.gates(gate)
    return lines + _between(sheet, node, here, gate, m)


def constant_gate(pair: DeviceCard, siemens: Array) -> tuple[int, Array]:
    """(fingers m, gates [V]) of a device between the sides that conducts so much: twice a pair's each."""
    m = fingers(pair, float(np.max(siemens)) / 2)
    return m, pair.control(siemens / (2 * m))


def _driven(sheet: DeviceSheet, node: NodeArray) -> list[str]:
    """Devices whose gates follow the control: γ − floor = K x_c − floor above the knee."""
    assert node.feedback is not None
    control, circuit = node.feedback.control, sheet.circuit
    here = sheet.present(node.name)
    slope = np.broadcast_to(node.conductance * np.asarray(node.feedback.gain) / circuit.units(control), here.shape)
    line = driven_line(sheet.transistors.pair_card, node, circuit)
    names = np.broadcast_to(sheet.names[control], here.shape)
    lines, gate = sheet.level_shifts(names, here, line.start, line.per_siemens * slope)
    return lines + _between(sheet, node, here, gate, line.fingers)


class DrivenLine(NamedTuple):
    """Gate of a driven feedback device of `fingers`: start [V] + per_siemens [V/S] times G = g K x_c, at most `most`
    [S]."""

    fingers: int
    start: float
    per_siemens: float
    most: float

    @property
    def usual(self) -> float:
        """The gate [V] that most stand at."""
        return self.start + self.per_siemens * USUAL * self.most


def driven_line(pair: DeviceCard, node: NodeArray, circuit: Circuit) -> DrivenLine:
    """The line that is exact at the control's full scale, and at `LOW` of it."""
    feedback = node.feedback
    assert feedback is not None
    full = np.asarray(feedback.gain) * circuit.full_scale(feedback.control) * circuit.arrays[feedback.control].present
    most, floor = node.conductance * float(full.max()), node.conductance * feedback.floor
    m = fingers(pair, most / 2)
    high, low = (float(pair.control((most * share - floor) / (2 * m))) for share in (1.0, LOW))
    per_siemens = (high - low) / ((1 - LOW) * most)
    return DrivenLine(m, high - per_siemens * most, per_siemens, most)


def _between(sheet: DeviceSheet, node: NodeArray, here: Array, gate: Array, m: int) -> list[str]:
    names, pair = sheet.names[node.name], sheet.transistors.pair_card
    size = (pair.width * 1e6, pair.length * 1e6, " m={m}")
    devices: dict[str, Size] = {"1": ("a g b", "n", *size)}
    ends, errors = (names + SIDES[0], names + SIDES[1], gate), sheet.feedback_errors(node)
    if errors is None:
        sheet.need(sheet.transistors.subcircuit("feedback a b g m=1", "from side to side", devices))
        return elements(sheet.prefix("X"), f"%s %s %s feedback m={m}", here, *ends)
    devices, sources = erring(devices, errors.shift)
    head = f"feedback_erring a b g m=1{defaults(errors.shift)}"
    sheet.need(sheet.transistors.subcircuit(head, "from side to side", devices, *sources))
    words, own = errors.words(node.shape)
    return elements(sheet.prefix("X"), f"%s %s %s feedback_erring m={m}{words}", here, *ends, *own)


def _offsets(sheet: DeviceSheet, node: NodeArray, ratio: Array) -> list[str]:
    """A chip's offsets as currents g(v) times the offset (of a driven feedback: g times it), less what its conveyors'
    own transistors make."""
    own = node.own if _drawn(sheet, node) is not None else 0.0
    current = np.broadcast_to(node.conductance * ratio * (np.asarray(node.offset, float) - own), node.shape)
    keep, names = sheet.present(node.name) & (current != 0), sheet.names[node.name]
    lines = elements(sheet.prefix("I"), "0 %s %.12g", keep, names + SIDES[0], current)
    return lines + elements(sheet.prefix("I"), "%s 0 %.12g", keep, names + SIDES[1], current)
