"""Unity buffer and current conveyor: one circuit, a regulated common gate (class A), or with a driven sink (AB).

    buffer     V(x) = V(y), x delivers what its load asks for
    conveyor   V(x) = V(y), z delivers −i(x)/2 and w +i(x)/2, copies of what flows into x

An error amplifier (p-channel pair, n-channel mirror) drives the gate of M1, whose source is x, so that

    r_x = 1 / (g_m1 (1 + A)),          A = g_m,pair / (g_ds,pair + g_ds,mirror)

M1's drain current I_B − i(x) is mirrored by p-channel cascodes, the sink's I_B by a copy of the sink: their difference
leaves at z, and turned round by one more mirror each at w. x, z and w work from some 0.08 V up, which is why sinks are
wide.

Each of a node's two conveyors serves both sides, so the node gets ±(i(xp) − i(xn))/2. Were xp alone copied to p, and xn
to n, the even orders of all couplings of a row would add up, whatever their signs, in the common mode of the node, and
change its feedback: 3 to 8 % of v with four couplings.

Class A: a sink of I_B = 20 µA is all that x can take. Class AB: the sinks' gate is driven by a second pair whose
loads are diodes with crossed ones of 0.7 of their width: at rest the sinks carry 10 µA, at most 3.4 times as much. What
x gives, M1 delivers from the supply, without a bound of this kind.

Where transistors differ (`unequal.py`) a conveyor is a two-port of static errors, as it is of noise: its copies deliver
i₀ on their own, and x stands e off, so that L at x makes a current more (`conveyor_errors.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import checks
from ...errors import Error, shown
from ..spice import Array, elements
from .design import NO_DEVICES
from .rails import BIAS_N, BIAS_P, INPUTS, OUTPUTS, SIDES
from .unequal import Size, defaults, erring, square_metres

if TYPE_CHECKING:
    from .sheet import DeviceSheet
    from .unequal import Unequal

AMPLIFIER = {
    "t": ("t bp vdd", "p", 2 * BIAS_P[0], BIAS_P[1]),
    "y": ("m y t", "p", 2.5, 0.1),
    "x": ("g x t", "p", 2.5, 0.1),
    "m": ("m m 0", "n", 1.0, 0.1),
    "g": ("g m 0", "n", 1.0, 0.1),
}
SINK = {"A": ("bn", 2 * BIAS_N[0], BIAS_N[1]), "AB": ("a", 3.4, 0.1)}  # gate, width, length
PUSH_PULL = {
    "t2": ("t2 bp vdd", "p", *BIAS_P),
    "y2": ("a y t2", "p", 2.5, 0.1),
    "x2": ("b x t2", "p", 2.5, 0.1),
    "a": ("a a 0", "n", 1.0, 0.1),
    "a2": ("a b 0", "n", 0.7, 0.1),
    "b": ("b b 0", "n", 1.0, 0.1),
    "b2": ("b a 0", "n", 0.7, 0.1),
}
MIRROR = {
    "d": ("e d vdd", "p", 5.0, 0.15),
    "dc": ("d bc e", "p", 8.0, 0.1),
    "z": ("f d vdd", "p", 2.5, 0.15),
    "zc": ("z bc f", "p", 4.0, 0.1),
    "w": ("h d vdd", "p", 2.5, 0.15),
    "wc": ("k bc h", "p", 4.0, 0.1),
    "k": ("k k 0", "n", 5.0, 0.1),
    "wk": ("w k 0", "n", 5.0, 0.1),
    "q": ("r q vdd", "p", 2.5, 0.15),
    "qc": ("q bc r", "p", 4.0, 0.1),
}
CASCODES = ("dc", "zc", "wc", "qc", "vc")
# the copy of the sink at w, whose original stands at 0.55 V, not 0.25 V, drain to source
TURNED = {"A": 0.95, "AB": 0.93}


def define(sheet: DeviceSheet, kind: str) -> None:
    """The subcircuits conveyor_a(b) y x z w and buffer_a(b) y x of a class."""
    follower_devices(kind, copied=True)  # there is such a class
    _follower(sheet, kind, f"conveyor_{kind.lower()}", copied=True)
    _follower(sheet, kind, f"buffer_{kind.lower()}", copied=False)


def _follower(sheet: DeviceSheet, kind: str, name: str, *, copied: bool) -> None:
    devices = follower_devices(kind, copied=copied)
    ports, what = ("y x z w", "z delivers -i(x)/2, w i(x)/2") if copied else ("y x", "unity buffer")
    note = f"class {kind}: x held at y; {what}"
    sheet.need(sheet.transistors.subcircuit(f"{name} {ports}", note, devices))


def erring_conveyor(sheet: DeviceSheet, kind: str) -> str:
    """Name of the conveyor's subcircuit, y x z w, whose transistors' errors are its parameters."""
    devices, sources = erring(follower_devices(kind, copied=True), conveyor_areas(kind))
    name = f"conveyor_erring_{kind.lower()}"
    head = f"{name} y x z w{defaults(conveyor_areas(kind))}"
    sheet.need(sheet.transistors.subcircuit(head, f"class {kind}, of unequal transistors", devices, *sources))
    return name


def conveyor_areas(kind: str) -> dict[str, float]:
    """W·L [m²] of a conveyor's transistors that differ: all but cascodes."""
    sizes = follower_devices(kind, copied=True)
    return {k: float(square_metres(*size[2:4])) for k, size in sizes.items() if k not in CASCODES}


