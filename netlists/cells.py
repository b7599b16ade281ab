"""Measures cells of several transistors in a simulator, from the very subcircuits that level `device` writes.

Each stands between sources that hold what its surroundings would: conveyors' inputs at V_CM, gates where the level
shifters put them. One .dc sweep gives its curve.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.cells.mos.rectifier import COPIES, mirror
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.softmax import CENTRE, DESIGN_CURRENT
from ..circuits.cells.mos.tanh_pair import SLOPE_FACTOR, pair
from ..circuits.circuit import Circuit
from ..circuits.devices.cell_card import CellCard, cell_card
from ..circuits.errors import Error
from .ngspice import Engine, Waveforms, run_netlist

FARTHEST = 5.0  # logical units into a tanh pair
LARGEST = 20e-6  # A into a rectifier's mirror
POINTS = 201


def measure_cell(cell: str, transistors: Transistors, *, engine: Engine = "batch") -> CellCard:
    """The card of a cell, "tanh" or "rectifier", made of these transistors. Raises Error for any other."""
    if cell not in MEASURES:
        raise Error(f"cell {cell!r} is unknown: take {' or '.join(MEASURES)}")
    return MEASURES[cell](transistors, engine)


def _tanh(transistors: Transistors, engine: Engine) -> CellCard:
    """I/I_T over x, gates at CENTRE ± x nV_T, mirrors of ratio 1."""
    sheet = _sheet(transistors)
    volt = SLOPE_FACTOR * sheet.circuit.thermal_voltage
    lines = [".subckt cell a b p n", *pair(sheet, DESIGN_CURRENT, DESIGN_CURRENT), ".ends", "X1 a b p n cell",
             "Vx x 0 0", f"Ba a 0 V={CENTRE:.12g}+{volt:.12g}*V(x)",
             f"Bb b 0 V={CENTRE:.12g}-{volt:.12g}*V(x)"]  # fmt: skip
    x = np.linspace(-FARTHEST, FARTHEST, POINTS)
    found = _swept(sheet, lines, "Vx", x, engine)
    return cell_card("tanh", np.tanh(x), found / DESIGN_CURRENT, DESIGN_CURRENT)


def _rectifier(transistors: Transistors, engine: Engine) -> CellCard:
    """What leaves the mirror over what enters its diode."""
    sheet = _sheet(transistors)
    lines = [mirror(sheet, "cell"), "X1 d p n cell", "Id 0 d 0"]
    t = np.linspace(0, 1, POINTS)
    found = _swept(sheet, lines, "Id", t * LARGEST, engine)
    return cell_card("rectifier", t, found / (COPIES * LARGEST), LARGEST)


MEASURES: dict[str, Callable[[Transistors, Engine], CellCard]] = {"tanh": _tanh, "rectifier": _rectifier}


def _sheet(transistors: Transistors) -> DeviceSheet:
    return DeviceSheet(Circuit("cell", transistors.card.temperature), {}, transistors=transistors)


def _swept(sheet: DeviceSheet, cell: list[str], source: str, values: np.ndarray, engine: Engine) -> np.ndarray:
    """i(xp) − i(xn) [A] of a cell whose outputs p, n are held at V_CM, at equal steps of a source."""
    devices = sheet.transistors
    middle, step = devices.card.common_mode, (values[-1] - values[0]) / (len(values) - 1)
    text = "\n".join([
        "dsmachine characterize: a cell", devices.models.text, *sheet.supplies(), *cell, f"Vp p 0 {middle:.12g}",
        f"Vn n 0 {middle:.12g}", f".options reltol=1e-6 abstol=1e-15 temp={devices.card.temperature - KELVIN:.9g}",
        f".dc {source} {values[0]:.12g} {values[-1] + step / 4:.12g} {step:.12g}", ".save i(Vp) i(Vn)",
        ".print dc i(Vp)", ".end", "",
    ])  # fmt: skip
    waves: Waveforms = run_netlist(text, engine=engine)
    found = np.asarray((waves["i(Vp)"] - waves["i(Vn)"]).real)
    if found.shape != values.shape:
        raise Error(f"{waves.version} gave {found.size} of {values.size} points: look at the model card")
    return found
