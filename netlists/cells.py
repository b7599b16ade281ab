"""Measures cells of several transistors in a simulator, from the very subcircuits that level `device` writes.

Each stands between sources that hold what its surroundings would: conveyors' inputs at V_CM, gates where the level
shifters put them. One .dc sweep gives its curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.cells.mos.rectifier import COPIES, mirror
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.softmax import CENTRE, DESIGN_CURRENT, branch, sink
from ..circuits.cells.mos.tanh_pair import SLOPE_FACTOR, pair
from ..circuits.circuit import Circuit
from ..circuits.devices.branch_card import BranchCard, branch_card
from ..circuits.devices.cell_card import CellCard, cell_card
from ..circuits.devices.feedback_card import FeedbackCard
from ..circuits.devices.transit_card import TransitCard
from ..circuits.errors import Error
from .lags import measure_charge, measure_lag, measure_tail, measure_transit
from .ngspice import Engine, run_netlist

Array = Any
Card = CellCard | BranchCard | TransitCard | FeedbackCard
LOWEST, STEP, OVER = 0.3, 0.02, 0.2  # V, of a feedback device's gate, over VDD: its control passes its full scale
FARTHEST = 5.0  # logical units into a tanh pair
LARGEST = 20e-6  # A into a rectifier's mirror
POINTS = 201
SCORES = 0.12  # V either way at a branch's gate, four nats


def measure_cell(cell: str, transistors: Transistors, *, engine: Engine = "batch") -> Card:
    """The card of a cell, "tanh", "rectifier", "softmax" or "feedback", or of the couplings' "transit", made of these
    transistors.

    Raises Error for any other.
    """
    check_cells([cell])
    return MEASURES[cell](transistors, engine)


def check_cells(names: Sequence[str]) -> None:
    """Raises Error for a cell that there is no measurement of."""
    for name in names:
        if name not in MEASURES:
            raise Error(f"cell {name!r} is unknown: take {', '.join(MEASURES)}")


def _tanh(transistors: Transistors, engine: Engine) -> CellCard:
    """I/I_T over x, gates at CENTRE ± x nV_T, mirrors of ratio 1."""
    sheet = _sheet(transistors)
    volt = SLOPE_FACTOR * sheet.circuit.thermal_voltage
    lines = [".subckt cell a b p n", *pair(sheet, DESIGN_CURRENT, DESIGN_CURRENT), ".ends", "X1 a b p n cell",
             "Vx x 0 0", f"Ba a 0 V={CENTRE:.12g}+{volt:.12g}*V(x)",
             f"Bb b 0 V={CENTRE:.12g}-{volt:.12g}*V(x)"]  # fmt: skip
    x = np.linspace(-FARTHEST, FARTHEST, POINTS)
    p, n = _swept(sheet, lines, ["Vx"], [x], engine)
    lag = measure_lag(transistors, engine)
    return cell_card("tanh", np.tanh(x), (p - n) / (2 * DESIGN_CURRENT), DESIGN_CURRENT, lag)


def _rectifier(transistors: Transistors, engine: Engine) -> CellCard:
    """What leaves the mirror over what enters its diode."""
    sheet = _sheet(transistors)
    lines = [mirror(sheet, "cell"), "X1 d p n cell", "Id 0 d 0"]
    t = np.linspace(0, 1, POINTS)
    p, n = _swept(sheet, lines, ["Id"], [t * LARGEST], engine)
    return cell_card("rectifier", t, (p - n) / (COPIES * LARGEST), LARGEST)


def _softmax(transistors: Transistors, engine: Engine) -> BranchCard:
    """A branch over its gate and its tail, and the tail's sink."""
    sheet = _sheet(transistors)
    lines = [".subckt cell g t p n", *branch(sheet, DESIGN_CURRENT, DESIGN_CURRENT), ".ends", "X1 g t p n cell",
             sink(sheet, DESIGN_CURRENT), "X2 s softmax_tail", "Vg g 0 0", "Vt t 0 0", "Es s 0 t 0 1"]  # fmt: skip
    v, tail = np.linspace(-SCORES, SCORES, 13), np.linspace(0.02, 0.6, 117)
    found = _swept(sheet, lines, ["Vt", "Vg"], [tail, CENTRE + v], engine, ["Vp", "Vn", "Vt", "Es"])
    p, n, into, drawn = (row.reshape(len(v), len(tail)) / DESIGN_CURRENT for row in found)
    return branch_card(
        v, tail / sheet.circuit.thermal_voltage, into, (p - n) / 2, -drawn[0],
        lag=measure_lag(transistors, engine), late=measure_tail(transistors, engine),
    )  # fmt: skip


def _feedback(transistors: Transistors, engine: Engine) -> FeedbackCard:
    """A device between the sides, over its gate and v; the source `Vp` of `_swept` carries nothing."""
    sheet, card = _sheet(transistors), transistors.pair_card
    middle = card.common_mode
    lines = [transistors.transistor("1", "a g b", "n", card.width * 1e6, card.length * 1e6), "Vv v 0 0", "Vg g 0 0",
             f"Ba a 0 V={middle:.12g}+V(v)/2", f"Bb b 0 V={middle:.12g}-V(v)/2"]  # fmt: skip
    gates = np.arange(LOWEST, card.vdd + OVER + STEP / 2, STEP)
    volts = np.linspace(0, float(card.volts[-1]), 25)
    found = _swept(sheet, lines, ["Vv", "Vg"], [volts, gates], engine, ["Bb"])
    surface = found[0].reshape(len(gates), len(volts))
    return FeedbackCard(gates, volts, surface, *measure_charge(transistors, gates, volts, engine))


MEASURES: dict[str, Callable[[Transistors, Engine], Card]] = {
    "tanh": _tanh, "rectifier": _rectifier, "softmax": _softmax, "transit": measure_transit,
    "feedback": _feedback,
}  # fmt: skip


def _sheet(transistors: Transistors) -> DeviceSheet:
    return DeviceSheet(Circuit("cell", transistors.card.temperature), {}, transistors=transistors)


def _swept(
    sheet: DeviceSheet, cell: list[str], sources: list[str], values: list[Array], engine: Engine,
    seen: Sequence[str] = ("Vp", "Vn"),
) -> Array:  # fmt: skip
    """Currents [A] into the sources `seen`, (seen, points), at equal steps of one or two others, the first the faster;
    outputs p, n are held at V_CM."""
    devices, sweeps = sheet.transistors, []
    for name, each in zip(sources, values, strict=True):
        step = (each[-1] - each[0]) / (len(each) - 1)
        sweeps.append(f"{name} {each[0]:.12g} {each[-1] + step / 4:.12g} {step:.12g}")
    middle = devices.card.common_mode
    text = "\n".join([
        "dsmachine characterize: a cell", devices.models.text, *sheet.supplies(), *cell, f"Vp p 0 {middle:.12g}",
        f"Vn n 0 {middle:.12g}", f".options reltol=1e-6 abstol=1e-15 temp={devices.card.temperature - KELVIN:.9g}",
        f".dc {' '.join(sweeps)}", f".save {' '.join(f'i({name})' for name in seen)}", ".print dc i(Vp)", ".end", "",
    ])  # fmt: skip
    waves = run_netlist(text, engine=engine)
    found = np.stack([np.asarray(waves[f"i({name})"].real) for name in seen])
    if found.shape[1] != np.prod([len(each) for each in values]):
        raise Error(f"{waves.version} gave {found.shape[1]} points, too few: look at the model card")
    return found
