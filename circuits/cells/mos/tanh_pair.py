"""Tanh pair in transistors: a differential pair in weak inversion with its tail, and crossed output mirrors.

    I = r (I₁ − I₂) = r I_T tanh(v / 2nV_T)

The gates stand at CENTRE ± v_d/2, v_d the node's volts scaled to 2nV_T a logical unit by an ideal divider. Mirrors of
branch 1 push into xp and pull from xn, those of branch 2 the other way, so no common-mode current is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..spice import elements
from .mirror import mirrored
from .rails import BIAS, BIAS_N, DECOUPLED, INPUTS
from .softmax import CENTRE, DESIGN_CURRENT, LENGTH, WIDTH

if TYPE_CHECKING:
    from ..tanh_pair import TanhPair
    from .sheet import DeviceSheet

SLOPE_FACTOR = 1.265  # of this pair at half of its tail a side: 1.10 in weak inversion, and the bend above it


def tanh_pairs(sheet: DeviceSheet, term: TanhPair) -> list[str]:
    """A pair, its tail and mirrors for each node; a negative gain is a crossed output."""
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
    name = sheet.variants(
        "tanh_pair", "a b p n", here, lambda amperes: pair(sheet, term.tail_current, amperes),
        np.abs(gain) * sheet.amperes(term.target),
    )  # fmt: skip
    ports = sheet.names[term.target]
    p, n = (np.where(gain > 0, ports + one, ports + other) for one, other in (INPUTS, INPUTS[::-1]))
    return lines + elements(sheet.prefix("X"), "%s %s %s %s %s", here, *gates, p, n, name)


def pair(sheet: DeviceSheet, tail_current: float, amperes: float) -> list[str]:
    """Devices of a pair, gates a and b, whose tail current arrives as `amperes` in p and n."""
    width = WIDTH * tail_current / DESIGN_CURRENT
    ratio = amperes / tail_current
    devices = {
        "1": ("d a t", "n", width, LENGTH),
        "2": ("e b t", "n", width, LENGTH),
        "3": ("t bn 0", "n", BIAS_N[0] * tail_current / BIAS, BIAS_N[1]),
    }
    devices |= mirrored("d", "p", "n", ratio, "1") | mirrored("e", "n", "p", ratio, "2")
    lines = [sheet.transistors.transistor(name, *device) for name, device in devices.items()]
    return ["* tanh pair", *lines, *DECOUPLED.values()]
