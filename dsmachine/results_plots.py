"""Pictures of a training and of a device card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .circuits.devices.card import DeviceCard
from .emulator.plotting import COLOURS, MUTED, drawn, new_figure

if TYPE_CHECKING:
    from .training import Trained

LINES = ("-", "--", "-.", ":")
GATES_SHOWN = 6


@drawn
def plot_training(found: Trained | Mapping[str, Trained]) -> Figure:
    """Loss [nat a token] of each step's samples; at both ends the loss on what is not learnt, where it was asked.

    found: a training, or several by their names in the legend.
    """
    runs = found if isinstance(found, Mapping) else {"": found}
    figure = new_figure(7.0, 3.5)
    ax = figure.subplots()
    for k, (name, run) in enumerate(runs.items()):
        colour = COLOURS[k % len(COLOURS)]
        label = ", ".join(part for part in (name, "learnt") if part)
        steps = np.arange(1, run.steps + 1)
        ax.plot(steps, run.loss, LINES[k % len(LINES)], color=colour, linewidth=1.0, label=label)
        asked = run.validation.get("loss", [])
        if len(asked) == 2:
            label = ", ".join(part for part in (name, "held out") if part)
            ax.plot([0, run.steps], asked, "o", color=colour, markersize=6, label=label, clip_on=False, zorder=3)
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nat a token)")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


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
    ax.set_title(f"{card.unit}: {card.rank} products, within {card.error:.2g} of the largest")
    ax.legend(title="control", loc="upper left", bbox_to_anchor=(1.0, 1.0))


__all__ = ["plot_device_card", "plot_training"]
