"""Picture of a device card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..look import COLOURS, MUTED, drawn, new_figure

if TYPE_CHECKING:
    from .card import DeviceCard

GATES_SHOWN = 6


@drawn
def plot_device_card(card: DeviceCard) -> Figure:
    """Currents of a unit against its voltage at a few control voltages, conductance against control.

    Marks are the points measured, lines the card's factors.
    """
    figure = new_figure(7.4, 3.4)
    left, right = figure.subplots(1, 2)
    _currents(left, card)
    inside = card.gates[(card.gates >= 0) & (card.gates <= card.reach)]
    right.plot(inside, card.conductance(inside) * 1e6, color=COLOURS[0])
    right.set_xlabel("control voltage (V)")
    right.set_ylabel("conductance (µS)")
    right.set_title(f"{card.width * 1e9:.0f} nm × {card.length * 1e6:g} µm, {card.temperature:.0f} K")
    return figure


def _currents(ax: Axes, card: DeviceCard) -> None:
    usable = np.flatnonzero((card.gates >= 0) & (card.gates <= card.reach))
    chosen = usable[np.linspace(len(usable) - 1, len(usable) // 3, GATES_SHOWN).astype(int)]
    every = slice(None, None, max(1, len(card.volts) // 16))
    fine = np.linspace(card.volts[0], card.volts[-1], 201)
    for k, row in enumerate(chosen):
        colour = COLOURS[k % len(COLOURS)]
        gate = card.gates[row]
        ax.plot(fine, card.current(gate, fine) * 1e6, color=colour, label=f"{gate:.2f} V")
        ax.plot(card.volts[every], card.surface[row, every] * 1e6, "o", color=colour, markersize=2.5)
    ax.axvspan(-card.full_scale, card.full_scale, color=MUTED, alpha=0.08, linewidth=0, zorder=0)
    ax.set_xlabel("voltage across the unit (V)")
    ax.set_ylabel("current (µA)")
    products = "1 product" if card.rank == 1 else f"{card.rank} products"
    ax.set_title(f"{card.unit}: {products}, within {card.error:.2g} of the largest")
    ax.legend(title="control", loc="upper left", bbox_to_anchor=(1.0, 1.0))


__all__ = ["plot_device_card"]
