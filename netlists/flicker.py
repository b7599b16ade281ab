"""1/f noise of model cards, in the numbers of a technology's [flicker], as ngspice finds it at 1 Hz.

density         D = S_v W L f, at the gate of a coupling's transistor: full gate, half of full scale over it
conveyor_area   of a node of g: S_i of its two conveyors makes S_i/g² of it, that of a gate of D g²/(S_i f)
"""

from __future__ import annotations

from ..circuits import checks
from ..circuits.cells.mos.design import MADE, Transistors
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.circuit import BOLTZMANN
from .ngspice import Engine, run_netlist
from .supports import support_noise

LOW, HIGH = 1e-3, 1.0  # Hz: what is the same at both is not 1/f


def measure_flicker(
    transistors: Transistors, *, conductance: float = 32.26e-6, engine: Engine = "batch"
) -> dict[str, float]:
    """Numbers of `load_technology(overrides=)`; conductance [S]: g of the nodes that the conveyors serve.

    Raises Error where ngspice is missing or rejects the model cards.
    """
    checks.made("transistors", transistors, Transistors, MADE)
    card = transistors.card
    density = _one_over_f(*(_at_gate(transistors, f, engine) for f in (LOW, HIGH))) * card.width * card.length
    found = {"flicker.density": density, "flicker.conveyor_area": 0.0}
    if transistors.conveyor == "ideal" or not density:
        return found
    siemens = _one_over_f(*(support_noise(transistors, f, engine) for f in (LOW, HIGH))) / 2  # of a node's two, half
    amperes = 4 * BOLTZMANN * card.temperature * siemens
    return found | {"flicker.conveyor_area": density * conductance**2 / amperes}


def _one_over_f(low: float, high: float) -> float:
    """Density at 1 Hz of what goes as 1/f, of two at LOW and HIGH."""
    return max((low - high) / (1 / LOW - 1 / HIGH), 0.0)


def _at_gate(transistors: Transistors, frequency: float, engine: Engine) -> float:
    """[V²/Hz] at the gate of a coupling's transistor."""
    card, size = transistors.card, (transistors.card.width * 1e6, transistors.card.length * 1e6)
    text = "\n".join([
        "1/f noise of a transistor", transistors.models.text, transistors.transistor("1", "d g s", "n", *size),
        f"Vs s 0 {card.common_mode}", f"Vd d s {card.full_scale / 4}", f"Vg g 0 {card.reach} ac 1",
        f"Vdd vdd 0 {card.vdd}", "Hout out 0 Vd 1", f".options temp={card.temperature - KELVIN:.9g}",
        f".noise v(out) Vg dec 1 {frequency:g} {10 * frequency:g}", ".print noise inoise_spectrum", ".end", "",
    ])  # fmt: skip
    return float(run_netlist(text, engine=engine)["inoise_spectrum"].real[0]) ** 2
