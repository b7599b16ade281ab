"""Coupling unit in transistors: triode devices between a driver's sides and the conveyors' inputs, both near V_CM.

With f(V_g, u) the current of one device from V_CM + u into V_CM:

    single  I = ½ f(V_g, v/2)                       one device, from p to xp; crossed: to xn
    pair    I = ½ [f(V_g, v/2) − f(V_g, −v/2)]      two, from p to xp and n to xn; crossed: to the other input
    quad    I = o(V_A, v) − o(V_B, v)               two crossed pairs o; gates V_A,B = V_b ± V_c/2, V_c signed

Fingers: m equal devices in parallel, one number for a term, the least with which its strongest unit fits a gate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..spice import Array, elements
from .rails import INPUTS

if TYPE_CHECKING:
    from ...devices.card import DeviceCard
    from ..transistor_errors import Devices
    from .sheet import DeviceSheet

ENDS = {  # unit -> ports, what it is, its transistors
    "single": ("a x g", "from a into x", {"1": "a g x"}),
    "pair": ("a b x y g", "from a into x, from b into y", {"1": "a g x", "2": "b g y"}),
    "quad": (
        "a b x y g h", "a to x and b to y by gate g, crossed by gate h",
        {"1": "a g x", "2": "b g y", "3": "a h y", "4": "b h x"},
    ),
}  # fmt: skip


def couplings(
    sheet: DeviceSheet, pairs: Iterable[tuple[Array, Array, Array]], into: Array, ends: tuple[str, str]
) -> list[str]:
    """Units of linear couplings. pairs: (flat index of the driven nodes, their drivers, signed G [S]) as
    `Coupling._pairs` has them; into: names of the driven nodes, flat; ends: as for `units`."""
    rows = [(np.broadcast_to(row, g.shape)[g != 0], np.broadcast_to(d, g.shape)[g != 0], g[g != 0])
            for row, d, g in pairs]  # fmt: skip
    index, driver, g = (np.concatenate(column) for column in zip(*rows, strict=True))
    if not g.size:
        return []
    card = sheet.transistors.card
    m = fingers(card, float(np.abs(g).max()))
    return units(sheet, card, m, driver, into[index], np.sign(g), card.control(np.abs(g) / m), ends)


def units(
    sheet: DeviceSheet, card: DeviceCard, m: int, driver: Array, into: Array, sign: Array, control: Array,
    ends: tuple[str, str] = INPUTS, devices: Devices | None = None,
) -> list[str]:  # fmt: skip
    """One unit of m fingers for each of `driver`, `into`, `sign` and `control` voltage, (units,) each.

    ends: suffixes of the two ends of a driven node that take the current. devices: errors (transistors, units) of each.
    """
    if not driver.size:
        return []
    name = unit(sheet, card, card.unit, erring=devices is not None)
    words, own = (f"{name} m={m}", ()) if devices is None else _errors(f"{name} m={m}", card.unit, sign, devices)
    every, straight, crossed = np.ones(driver.shape, bool), into + ends[0], into + ends[1]
    x, y = np.where(sign > 0, straight, crossed), np.where(sign > 0, crossed, straight)
    if card.unit == "quad":
        high, g = sheet.gates(card.bias + sign * control / 2)
        low, h = sheet.gates(card.bias - sign * control / 2)
        quad = (*sheet.sides(driver), straight, crossed, g, h)
        return [*high, *low, *elements(sheet.prefix("X"), f"%s %s %s %s %s %s {words}", every, *quad, *own)]
    lines, gate = sheet.gates(control)
    if card.unit == "single":
        single = (sheet.sides(driver)[0], x, gate)
        return lines + elements(sheet.prefix("X"), f"%s %s %s {words}", every, *single, *own)
    columns = (*sheet.sides(driver), x, y, gate)
    return lines + elements(sheet.prefix("X"), f"%s %s %s %s %s {words}", every, *columns, *own)


def _errors(words: str, kind: str, sign: Array, devices: Devices) -> tuple[str, tuple[Array, ...]]:
    """(words of a unit with its transistors' errors to be filled in; those errors: thresholds d, currents b)."""
    count = len(devices.shift)
    shift, gain = devices.shift, 1 + devices.gain
    if kind == "quad":  # a negative one has its gates exchanged, and with them the transistors behind
        shift, gain = (np.where(sign > 0, value, np.roll(value, 2, axis=0)) for value in (shift, gain))
    each = [f"d{k + 1}=%.9g b{k + 1}=%.9g" for k in range(count)]
    return " ".join([words, *each]), tuple(column for k in range(count) for column in (shift[k], gain[k]))


def unit(sheet: DeviceSheet, card: DeviceCard, kind: str, *, erring: bool = False) -> str:
    """Name of the subcircuit of a unit of this card's transistors; erring: k's gate stands d_k volts lower, and its
    current (with all else of it: there are so many times more fingers) is b_k times as large.

    With a source in front of its gate a transistor carries f(V − δ, u), as units are worked out from their card;
    BSIM4's `delvto` moves the field that mobility falls with as well, the other way.
    """
    ports, note, ends = ENDS[kind]
    size = f"{card.width * 1e9:.6g}n_{card.length * 1e9:.6g}n"
    name, width, length = f"{kind}_{size}".replace(".", "d"), card.width * 1e6, card.length * 1e6
    if not erring:
        devices = {key: (three, "n", width, length, " m={m}") for key, three in ends.items()}
        sheet.need(sheet.transistors.subcircuit(f"{name} {ports} m=1", note, devices))
        return name
    apart = {key: (*three.split(), f"e{key}") for key, three in ends.items()}
    devices = {key: (f"{a} {e} {x}", "n", width, length, f" m={{m*b{key}}}") for key, (a, _, x, e) in apart.items()}
    shifts = [f"V{key} {gate} {e} {{d{key}}}" for key, (_, gate, _, e) in apart.items()]
    words = " ".join(f"d{key}=0 b{key}=1" for key in ends)
    sheet.need(sheet.transistors.subcircuit(f"{name}_erring {ports} m=1 {words}", note, devices, *shifts))
    return f"{name}_erring"


def fingers(card: DeviceCard, strongest: float) -> int:
    """Least number of devices in parallel whose gates stay within reach for the strongest conductance [S]."""
    return max(1, math.ceil(strongest / float(card.conductance(card.reach)) * (1 - 1e-9)))
