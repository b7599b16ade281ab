"""Pictures of an account of energy: joules by part, what the supply delivers beside what becomes heat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..emulator.plotting import COLOURS, INK, MUTED, drawn, new_figure
from .report import EnergyReport, engineering


@drawn
def plot_energy(report: EnergyReport | Mapping[str, Any]) -> Figure:
    """Joules by part: drawn from the supply on the left, dissipated in elements on the right; one scale, never added.

    report: an EnergyReport, or its `to_json()` as a run file keeps it.
    """
    table = report.to_json() if isinstance(report, EnergyReport) else dict(report)
    parts = dict(sorted(table["by_part"].items(), key=lambda item: item[1]["drawn"]))
    figure = new_figure(7.4, 0.95 + 0.27 * len(parts))
    left, right = figure.subplots(1, 2, sharey=True, sharex=True)
    top = max((max(cost["drawn"], cost["dissipated"]) for cost in parts.values()), default=0.0)
    totals = {"drawn": table["total"], "dissipated": table["dissipated"]}
    titles = {"drawn": "drawn from the supply", "dissipated": "dissipated in elements"}
    for ax, kind, colour in ((left, "drawn", COLOURS[0]), (right, "dissipated", COLOURS[1])):
        _bars(ax, {name: cost[kind] for name, cost in parts.items()}, colour, top)
        ax.set_title(f"{titles[kind]}: {engineering(totals[kind], 'J')}")
    return figure


def _bars(ax: Axes, joules: Mapping[str, float], colour: str, top: float) -> None:
    scale, unit = _prefix(top)
    ax.barh(list(joules), [j * scale for j in joules.values()], color=colour, height=0.68)
    for row, value in enumerate(joules.values()):
        ax.annotate(
            engineering(value, "J") if value else "–", (value * scale, row), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8, color=INK if value else MUTED,
        )  # fmt: skip
    ax.set_xlim(0, top * scale * 1.28 or 1.0)
    ax.set_xlabel(f"energy ({unit}J)")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _prefix(joules: float) -> tuple[float, str]:
    """Factor and SI prefix that put a value into 1 … 1000."""
    for power, prefix in ((0, ""), (-3, "m"), (-6, "µ"), (-9, "n"), (-12, "p"), (-15, "f")):
        if joules >= 10.0**power:
            return 10.0**-power, prefix
    return 1e18, "a"


__all__ = ["plot_energy"]
