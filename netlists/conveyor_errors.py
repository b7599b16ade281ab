"""What each transistor of a conveyor moves by its errors (`circuits/cells/conveyor_errors.py`), in a simulator.

Conveyors by the dozen in one operating point, one transistor of each off by ±2 mV of its threshold or ±1 % of its
current; nothing flows into their inputs, their outputs are held at V_CM.
"""

from __future__ import annotations

from ..circuits.cells.conveyor_errors import ConveyorErrors
from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.follower import conveyor_areas, erring_conveyor
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.circuit import Circuit
from .ngspice import Engine, run_netlist

STEPS = {"s": 2e-3, "b": 0.01}  # of a threshold [V], of a current


def measure_conveyor_errors(transistors: Transistors, kind: str, *, engine: Engine = "batch") -> ConveyorErrors:
    """Of a class, "A" or "AB"."""
    sheet = DeviceSheet(Circuit("conveyors", transistors.card.temperature), {}, transistors=transistors)
    name, areas, middle = erring_conveyor(sheet, kind), conveyor_areas(kind), transistors.card.common_mode
    lines: list[str] = []
    saved: list[str] = []
    for key in areas:
        for what, step in STEPS.items():
            for sign in (1, -1):
                tag, value = f"{key}_{what}{'u' if sign > 0 else 'd'}", sign * step + (what == "b")
                lines += [f"X{tag} vcm x{tag} z{tag} w{tag} {name} {what}_{key}={value:.9g}",
                          f"Vz{tag} z{tag} 0 {middle}", f"Vw{tag} w{tag} 0 {middle}"]  # fmt: skip
                saved += [f"v(x{tag})", f"i(vz{tag})", f"i(vw{tag})"]
    text = "\n".join([
        "conveyors of unequal transistors", transistors.models.text, *sheet.supplies(), *sheet.subcircuits.values(),
        *lines, f".options reltol=1e-8 abstol=1e-15 vntol=1e-9 temp={transistors.card.temperature - KELVIN:.9g}",
        ".op", f".save {' '.join(saved)}", ".print op i(vvdd)", ".end", "",
    ])  # fmt: skip
    found = run_netlist(text, engine=engine)

    def slope(key: str, what: str, amperes: bool) -> float:
        ends = []
        for end in "ud":
            tag = f"{key}_{what}{end}"
            volts, copied = found[f"x{tag}"], found[f"i(vw{tag})"] - found[f"i(vz{tag})"]
            ends.append(float((copied if amperes else volts).real[0]))
        return (ends[0] - ends[1]) / (2 * STEPS[what])

    volts, amperes = (
        {key: (slope(key, "s", of), slope(key, "b", of)) for key in areas} for of in (False, True)
    )  # fmt: skip
    return ConveyorErrors(kind, areas, volts, amperes)
