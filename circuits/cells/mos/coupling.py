"""Coupling unit in transistors: triode devices between a driver's sides and the conveyors' inputs, both near V_CM.

With f(V_g, u) the current of one device from V_CM + u into V_CM:

    single  I = f(V_g, v)                           one device, from V_CM + v to xp; crossed: to xn
    pair    I = f(V_g, v/2) − f(V_g, −v/2)          two, from p to xp and n to xn; crossed: to the other input
    quad    I = o(V_A, v) − o(V_B, v)               two crossed pairs o; gates V_A,B = quad_bias ± V_c/2, V_c signed

Fingers: m equal devices in parallel, one number for a term, the least with which its strongest unit fits a gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import math
from collections.abc import Iterable

import numpy as np

from ..spice import Array, elements

if TYPE_CHECKING:
    from ...devices.card import DeviceCard
    from .sheet import DeviceSheet

SINGLE_DRIVER = ":os"


def couplings(
    sheet: DeviceSheet, pairs: Iterable[tuple[Array, Array, Array]], into: Array, ends: tuple[str, str]
) -> list[str]:
    """Units of a term. pairs: (flat index of the driven nodes, their drivers, signed G [S]) as `Coupling._pairs` has
    them; into: names of the driven nodes, flat; ends: suffixes of the two nodes that take the current."""
    rows = [(np.broadcast_to(row, g.shape)[g != 0], np.broadcast_to(d, g.shape)[g != 0], g[g != 0])
            for row, d, g in pairs]  # fmt: skip
    index, driver, g = (np.concatenate(column) for column in zip(*rows, strict=True))
    if not g.size:
        return []
    unit = sheet.transistors.card
    m = fingers(unit, float(np.abs(g).max()))
    straight, crossed = into[index] + ends[0], into[index] + ends[1]
    if unit.unit == "quad":
        return _quads(sheet, unit, m, (driver, straight, crossed), g / m)
    lines, gate = sheet.gates(unit.control(np.abs(g) / m))
    x, y = np.where(g > 0, straight, crossed), np.where(g > 0, crossed, straight)
    every = np.ones(g.shape, bool)
    if unit.unit == "single":
        _need(sheet, "single a x g", "from a into x", {"1": "a g x"}, unit)
        return lines + elements(sheet.prefix("X"), f"%s %s %s single m={m}", every, _single(sheet, lines, driver), x, gate)
    _need(sheet, "pair a b x y g", "from a into x, from b into y", {"1": "a g x", "2": "b g y"}, unit)
    ends_x = (*sheet.sides(driver), x, y, gate)
    return lines + elements(sheet.prefix("X"), f"%s %s %s %s %s pair m={m}", every, *ends_x)


def _quads(sheet: DeviceSheet, unit: DeviceCard, m: int, ends: tuple[Array, Array, Array], g: Array) -> list[str]:
    driver, x, y = ends
    control = np.sign(g) * unit.control(np.abs(g))
    high, high_gate = sheet.gates(sheet.transistors.quad_bias + control / 2)
    low, low_gate = sheet.gates(sheet.transistors.quad_bias - control / 2)
    need_quad(sheet)
    every = np.ones(g.shape, bool)
    pattern = f"%s %s %s %s %s %s quad m={m}"
    return [*high, *low, *elements(sheet.prefix("X"), pattern, every, *sheet.sides(driver), x, y, high_gate, low_gate)]


def need_quad(sheet: DeviceSheet) -> None:
    """The subcircuit of two crossed pairs."""
    devices = {"1": "a g x", "2": "b g y", "3": "a h y", "4": "b h x"}
    _need(sheet, "quad a b x y g h", "a to x and b to y by gate g, crossed by gate h", devices, sheet.transistors.card)


def _need(sheet: DeviceSheet, head: str, note: str, ends: dict[str, str], unit: DeviceCard) -> None:
    size = (unit.width * 1e6, unit.length * 1e6, " m={m}")
    devices = {name: (three, "n", *size) for name, three in ends.items()}
    sheet.need(sheet.transistors.subcircuit(f"{head} m=1", note, devices))


def _single(sheet: DeviceSheet, lines: list[str], driver: Array) -> Array:
    """Drivers at V_CM + v, made from v by ideal sources."""
    names = np.unique(driver.astype(str)).astype(object)
    label, every = sheet.prefix("E"), np.ones(names.shape, bool)
    lines += elements(label, "%s vcm %s 0 1", every, names + SINGLE_DRIVER + label, names)
    return driver + SINGLE_DRIVER + label


def fingers(unit: DeviceCard, strongest: float) -> int:
    """Least number of devices in parallel whose gates stay within reach for the strongest conductance [S]."""
    most = float(unit.conductance(unit.reach))
    return max(1, math.ceil(strongest / most * (1 - 1e-9)))

