"""Pictures of an account of energy: joules by part, drawn from the supply beside dissipated as heat. Of a placement."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..circuits.look import COLOURS, bars, drawn, new_figure
from ..circuits.units import engineering, scaled
from ..circuits.words import counted
from .placement import Placement
from .report import EnergyReport


@drawn
def plot_energy(report: EnergyReport | Mapping[str, Any]) -> Figure:
    """Joules by part: drawn from the supply on the left, dissipated in elements on the right; never added, each on
    its own scale.

    report: an EnergyReport, or its `to_json()` as a run file keeps it.
    """
    table = report.to_json() if isinstance(report, EnergyReport) else dict(report)
    parts = dict(sorted(table["by_part"].items(), key=lambda item: item[1]["drawn"]))
    figure = new_figure(7.4, 0.95 + 0.27 * len(parts))
    left, right = figure.subplots(1, 2, sharey=True)
    totals = {"drawn": table["total"], "dissipated": table["dissipated"]}
    titles = {"drawn": "drawn from the supply", "dissipated": "dissipated in elements"}
    for ax, kind, colour in ((left, "drawn", COLOURS[0]), (right, "dissipated", COLOURS[1])):
        _bars(ax, {name: cost[kind] for name, cost in parts.items()}, colour)
        ax.set_title(f"{titles[kind]}: {engineering(totals[kind], 'J')}")
    return figure


def _bars(ax: Axes, joules: Mapping[str, float], colour: str) -> None:
    scale, unit = scaled(max(joules.values(), default=0.0), "J")
    shown = {name: value * scale for name, value in joules.items()}
    bars(ax, shown, colour, lambda value: engineering(value / scale, "J"))
    ax.set_xlabel(f"energy ({unit})")


@drawn
def plot_placement(found: Placement) -> Figure:
    """Seconds and joules of programming once, of what chips send for a prompt, and of programming again where there are
    too few of them; logarithmic."""
    costs = {"programming, once": found.programming, "transfers, a prompt": found.transfer} | {
        f"programming again, a {occasion}": cost for occasion, cost in found.reprogramming.items()
    }
    figure = new_figure(7.4, 1.2 + 0.34 * len(costs))
    left, right = figure.subplots(1, 2, sharey=True)
    for ax, unit, colour in ((left, "s", COLOURS[0]), (right, "J", COLOURS[1])):
        values = {name: cost.seconds if unit == "s" else cost.joules for name, cost in reversed(costs.items())}
        bars(ax, values, colour, partial(engineering, unit=unit))
        there = [value for value in values.values() if value]
        if there:
            ax.set_xscale("log")
            ax.set_xlim(min(there) / 10, max(there) * 30)
        ax.set_xlabel("time (s)" if unit == "s" else "energy (J)")
    few = "" if found.passes == 1 else f", {found.passes:,} passes"
    figure.suptitle(
        f"{found.model} on {counted(found.chips, 'chip')} of {found.machine} (needed: {found.needed:,}{few}), "
        f"{counted(found.tokens, 'token')}, {found.mode}", x=0.01, ha="left", fontsize=9.5, fontweight="bold",
    )  # fmt: skip
    return figure


__all__ = ["plot_energy", "plot_placement"]
