"""Picture of a device card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..look import COLOURS, LINES, MUTED, drawn, new_figure
from ..units import engineering
from .cell_card import CellCard

if TYPE_CHECKING:
    from .card import DeviceCard

GATES_SHOWN = 6


@drawn
def plot_device_card(card: DeviceCard) -> Figure:
    """Currents of a unit against its voltage at a few control voltages, conductance against control, and if the card
    has a tanh pair and a rectifier, what they deliver more than the ideal ones.

    Marks are the points measured, lines the card's factors. Grey: full scale.
    """
    cells = [cell for cell in card.cells.values() if isinstance(cell, CellCard)]
    figure = new_figure(8.0 + 3.3 * len(cells), 3.4)
    left, right, *others = figure.subplots(1, 2 + len(cells))
    for ax, cell in zip(others, cells, strict=True):
        _cell(ax, cell)
    _currents(left, card)
    inside = card.gates[(card.gates >= 0) & (card.gates <= card.reach)]
    right.plot(inside, card.conductance(inside) * 1e6, color=COLOURS[0])
    right.set_xlabel("control voltage (V)")
    right.set_ylabel("conductance (µS)")
    right.set_title(f"{card.width * 1e9:.0f} nm × {card.length * 1e6:g} µm, {card.temperature:.0f} K")
    return figure


def _cell(ax: Axes, cell: CellCard) -> None:
    """What a cell delivers more than its ideal law."""
    of = "its tail's current" if cell.cell == "tanh" else engineering(cell.largest, "A")
    fine = np.linspace(np.min(cell.ideal), np.max(cell.ideal), 201)
    every = slice(None, None, max(1, len(cell.ideal) // 24))
    ax.plot(100 * fine, 100 * (cell.value(fine) - fine), color=COLOURS[0], label="card")
    ax.plot(
        100 * cell.ideal[every], 100 * (cell.measured - cell.ideal)[every], "o", color=COLOURS[1], markersize=2.5,
        label="measured",
    )  # fmt: skip
    ax.axhline(0, color=MUTED, linewidth=0.6, zorder=1)
    ax.set_xlabel(f"ideal {cell.cell} (% of {of})")
    ax.set_ylabel("transistors − ideal (%)")
    ax.set_title(f"{cell.cell}: card within {100 * cell.error:.2g} %")
    ax.legend()


def _currents(ax: Axes, card: DeviceCard) -> None:
    usable = np.flatnonzero((card.gates >= 0) & (card.gates <= card.reach))
    chosen = usable[np.linspace(len(usable) - 1, len(usable) // 3, GATES_SHOWN).astype(int)]
    every = slice(None, None, max(1, len(card.volts) // 16))
    fine = np.linspace(card.volts[0], card.volts[-1], 201)
    for k, row in enumerate(chosen):
        colour = COLOURS[k % len(COLOURS)]
        gate = card.gates[row]
        ax.plot(fine, card.current(gate, fine) * 1e6, LINES[k % len(LINES)], color=colour, label=f"{gate:.2f} V")
        ax.plot(card.volts[every], card.surface[row, every] * 1e6, "o", color=colour, markersize=2.5)
    ax.axvspan(-card.full_scale, card.full_scale, color=MUTED, alpha=0.08, linewidth=0, zorder=0)
    ax.set_xlabel("voltage across the unit (V)")
    ax.set_ylabel("current (µA)")
    products = "1 product" if card.rank == 1 else f"{card.rank} products"
    ax.set_title(f"{card.unit}: {products}, within {100 * card.error:.2g} % of the largest")
    ax.legend(title="control voltage", loc="upper left", bbox_to_anchor=(1.0, 1.0))


__all__ = ["plot_device_card"]
