"""How straight transistor couplings are: against size, swing and overdrive, corner and temperature; and their rank.

    python benchmarks/coupling_linearity.py

Every number comes from one transistor swept in ngspice (`dsmachine characterize`). HD3 and offset are those of a sine
across the unit, offset its rectified mean as a share of the fundamental; σ by Pelgrom, before any trim. The rank table
says what the best factors of each rank leave, largest residual over largest current, of the raw surfaces: of the card's
own bench (terminals about V_CM) and of one with grounded source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import RESULTS, save
from matplotlib.figure import Figure

import dsmachine as ds
from dsmachine.circuits.cells.mos.rails import KELVIN
from dsmachine.circuits.devices.card import UNITS, DeviceCard
from dsmachine.circuits.devices.linearity import harmonics, linearity
from dsmachine.circuits.devices.models import load_models
from dsmachine.circuits.look import COLOURS, drawn, new_figure
from dsmachine.netlists.characterize import Bench

Array = Any
SIZES = [(90, 50), (120, 250), (120, 1000), (240, 1000), (480, 4000)]  # nm
SHARES = (1.0, 0.5, 0.2)  # of a finger's conductance at the highest control voltage
AMPLITUDES = (0.1, 0.2, 1 / 3, 0.5)  # volts across the unit
CORNERS, CELSIUS = ("TT", "SS", "FF"), (-40, 27, 125)
TOLERANCE = 5e-3
BIAS = 0.8  # volts, of the quad in the rank table


def measured(card: DeviceCard, share: float) -> dict[str, Any]:
    """One row: a finger at a share of its largest conductance."""
    technology = ds.load_technology()
    control = float(card.control(share * card.conductance(card.reach)))
    spread = technology.mismatch.of(card.width * card.length)
    found = linearity(card, control, card.full_scale, spread=spread)
    row = {
        "control V": control,
        "overdrive V": (card.bias or control) - card.common_mode - technology.device.threshold,
        "G µS": found.conductance * 1e6,
        "1 % linear to mV": found.linear_range * 1e3,
    }
    for amplitude in AMPLITUDES:
        tone = harmonics(card, control, amplitude)
        row[f"HD3 % at {amplitude:.2g} V"] = abs(tone[3] / tone[1]) * 100
    return row | {
        "offset %": found.offset * 100,
        "σ offset %": found.offset_sigma * 100,
        "σ G %": found.conductance_sigma * 100,
    }


def sizes() -> tuple[list[dict[str, Any]], dict[tuple[str, int, int], DeviceCard]]:
    rows, cards = [], {}
    for unit in UNITS:
        for width, length in SIZES:
            card = ds.characterize(unit, width=width * 1e-9, length=length * 1e-9, tolerance=TOLERANCE)
            cards[unit, width, length] = card
            about = {"unit": unit, "W nm": width, "L nm": length, "rank": card.rank, "error %": card.error * 100}
            rows += [about | measured(card, share) for share in SHARES]
    return rows, cards


def corners() -> list[dict[str, Any]]:
    rows = []
    for corner in CORNERS:
        for celsius in CELSIUS:
            card = ds.characterize("pair", corner=corner, temperature=celsius + KELVIN, tolerance=TOLERANCE)
            about = {"corner": corner, "°C": celsius, "rank": card.rank, "error %": card.error * 100}
            rows.append(about | measured(card, 1.0))
    return rows


def ranks() -> list[dict[str, Any]]:
    """What rank 1 to 5 leaves of the surfaces of the three units, in % of the largest current."""
    rows = []
    gates = 0.01 * np.arange(101)
    for common in (0.25, 0.0):
        bench = Bench(load_models(), 120e-9, 1e-6, 300.15, common)
        for swing in (0.1, 1 / 3, 0.5):
            sides = np.linspace(-swing, swing, 81)
            half, _ = bench.sweep(gates, sides / 2, "pyspice")
            odd = half - half[:, ::-1]
            middle = round(BIAS / 0.01)
            steps = np.arange(len(gates) - middle)
            surfaces = {"single": half, "pair": odd, "quad": odd[middle + steps] - odd[middle - steps]}
            for unit, surface in surfaces.items():
                about = {"unit": unit, "V_CM V": common, "swing V": swing}
                rows.append(about | {f"rank {r} %": left_by(surface, r) * 100 for r in range(1, 6)})
    return rows


def left_by(surface: Array, rank: int) -> float:
    """Largest residual of the best factors (in least squares) of a rank, over the largest current."""
    u, s, v = np.linalg.svd(surface, full_matrices=False)
    return float(np.abs(surface - (u[:, :rank] * s[:rank]) @ v[:rank]).max() / np.abs(surface).max())


@drawn
def picture(cards: dict[tuple[str, int, int], DeviceCard], rows: list[dict[str, Any]]) -> Figure:
    """Third harmonic against amplitude; residual against rank."""
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    amplitudes = np.linspace(0.02, 0.5, 60)
    shown = [("pair", 120, 1000), ("pair", 480, 4000), ("pair", 90, 50), ("quad", 120, 1000)]
    for key, colour in zip(shown, COLOURS, strict=False):
        card = cards[key]
        for share, style in ((1.0, "-"), (0.5, "--")):
            control = float(card.control(share * card.conductance(card.reach)))
            tones = np.array([harmonics(card, control, amplitude) for amplitude in amplitudes])
            label = f"{key[0]} {key[1]} nm × {key[2] / 1000:g} µm" if share == 1 else None
            left.plot(amplitudes, np.abs(tones[:, 3] / tones[:, 1]) * 100, style, color=colour, label=label)
    left.set_yscale("log")
    left.set_ylim(1e-3, 20)
    left.set_xlabel("amplitude across the unit (V)")
    left.set_ylabel("third harmonic (%)")
    left.set_title("gate at its highest (line), at half of the conductance (dashed)", fontsize=9)
    left.legend()
    for unit, colour in zip(UNITS, COLOURS, strict=False):
        for swing, style in ((0.5, "-"), (0.1, "--")):
            (row,) = (r for r in rows if (r["unit"], r["V_CM V"], r["swing V"]) == (unit, 0.25, swing))
            values = [row[f"rank {r} %"] for r in range(1, 6)]
            right.plot(range(1, 6), values, style, marker="o", color=colour, label=f"{unit}, ±{swing:g} V")
    right.set_yscale("log")
    right.set_xticks(range(1, 6))
    right.set_xlabel("rank")
    right.set_ylabel("largest residual (% of the largest current)")
    right.legend()
    return figure


def main() -> None:
    rows, cards = sizes()
    save("coupling_linearity", rows, tolerance=TOLERANCE)
    save("coupling_corners", corners())
    factors = ranks()
    save("coupling_rank", factors, bias=BIAS)
    ds.plots.save_figure(picture(cards, factors), RESULTS / "coupling_linearity.png", overwrite=True)


if __name__ == "__main__":
    main()
