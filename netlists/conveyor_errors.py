"""What each transistor of a conveyor moves by its errors (`circuits/cells/conveyor_errors.py`), in a simulator.

Conveyors by the dozen in one operating point, one transistor of each off by ±2 mV of its threshold or ±1 % of its
current; nothing flows into their inputs, or ±1 µA for the gain, their outputs are held at V_CM.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from ..circuits import checks
from ..circuits.cells.conveyor_errors import ConveyorErrors
from ..circuits.cells.mos.design import MADE, Transistors
from ..circuits.cells.mos.follower import conveyor_areas, erring_conveyor
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.circuit import Circuit
from .ngspice import Engine, run_netlist

STEPS = {"s": 2e-3, "b": 0.01}  # of a threshold [V], of a current
INTO = 1e-6  # A


def measure_conveyor_errors(transistors: Transistors, kind: str, *, engine: Engine = "batch") -> ConveyorErrors:
    """Of a class, "A" or "AB"."""
    checks.made("transistors", transistors, Transistors, MADE)
    sheet = DeviceSheet(Circuit("conveyors", transistors.card.temperature), {}, transistors=transistors)
    name, areas, middle = erring_conveyor(sheet, kind), conveyor_areas(kind), transistors.card.common_mode
    lines: list[str] = []
    saved: list[str] = []
    for key, what, sign, into in itertools.product(areas, STEPS, (1, -1), (0, 1, -1)):
        tag, value = f"{key}_{what}_{sign}_{into}", sign * STEPS[what] + (what == "b")
        lines += [f"X{tag} vcm x{tag} z{tag} w{tag} {name} {what}_{key}={value:.9g}",
                  f"I{tag} 0 x{tag} {into * INTO:g}", f"Vz{tag} z{tag} 0 {middle}",
                  f"Vw{tag} w{tag} 0 {middle}"]  # fmt: skip
        saved += [f"v(x{tag})", f"i(vz{tag})", f"i(vw{tag})"]
    text = "\n".join([
        "conveyors of unequal transistors", transistors.models.text, *sheet.supplies(), *sheet.subcircuits.values(),
        *lines, f".options reltol=1e-8 abstol=1e-15 vntol=1e-9 temp={transistors.card.temperature - KELVIN:.9g}",
        ".op", f".save {' '.join(saved)}", ".print op i(vvdd)", ".end", "",
    ])  # fmt: skip
    found = run_netlist(text, engine=engine)

    def copied(tag: str) -> float:
        return float((found[f"i(vw{tag})"] - found[f"i(vz{tag})"]).real[0])

    def alike(tag: str) -> float:
        return float((found[f"i(vw{tag}_0)"] + found[f"i(vz{tag}_0)"]).real[0])

    def volts(tag: str) -> float:
        return float(found[f"x{tag}_0"].real[0])

    def amperes(tag: str) -> float:
        return copied(f"{tag}_0")

    def gain(tag: str) -> float:
        return math.log((copied(f"{tag}_1") - copied(f"{tag}_-1")) / (2 * INTO))

    def slopes(of: Callable[[str], float]) -> dict[str, tuple[float, float]]:
        each = [{key: (of(f"{key}_{what}_1") - of(f"{key}_{what}_-1")) / (2 * step) for key in areas}
                for what, step in STEPS.items()]  # fmt: skip
        return {key: (each[0][key], each[1][key]) for key in areas}

    return ConveyorErrors(kind, areas, slopes(volts), slopes(amperes), slopes(gain), slopes(alike))
