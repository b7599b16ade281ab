"""Pictures of a sweep: curves with bands or a heat map of the mean, and the yield."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..circuits.errors import Error, shown
from ..circuits.look import COLOURS, INK, MARKS, MUTED, drawn, new_figure, plain_ticks
from ..circuits.units import PLAIN, scaled
from ..circuits.words import counted
from .grid import unit_of
from .metrics import METRICS
from .result import Swept

Array = Any
MOST_TICKS = 9
LOGARITHMIC = 30.0  # largest over smallest mean, from which on


@drawn
def plot_sweep(found: Swept, metric: str, *, at: dict[str, Any] | None = None) -> Figure:
    """Mean of a metric over the first axis, one curve for each value of the second, bands of ± one deviation over chips
    and noise seeds; beside it a heat map if there are two axes, and the yield if there is a limit.

    at: {axis: value} of axes after the second; the first value of each by default.
    Raises Error for a metric that was not computed, and a value that an axis does not have.
    """
    panels = [_curves, *([_heat] if len(found.axes) > 1 else []), *([_yield] if metric in found.limits else [])]
    chosen = _chosen(found, at or {})
    found.of(metric)
    figure = new_figure(4.1 * len(panels) + 0.4 + 0.9 * (len(found.axes) > 1), 3.6)
    figure.set_layout_engine("constrained", w_pad=0.12)  # axes with labels on both sides
    for ax, draw in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        draw(ax, found, metric, chosen)
    _legend(figure, found)
    return figure


@drawn
def plot_yield(found: Swept, metric: str, limit: float | None = None, *, at: dict[str, Any] | None = None) -> Figure:
    """Share of chips × noise seeds within a limit (the sweep's own by default), as `plot_sweep` has it."""
    figure = new_figure(4.6 + 0.9 * (len(found.axes) > 1), 3.6)
    _yield(figure.subplots(), found, metric, _chosen(found, at or {}), limit)
    _legend(figure, found)
    return figure


def _chosen(found: Swept, at: dict[str, Any]) -> tuple[int, ...]:
    """Index along the axes after the second."""
    later = list(found.axes)[2:]
    for name in at:
        if name not in later:
            raise Error(f"{shown(name)} is no axis after the second: these are {', '.join(later) or 'none'}")
    for name, value in at.items():
        if value not in found.axes[name]:
            raise Error(f"{name} {value!r} was not swept: use one of {', '.join(map(_label, found.axes[name]))}")
    return tuple(found.axes[name].index(at.get(name, found.axes[name][0])) for name in later)


# --- panels -----------------------------------------------------------------------------------------


def _curves(ax: Axes, found: Swept, metric: str, chosen: tuple[int, ...]) -> None:
    mean, deviation = (_two(found, each(metric), chosen) for each in (found.mean, found.deviation))
    factor, unit = _scale(mean, METRICS[metric].unit)
    x = _positions(ax, found)
    for k, (label, colour, marker) in enumerate(_styles(found)):
        low, high = ((mean[:, k] + sign * np.nan_to_num(deviation[:, k])) * factor for sign in (-1, 1))
        ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, mean[:, k] * factor, marker=marker, color=colour, label=label, markersize=4)
    if metric in found.limits:
        limit = found.limits[metric] * factor
        ax.axhline(limit, color=MUTED, linewidth=0.9, linestyle="--")
        ax.annotate(f"limit {limit:g}", (1, limit), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", ha="left", va="center", fontsize=8, color=MUTED)  # fmt: skip
    if _steep(mean):
        positive = np.array([*mean[np.isfinite(mean)], *(x for x in [found.limits.get(metric, 0.0)] if x > 0)])
        ax.set_yscale("log")
        ax.set_ylim(positive.min() * factor / 2, positive.max() * factor * 4)
        plain_ticks(ax.yaxis)
    ax.set_ylabel(_axis_label(METRICS[metric].meaning, unit))
    ax.set_title(_of_how_many(found))


def _alone(found: Swept) -> bool:
    """Whether each point is one reading, so that there is nothing to take a mean of."""
    return len(found.grid.chips) * len(found.grid.noise_seeds) == 1


def _of_how_many(found: Swept) -> str:
    chips, seeds = len(found.grid.chips), len(found.grid.noise_seeds)
    of = counted(chips, "chip") + (f" × {seeds} seeds" if seeds > 1 else "")
    return of if _alone(found) else f"mean ± deviation, {of}"


def _steep(values: Array) -> bool:
    """Whether they want a logarithmic axis."""
    there = values[np.isfinite(values)]
    return bool(len(there)) and there.min() > 0 and there.max() > LOGARITHMIC * there.min()


def _heat(ax: Axes, found: Swept, metric: str, chosen: tuple[int, ...]) -> None:
    mean = _two(found, found.mean(metric), chosen)
    factor, unit = _scale(mean, METRICS[metric].unit)
    values = np.ma.masked_invalid(mean.T * factor)
    steep = _steep(mean)
    norm = mpl.colors.LogNorm() if steep else mpl.colors.Normalize()
    image = ax.imshow(values, origin="lower", aspect="auto", cmap="cividis", norm=norm, interpolation="nearest")
    (first, xs), (second, ys), *_ = found.axes.items()
    _ticks(ax.set_xticks, ax.set_xlabel, xs, first)
    _ticks(ax.set_yticks, ax.set_ylabel, ys, second)
    if values.size <= 48:
        for (row, column), value in np.ndenumerate(values.filled(np.nan)):
            dark = np.isfinite(value) and float(norm(value)) < 0.55
            text = f"{float(f'{value:.3g}'):,.6g}" if np.isfinite(value) else "–"
            colour = "white" if dark else INK
            ax.annotate(text, (column, row), ha="center", va="center", fontsize=7, color=colour)
    ax.grid(False)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label(_axis_label(METRICS[metric].meaning + ("" if _alone(found) else ", mean"), unit))
    bar.outline.set_visible(False)
    if steep:
        plain_ticks(bar.ax.yaxis)


def _yield(ax: Axes, found: Swept, metric: str, chosen: tuple[int, ...], limit: float | None = None) -> None:
    share = 100 * _two(found, found.yield_at(metric, limit), chosen)
    x = _positions(ax, found)
    for k, (label, colour, marker) in enumerate(_styles(found)):
        ax.plot(x, share[:, k], marker=marker, color=colour, label=label, markersize=4)
    ax.set_ylim(-4, 104)
    level = found.limits[metric] if limit is None else limit
    factor, unit = _scale(np.array([level]), METRICS[metric].unit)
    sign = "≤" if METRICS[metric].fewer else "≥"
    ax.set_ylabel(f"yield (% of chips with {metric} {sign} {level * factor:g}{'' if unit in PLAIN else ' ' + unit})")


# --- axes -------------------------------------------------------------------------------------------


def _two(found: Swept, values: Array, chosen: tuple[int, ...]) -> Array:
    """(first axis, second axis) of an array over all axes; one column, or row, where there is no such axis."""
    if len(found.axes) < 2:
        return np.reshape(values, (-1, 1))
    return values[(slice(None), slice(None), *chosen)]


def _positions(ax: Axes, found: Swept) -> Array:
    """Where the values of the first axis stand, those without a result too; words side by side."""
    name, values = next(iter(found.axes.items()), ("", [0]))
    factor, unit = _scale_of(name, values)
    ax.set_xlabel(_axis_label(name, unit))
    if not all(isinstance(value, int | float) for value in values):
        ax.set_xticks(range(len(values)), _labels(values, factor))
        ax.set_xlim(-0.5, len(values) - 0.5)
        return np.arange(len(values))
    x = np.array(values, float)
    ax.update_datalim(np.column_stack([x * factor, x]), updatey=False)
    steps = np.diff(x) if len(x) > 2 and (x > 0).all() else np.zeros(1)
    if len(steps) > 1 and steps.max() > 3 * steps.min() > 0:
        ax.set_xscale("log")
        ax.set_xticks(x * factor, [f"{value:.3g}" for value in x * factor])
        ax.minorticks_off()
    return x * factor


def _styles(found: Swept) -> list[tuple[str, Any, str]]:
    """(label, colour, marker) of each curve."""
    if len(found.axes) < 2:
        return [("", COLOURS[0], "o")]
    name, values = list(found.axes.items())[1]
    factor, unit = _scale_of(name, values)
    said = _labels(values, factor)
    many = len(values) > len(COLOURS)
    colours = mpl.colormaps["cividis"](np.linspace(0, 0.9, len(values))) if many else COLOURS
    end = "" if unit in PLAIN else f" {unit}"
    return [(f"{text}{end}", colours[k], MARKS[k % len(MARKS)]) for k, text in enumerate(said)]


def _legend(figure: Figure, found: Swept) -> None:
    """One for all panels, beside them: the curves of the first."""
    if len(found.axes) > 1:
        curves = figure.axes[0].get_legend_handles_labels()
        figure.legend(*curves, loc="outside right upper", title=list(found.axes)[1])


def _ticks(put: Any, label: Any, values: Sequence[Any], name: str) -> None:
    """The values themselves, some of them where there are many."""
    factor, unit = _scale_of(name, values)
    every = -(-len(values) // MOST_TICKS)
    put(range(0, len(values), every), _labels(values, factor)[::every])
    label(_axis_label(name, unit))


def _scale_of(name: str, values: Sequence[Any]) -> tuple[float, str]:
    """Of the numbers along an axis."""
    return _scale(np.array([value for value in values if isinstance(value, int | float)], float), unit_of(name))


def _labels(values: Sequence[Any], factor: float) -> list[str]:
    return [_label(value * factor if isinstance(value, int | float) else value) for value in values]


def _axis_label(what: str, unit: str) -> str:
    return what if unit == "1" else f"{what} ({unit})"


def _label(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:.3g}"


def _scale(values: Array, unit: str) -> tuple[float, str]:
    """Factor and unit that put the largest number there is into 1 … 1000."""
    return scaled(float(np.max(np.abs(values[np.isfinite(values)]), initial=0.0)), unit)
