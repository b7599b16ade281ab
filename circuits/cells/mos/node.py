"""Node unit in transistors: a capacitor 2C on each side, a feedback device from each side to V_CM, the conveyors.

    C dv/dt = (i(p) − i(n))/2 − ½ [f(V_g, v/2) − f(V_g, −v/2)]

C and g are the behavioural node's, between its sides: 2C and 2g on each, in series. v has kT/C, and ½ C v² is stored.
A feedback device is the same transistor as a coupling's, and so bends with v as they do: its even order moves the
common mode, v = f⁻¹(I) − f⁻¹(−I). The capacitor has less by what feedback devices and a measured conveyor's output
hang on a side, the feedback device by what that output conducts. The gate is constant, or driven by the node that
controls it: m fingers whose gate follows V₀ + s v_c, the line through the characterised conductances at a quarter of
the largest G = g K x_c and at all of it, next to a constant device of the floor's conductance.

There is no rail but the supply's: sides stop where a sink (near 0 V) or a mirror (near VDD) leaves saturation; class A
sinks take no more than their bias. The common mode is held by the feedback devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import Error
from ..spice import Array, elements
from . import follower
from .coupling import fingers
from .rails import SIDES

if TYPE_CHECKING:
    from ...devices.card import DeviceCard
    from ..node import NodeArray
    from .sheet import DeviceSheet

LOW = 0.25  # share of a control's full scale at which a driven feedback device is exact, beside full scale itself


def node_units(sheet: DeviceSheet, node: NodeArray) -> list[str]:
    """Capacitors, the difference that people read, feedback devices, conveyors."""
    here, names = sheet.present(node.name), sheet.names[node.name]
    lines = elements(sheet.prefix("E"), "%s 0 %s %s 1", here, names, names + SIDES[0], names + SIDES[1])
    hung, leak = _conveyor_output(sheet)
    hung += _fingers(sheet, node, leak) * sheet.transistors.finger_capacitance
    farads = 2 * np.broadcast_to(np.asarray(node.capacitance, float), node.shape) - hung
    if np.any(farads[here] <= 0):
        raise Error(
            f"capacitance of {node.name!r} is {(farads[here].min() + hung) / 2:g} F: its conveyors and feedback "
            f"devices alone have {hung / 2:g} F, raise node.capacitance"
        )
    for side in SIDES:
        lines += elements(sheet.prefix("C"), "%s 0 %.12g", here, names + side, farads)
    ratio = np.broadcast_to(np.asarray(node.ratio, float), node.shape)
    lines += _offsets(sheet, node, ratio if node.feedback is None else 1.0)
    if sheet.transistors.feedback == "ideal":
        lines += _ideal(sheet, node, 2 * node.conductance * ratio - leak, leak)
    elif node.feedback is None:
        lines += _devices(sheet, node, node.conductance * ratio - leak / 2)
    else:
        lines += _devices(sheet, node, np.full(node.shape, node.conductance * node.feedback.floor - leak / 2))
        lines += _driven(sheet, node)
    return lines + follower.conveyors(sheet, node.name, node.input_resistance / 2)


def _conveyor_output(sheet: DeviceSheet) -> tuple[float, float]:
    """(F, S) that a measured conveyor puts on a side, which its own capacitor and feedback device have less."""
    support = sheet.transistors.support
    if support is None or sheet.transistors.conveyor == "ideal":
        return 0.0, 0.0
    return support.output_capacitance, support.output_conductance


def _fingers(sheet: DeviceSheet, node: NodeArray, leak: float) -> int:
    """Transistors that feed back to one side."""
    pair = sheet.transistors.pair_card
    if sheet.transistors.feedback == "ideal":
        return 0
    if node.feedback is None:
        most = node.conductance * float(np.max(node.ratio)) - leak / 2
        return fingers(pair, most) if most > 0 else 0
    floor = node.conductance * node.feedback.floor
    driven = driven_line(pair, float(_driving(sheet, node).max()), floor)[0]
    return driven + (fingers(pair, floor - leak / 2) if floor > leak / 2 else 0)


def _driving(sheet: DeviceSheet, node: NodeArray) -> Array:
    """g K x_c [S] of each node, its control at full scale."""
    assert node.feedback is not None
    each = node.conductance * np.asarray(node.feedback.gain) * sheet.circuit.full_scale(node.feedback.control)
    return np.broadcast_to(each, node.shape) * sheet.present(node.name)


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


def _devices(sheet: DeviceSheet, node: NodeArray, siemens: Array) -> list[str]:
    """Devices that make a constant conductance between the sides: of twice it, from each to the common mode."""
    here, pair = sheet.present(node.name) & (siemens > 0), sheet.transistors.pair_card
    if not here.any():
        return []
    m = fingers(pair, float(np.max(siemens)))
    lines, gate = sheet.gates(pair.control(np.where(here, siemens, np.max(siemens)) / m))
    return lines + _to_common_mode(sheet, node, here, gate, m)


def _driven(sheet: DeviceSheet, node: NodeArray) -> list[str]:
    """Devices whose gates follow the control: γ − floor = K x_c − floor above the knee."""
    assert node.feedback is not None
    control, circuit, pair = node.feedback.control, sheet.circuit, sheet.transistors.pair_card
    here = sheet.present(node.name)
    slope = np.broadcast_to(node.conductance * np.asarray(node.feedback.gain) / circuit.units(control), here.shape)
    most = float(_driving(sheet, node).max())
    m, start, per_siemens = driven_line(pair, most, node.conductance * node.feedback.floor)
    names = np.broadcast_to(sheet.names[control], here.shape)
    lines, gate = sheet.level_shifts(names, here, start, per_siemens * slope)
    return lines + _to_common_mode(sheet, node, here, gate, m)


def driven_line(pair: DeviceCard, most: float, floor: float) -> tuple[int, float, float]:
    """(fingers m, V₀, V per siemens) of a driven feedback device: its gate is V₀ + G times that, G = g K x_c, and exact
    at `most` [S] and at `LOW` of it."""
    m = fingers(pair, most)
    high, low = (float(pair.control((most * share - floor) / m)) for share in (1.0, LOW))
    per_siemens = (high - low) / ((1 - LOW) * most)
    return m, high - per_siemens * most, per_siemens


def _to_common_mode(sheet: DeviceSheet, node: NodeArray, here: Array, gate: Array, m: int) -> list[str]:
    names, pair = sheet.names[node.name], sheet.transistors.pair_card
    size = (pair.width * 1e6, pair.length * 1e6, " m={m}")
    device = {"1": ("y g vcm", "n", *size)}
    sheet.need(sheet.transistors.subcircuit("feedback y g m=1", "from a side to the common mode", device))
    lines: list[str] = []
    for side in SIDES:
        lines += elements(sheet.prefix("X"), f"%s %s feedback m={m}", here, names + side, gate)
    return lines


def _offsets(sheet: DeviceSheet, node: NodeArray, ratio: Array) -> list[str]:
    """A chip's offsets as currents g(v) times the offset (of a driven feedback: g times it)."""
    current = np.broadcast_to(node.conductance * ratio * np.asarray(node.offset, float), node.shape)
    keep, names = sheet.present(node.name) & (current != 0), sheet.names[node.name]
    lines = elements(sheet.prefix("I"), "0 %s %.12g", keep, names + SIDES[0], current)
    return lines + elements(sheet.prefix("I"), "%s 0 %.12g", keep, names + SIDES[1], current)
