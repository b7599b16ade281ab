"""Pictures of what analyses find: noise by array and by cell, gradients by term, a layer that learns, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..circuits.errors import Error
from ..circuits.look import COLOURS, bars, drawn, new_figure, plain_ticks
from ..circuits.units import engineering
from ..circuits.words import counted
from .memory import PARTS, Memory

if TYPE_CHECKING:
    from .ecl_steps import Learned
    from .gradients import Gradients
    from .noise import Fluctuations
    from .noise_shares import NoiseShares

Array = Any
BETWEEN = (5, 95)  # percentiles of nodes


@drawn
def plot_fluctuations(found: Fluctuations) -> Figure:
    """σ of every array's nodes, in % of full scale: rms over nodes as a mark, most of the nodes as a line.

    Rows are arrays in feed-forward order, first at the top.
    """
    names = list(found.rms)
    figure, ax = _rows(names)
    for row, name in enumerate(names):
        present = np.broadcast_to(found.circuit.arrays[name].present, found.variance[name].shape)
        sigma = 100 * np.sqrt(found.variance[name][present])
        colour = COLOURS[1] if name == found.worst else COLOURS[0]
        if sigma.size:
            ax.plot(np.percentile(sigma, BETWEEN), [row, row], color=colour, linewidth=2.2, alpha=0.45)
        ax.plot(100 * found.rms[name], row, "o", color=colour, markersize=4)
    ax.set_xscale("log")
    plain_ticks(ax.xaxis)
    ax.set_xlabel("σ of a node's noise (% of full scale)")
    ax.set_title(f"mark: rms; line: {BETWEEN[0]} … {BETWEEN[1]} % of nodes; worst {found.worst}", fontsize=8)
    return figure


@drawn
def plot_noise_shares(found: NoiseShares) -> Figure:
    """Shares of the variance, by kind of cell on the left, by layer on the right (%)."""
    kinds, layers = found.by("kind"), found.by("layer")
    figure = new_figure(7.4, 0.95 + 0.27 * max(len(kinds), len(layers)))
    left, right = figure.subplots(1, 2)
    for ax, shares, colour, title in ((left, kinds, COLOURS[0], "by kind"), (right, layers, COLOURS[1], "by layer")):
        _shares(ax, shares, colour)
        ax.set_title(title)
    figure.suptitle(f"variance of σ = {found.rms:.3g}, in logical units", x=0.01, ha="left", fontsize=9.5)
    return figure


def _shares(ax: Axes, shares: Mapping[str, float], colour: str) -> None:
    percent = {name or "circuit": 100 * share for name, share in reversed(list(shares.items()))}
    bars(ax, percent, colour, lambda value: f"{value:.2g} %")
    ax.set_xlabel("share of the variance (%)")


@drawn
def plot_gradients(found: Gradients) -> Figure:
    """rms of dL/dw of every term over its programmed values, logical units (nat per unit of weight).

    Rows are terms as the circuit has them, first at the top.
    """
    sizes = {name: float(np.sqrt(np.mean(np.square(value)))) for name, value in found.terms.items()}
    names = list(sizes)
    figure, ax = _rows(names)
    there = [(row, sizes[name]) for row, name in enumerate(names) if sizes[name]]
    if not there:
        raise Error("every gradient is 0: nothing to draw")
    rows, values = zip(*there, strict=True)
    ax.hlines(rows, min(values) / 2, values, color=COLOURS[0], linewidth=1.2, alpha=0.45)
    ax.plot(values, rows, "o", color=COLOURS[0], markersize=4)
    ax.set_xscale("log")
    plain_ticks(ax.xaxis)
    ax.set_xlim(left=min(values) / 2)
    ax.set_xlabel("rms gradient dL/dw (nat per logical unit)")
    ax.set_title(f"loss {float(np.mean(found.loss)):.4g} nat, {counted(len(found.loss), 'sample')}")
    return figure


@drawn
def plot_learned(found: Learned) -> Figure:
    """Loss ½ Σ I_L² before each presentation, in squares of the output's unit."""
    figure = new_figure(7.0, 3.2)
    ax = figure.subplots()
    ax.plot(np.arange(1, len(found.loss) + 1), found.loss, color=COLOURS[0])
    positive = found.loss[found.loss > 0]
    if len(positive) and positive.max() > 20 * positive.min():
        ax.set_yscale("log")
    ax.set_xlim(left=0)
    ax.set_xlabel("presentation")
    ax.set_ylabel("loss ½ Σ I² (output unit²)")
    ax.set_title(f"{counted(found.weight.size, 'weight')}, {found.at_rails:,} at the rails")
    return figure


@drawn
def plot_memory(found: Memory) -> Figure:
    """Bytes of a run by part."""
    parts = {part: getattr(found, part) / 1e6 for part in reversed(PARTS)}
    figure = new_figure(5.2, 2.3)
    ax = figure.subplots()
    bars(ax, parts, COLOURS[0], lambda megabytes: engineering(int(megabytes * 1e6), "B"))
    ax.set_xlabel("memory (MB)")
    ax.set_title(f"{engineering(found.total, 'B')} on {found.device}")
    return figure


def _rows(names: list[str]) -> tuple[Figure, Axes]:
    """An empty row for each name, the first at the top."""
    figure = new_figure(7.0, min(1.1 + 0.15 * len(names), 11.0))
    ax = figure.subplots()
    ax.set_ylim(len(names) - 0.4, -0.6)
    every = -(-len(names) // 90)
    ax.set_yticks(range(0, len(names), every), names[::every], fontsize=6.5)
    ax.tick_params(axis="y", length=0)
    return figure, ax


__all__ = ["plot_fluctuations", "plot_gradients", "plot_learned", "plot_memory", "plot_noise_shares"]