def drives_sinks(kind: str) -> bool:
    """Whether the sinks of a class follow x too."""
    return SINK[kind][0] in {ends.split()[0] for ends, *_ in PUSH_PULL.values()}


def follower_devices(kind: str, *, copied: bool) -> dict[str, Size]:
    """name -> (ends, kind, width, length) of the transistors of a conveyor, or of a buffer."""
    if not checks.among(kind, SINK):
        raise Error(f"conveyor {shown(kind)} has no transistors: use {' or '.join(SINK)}")
    gate, width, length = SINK[kind]
    devices: dict[str, Size] = dict(AMPLIFIER) | (PUSH_PULL if kind == "AB" else {})
    devices["1"] = ("d g x" if copied else "vdd g x", "n", 12.0, 0.06)
    devices["s"] = (f"x {gate} 0", "n", width, length)
    if copied:
        devices["v"] = ("s q vdd", "p", 2.5 * TURNED[kind], 0.15)
        devices["vc"] = ("w bc s", "p", 4.0 * TURNED[kind], 0.1)
        devices |= MIRROR | {f"s{end}": (f"{end} {gate} 0", "n", width / 2, length) for end in "zq"}
    return devices


def conveyors(
    sheet: DeviceSheet, array: str, resistance: float, errors: tuple[Unequal, Unequal] | None = None
) -> list[str]:
    """Two conveyors of every node of an array, each from one of its inputs to both of its sides, with their errors."""
    here, names = sheet.present(array), sheet.names[array]
    name = conveyor(sheet, resistance) if errors is None else erring_conveyor(sheet, sheet.transistors.conveyor)
    lines: list[str] = []
    for k, (x, w, z) in enumerate(zip(INPUTS, SIDES, SIDES[::-1], strict=True)):
        words, own = ("", []) if errors is None else errors[k].words(here.shape)
        ends = (names + x, names + z, names + w, *own)
        lines += elements(sheet.prefix("X"), f"vcm %s %s %s {name}{words}", here, *ends)
    return lines


def conveyor(sheet: DeviceSheet, resistance: float = 0.0) -> str:
    """Name of the conveyor's subcircuit, y x z w; resistance [Ω]: r_x of an ideal one."""
    kind = sheet.transistors.conveyor
    if kind != "ideal":
        name = f"conveyor_{kind.lower()}"
        _follower(sheet, kind, name, copied=True)
        return name
    held = ["V1 x h 0", f"R1 h y {resistance:.12g}"] if resistance else ["V1 x y 0"]
    name = f"conveyor_{resistance:.6g}".replace(".", "_") if resistance else "conveyor"
    copies = ("F1 z 0 V1 0.5", "F2 0 w V1 0.5")
    note = "ideal conveyor: x held at y, z delivers -i(x)/2, w i(x)/2"
    sheet.need(sheet.transistors.subcircuit(f"{name} y x z w", note, NO_DEVICES, *held, *copies))
    return name


def buffers(sheet: DeviceSheet, array: str, needed: Array) -> list[str]:
    """Buffers of the nodes of an array that drive coupling units, one on each side."""
    names, kind = sheet.names[array], sheet.transistors.buffer
    lines: list[str] = []
    for side, output in zip(SIDES, OUTPUTS, strict=True):
        if kind == "ideal":
            lines += elements(sheet.prefix("E"), "%s 0 %s 0 1", needed, names + output, names + side)
        else:
            _follower(sheet, kind, f"buffer_{kind.lower()}", copied=False)
            lines += elements(sheet.prefix("X"), f"%s %s buffer_{kind.lower()}", needed, names + side, names + output)
    return lines


def inputs(sheet: DeviceSheet, array: str, needed: Array) -> list[str]:
    """The two sides of an input, from ideal drivers."""
    names = sheet.names[array]
    lines: list[str] = []
    for output, half in zip(OUTPUTS, (0.5, -0.5), strict=True):
        lines += elements(sheet.prefix("E"), f"%s vcm %s 0 {half}", needed, names + output, names)
    return lines
