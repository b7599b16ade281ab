"""N-input softmax pair in transistors: n-channel branches on a common tail, a tail sink, output mirrors.

    I_i = I_T exp(v_i / nV_T) / Σ_j exp(v_j / nV_T)            in weak inversion

Each gate is driven about `CENTRE` with the score's own volts (a nat is nV_T there, so the device's n is its gain). A
branch of 8 µm / 60 nm at 5 µA is near the top of weak inversion: its exponential bends for the largest of a row,
by 2 to 5 %. The tail's pole is N C_j nV_T / I_T, C_j the junction and overlap of a branch.

Where transistors differ (`unequal.py`) a branch's gate is off by δ and its current by β, its mirrors err by themselves
(`copies.py`), and the row's sink carries M(1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..copies import Mirror
from ..spice import Array, elements
from .mirror import copies_of, mirror_areas, mirrored
from .rails import BIAS, BIAS_N, DECOUPLED, INPUTS
from .unequal import Gates, Size, Unequal, defaults, erring, exponent, square_metres

if TYPE_CHECKING:
    from ..copies import Copies
    from ..softmax import Softmax
    from .sheet import DeviceSheet

CENTRE = 0.65  # V, a branch's gate at score 0
WIDTH, LENGTH = 8.0, 0.06  # µm, of a branch at 5 µA
DESIGN_CURRENT = 5e-6
SINK = (1.222, 8.43e-6)  # slope factor and I_s [A] of a sink of DESIGN_CURRENT


def branch_area(tail_current: float) -> float:
    """W·L [m²] of a branch of so much tail current [A]."""
    return WIDTH * LENGTH * 1e-12 * tail_current / DESIGN_CURRENT


def sink_area(tail_current: float) -> float:
    """W·L [m²] of the sink of so much tail current [A]."""
    return float(square_metres(BIAS_N[0] * tail_current / BIAS, BIAS_N[1]))


def sink_share(shift: Array, gain: Array, tail_current: float, thermal_voltage: float) -> Array:
    """M(1): current of a sink of these errors over that of its design."""
    ratio, knee = exponent(shift, SINK[0], thermal_voltage), SINK[1] / DESIGN_CURRENT
    return Mirror(1 + gain, ratio, knee).of(np.ones(np.shape(shift)))


def softmaxes(sheet: DeviceSheet, term: Softmax, errors: Unequal | None = None) -> list[str]:
    """Branches, mirrors and tails of every row, with their errors."""
    node = sheet.nodes(term.source)
    exists = np.broadcast_to(True if term.exists is None else term.exists, node.shape) & sheet.present(term.target)
    rows = sheet.names[term.target][..., :1]
    tail = rows + ":tail"
    scale = np.broadcast_to(np.asarray(term.shift, float) * sheet.units(term.source) / term.gain, node.shape)
    lines: list[str] = []
    own = None if errors is None else errors.only([key for key in errors.shift if key != "t"])
    ports = "" if own is None else defaults(own.shift)
    gate = np.full(node.shape, "0", object)
    for offset in np.unique(scale[exists]):
        keep = exists & (scale == offset)
        more, found = sheet.level_shifts(node, keep, CENTRE + float(offset), np.ones(node.shape))
        lines, gate = lines + more, np.where(keep, found, gate)
    unit = sheet.variants(
        "softmax_branch", f"g t p n{ports}", exists, lambda amperes: branch(sheet, term.tail_current, amperes, own),
        sheet.amperes(term.target),
    )  # fmt: skip
    into = sheet.names[term.target]
    ends = (gate, np.broadcast_to(tail, node.shape), into + INPUTS[0], into + INPUTS[1], unit)
    words, more = ("", []) if own is None else own.words(node.shape)
    lines += elements(sheet.prefix("X"), f"%s %s %s %s %s{words}", exists, *ends, *more)
    here = exists.any(axis=-1, keepdims=True)
    sheet.need(sink(sheet, term.tail_current, erring_sink=errors is not None))
    if errors is None:
        return lines + elements(sheet.prefix("X"), "%s softmax_tail", here, tail)
    words, more = errors.only(["t"]).words(here.shape)
    return lines + elements(sheet.prefix("X"), f"%s softmax_tail_erring{words}", here, tail, *more)


def branch(sheet: DeviceSheet, tail_current: float, amperes: float, errors: Unequal | None = None) -> list[str]:
    """Devices of a branch whose tail current arrives as `amperes` in the node; errors: those of such a branch are its
    subcircuit's parameters."""
    transistor = sheet.transistors.transistor
    width = WIDTH * tail_current / DESIGN_CURRENT
    devices: Mapping[str, Size] = {
        "1": ("d g t", "n", width, LENGTH), **mirrored("d", "p", "n", amperes / tail_current)
    }  # fmt: skip
    sources: list[str] = []
    if errors is not None:
        devices, sources = erring(devices, errors.shift)
    lines = [transistor(n, *d) for n, d in devices.items()]
    return ["* branch of a softmax pair and its output mirrors", *sources, *lines, DECOUPLED["bc"]]


def sink(sheet: DeviceSheet, amperes: float, *, erring_sink: bool = False) -> str:
    """The subcircuit `softmax_tail` of a tail's current; of one that errs, with its errors as parameters."""
    devices: Mapping[str, Size] = {"t": ("t bn 0", "n", BIAS_N[0] * amperes / BIAS, BIAS_N[1])}
    head = "softmax_tail t"
    sources: list[str] = []
    if erring_sink:
        devices, sources = erring(devices, ["t"])
        head = f"softmax_tail_erring t{defaults(['t'])}"
    return sheet.transistors.subcircuit(head, "tail current", devices, *sources, DECOUPLED["bn"])


def branch_gates(tail_current: float, ratio: Array) -> Gates:
    """Transistors of branches whose mirrors have this ratio, by node, and the sink t of each row."""
    areas = {"1": branch_area(tail_current), "t": sink_area(tail_current)} | mirror_areas(ratio)
    return Gates(areas, np.shape(ratio), ("t",))


def branch_errors(
    errors: Unequal, tail_current: float, ratio: Array, thermal_voltage: float, per_volt: float
) -> tuple[Array, Array, Copies]:
    """(offset of each gate [V], its current factor as what makes it so, per_volt nats a volt; current of the row's sink
    over its design; mirrors of the branches)."""
    offset = np.log1p(errors.gain["1"]) / per_volt - errors.shift["1"]
    share = sink_share(errors.shift["t"], errors.gain["t"], tail_current, thermal_voltage)
    return offset, share, copies_of(errors, ratio, tail_current, thermal_voltage)
