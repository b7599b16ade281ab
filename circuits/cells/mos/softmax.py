"""N-input softmax pair in transistors: n-channel branches on a common tail, a tail sink, output mirrors.

    I_i = I_T exp(v_i / nV_T) / Σ_j exp(v_j / nV_T)            in weak inversion

Each gate is driven about `CENTRE` with the score's own volts (a nat is nV_T there, so the device's n is its gain). A
branch of 8 µm / 60 nm at 5 µA is near the top of weak inversion: its exponential bends for the largest of a row,
by 2 to 5 %. The tail's pole is N C_j nV_T / I_T, C_j the junction and overlap of a branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..spice import Array, elements
from .mirror import mirrored
from .rails import BIAS, BIAS_N, DECOUPLED, INPUTS

if TYPE_CHECKING:
    from ..softmax import Softmax
    from .sheet import DeviceSheet

CENTRE = 0.65  # V, a branch's gate at score 0
WIDTH, LENGTH = 8.0, 0.06  # µm, of a branch at 5 µA
DESIGN_CURRENT = 5e-6


def branch_area(tail_current: float) -> float:
    """W·L [m²] of a branch of so much tail current [A]."""
    return WIDTH * LENGTH * 1e-12 * tail_current / DESIGN_CURRENT


def softmaxes(sheet: DeviceSheet, term: Softmax) -> list[str]:
    """Branches, mirrors and tails of every row."""
    node = sheet.nodes(term.source)
    exists = np.broadcast_to(True if term.exists is None else term.exists, node.shape) & sheet.present(term.target)
    rows = sheet.names[term.target][..., :1]
    tail = rows + ":tail"
    scale = np.broadcast_to(np.asarray(term.shift, float) * sheet.units(term.source) / term.gain, node.shape)
    lines: list[str] = []
    gate = np.full(node.shape, "0", object)
    for offset in np.unique(scale[exists]):
        keep = exists & (scale == offset)
        more, found = sheet.level_shifts(node, keep, CENTRE + float(offset), np.ones(node.shape))
        lines, gate = lines + more, np.where(keep, found, gate)
    unit = sheet.variants(
        "softmax_branch", "g t p n", exists, lambda amperes: branch(sheet, term.tail_current, amperes),
        sheet.amperes(term.target),
    )  # fmt: skip
    ports = sheet.names[term.target]
    ends = (gate, np.broadcast_to(tail, node.shape), ports + INPUTS[0], ports + INPUTS[1], unit)
    lines += elements(sheet.prefix("X"), "%s %s %s %s %s", exists, *ends)
    return lines + _sinks(sheet, tail, exists.any(axis=-1, keepdims=True), term.tail_current)


def branch(sheet: DeviceSheet, tail_current: float, amperes: float) -> list[str]:
    """Devices of a branch whose tail current arrives as `amperes` in the node."""
    transistor = sheet.transistors.transistor
    width = WIDTH * tail_current / DESIGN_CURRENT
    devices = {"1": ("d g t", "n", width, LENGTH)} | mirrored("d", "p", "n", amperes / tail_current)
    lines = [transistor(n, *d) for n, d in devices.items()]
    return ["* branch of a softmax pair and its output mirrors", *lines, DECOUPLED["bc"]]


def sink(sheet: DeviceSheet, amperes: float) -> str:
    """The subcircuit `softmax_tail` of a tail's current."""
    size = (BIAS_N[0] * amperes / BIAS, BIAS_N[1])
    return sheet.transistors.subcircuit(
        "softmax_tail t", "tail current", {"1": ("t bn 0", "n", *size)}, DECOUPLED["bn"]
    )


def _sinks(sheet: DeviceSheet, tail: Array, here: Array, amperes: float) -> list[str]:
    sheet.need(sink(sheet, amperes))
    return elements(sheet.prefix("X"), "%s softmax_tail", here, tail)
