"""Tanh pair in transistors: a differential pair in weak inversion with its tail, and crossed output mirrors.

    I = r (I₁ − I₂) = r I_T tanh(v / 2nV_T)

The gates stand at CENTRE ± v_d/2, v_d the node's volts scaled to 2nV_T a logical unit by an ideal divider. Mirrors of
branch 1 push into xp and pull from xn, those of branch 2 the other way, so no common-mode current is left.

Where transistors differ (`unequal.py`) the pair is off by what its gates differ, and by half of what its currents do:

    x + ½ [(β₁ − β₂) − (δ₁ − δ₂)/nV_T]

its tail carries M(1) (`copies.py`), and each branch has mirrors of its own errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..spice import elements
from .mirror import copies_of, mirror_areas, mirrored
from .rails import BIAS, BIAS_N, DECOUPLED, INPUTS
from .softmax import CENTRE, DESIGN_CURRENT, LENGTH, WIDTH, branch_area, sink_area, sink_share
from .unequal import Gates, Size, defaults, erring

if TYPE_CHECKING:
    from ..copies import Copies
    from ..spice import Array
    from ..tanh_pair import TanhPair
    from .sheet import DeviceSheet
    from .unequal import Unequal

SLOPE_FACTOR = 1.265  # of this pair at half of its tail a side: 1.10 in weak inversion, and the bend above it


def tanh_pairs(sheet: DeviceSheet, term: TanhPair, errors: Unequal | None = None) -> list[str]:
    """A pair, its tail and mirrors for each node, with its errors; a negative gain is a crossed output."""
    here, node, circuit = sheet.present(term.target), sheet.nodes(term.source), sheet.circuit
    gain = np.broadcast_to(np.asarray(term.gain, float), here.shape)
    unit = np.broadcast_to(sheet.units(term.source), here.shape)
    per_volt = 2 * SLOPE_FACTOR * circuit.thermal_voltage / unit
    offset = np.broadcast_to(np.asarray(term.shift, float), here.shape) * 2 * SLOPE_FACTOR * circuit.thermal_voltage
    lines: list[str] = []
    gates = []
    for sign in (0.5, -0.5):
        gate = np.full(here.shape, "0", object)
        for value in np.unique(offset[here]):
            keep = here & (offset == value)
            more, found = sheet.level_shifts(node, keep, CENTRE + sign * float(value), sign * per_volt)
            lines, gate = lines + more, np.where(keep, found, gate)
        gates.append(gate)
    parameters = "" if errors is None else defaults(errors.shift)
    name = sheet.variants(
        "tanh_pair", f"a b p n{parameters}", here, lambda amperes: pair(sheet, term.tail_current, amperes, errors),
        np.abs(gain) * sheet.amperes(term.target),
    )  # fmt: skip
    ports = sheet.names[term.target]
    p, n = (np.where(gain > 0, ports + one, ports + other) for one, other in (INPUTS, INPUTS[::-1]))
    words, own = ("", []) if errors is None else errors.words(here.shape)
    return lines + elements(sheet.prefix("X"), f"%s %s %s %s %s{words}", here, *gates, p, n, name, *own)


def pair(sheet: DeviceSheet, tail_current: float, amperes: float, errors: Unequal | None = None) -> list[str]:
    """Devices of a pair, gates a and b, whose tail current arrives as `amperes` in p and n; errors: those of such a
    pair are its subcircuit's parameters."""
    width = WIDTH * tail_current / DESIGN_CURRENT
    ratio = amperes / tail_current
    devices: dict[str, Size] = {
        "1": ("d a t", "n", width, LENGTH),
        "2": ("e b t", "n", width, LENGTH),
        "3": ("t bn 0", "n", BIAS_N[0] * tail_current / BIAS, BIAS_N[1]),
    }
    devices |= mirrored("d", "p", "n", ratio, "1") | mirrored("e", "n", "p", ratio, "2")
    sources: list[str] = []
    if errors is not None:
        devices, sources = erring(devices, errors.shift)
    lines = [sheet.transistors.transistor(name, *device) for name, device in devices.items()]
    return ["* tanh pair", *sources, *lines, *DECOUPLED.values()]


def pair_gates(tail_current: float, ratio: Array) -> Gates:
    """Transistors of pairs whose mirrors have this ratio, by node."""
    areas = {"1": branch_area(tail_current), "2": branch_area(tail_current), "3": sink_area(tail_current)}
    return Gates(areas | mirror_areas(ratio, "1") | mirror_areas(ratio, "2"), np.shape(ratio))


def pair_errors(
    errors: Unequal, tail_current: float, ratio: Array, thermal_voltage: float
) -> tuple[Array, Array, Copies, Copies]:
    """(offset of the input in logical units, current of the tail over its design, mirrors of branch 1, of branch 2)."""
    shift, gain = errors.shift, errors.gain
    offset = ((gain["1"] - gain["2"]) - (shift["1"] - shift["2"]) / (SLOPE_FACTOR * thermal_voltage)) / 2
    up, down = (copies_of(errors, ratio, tail_current, thermal_voltage, tag) for tag in ("1", "2"))
    return offset, sink_share(shift["3"], gain["3"], tail_current, thermal_voltage), up, down
