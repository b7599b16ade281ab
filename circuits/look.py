"""The look that all pictures share. No global state: a Figure is returned, never shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

F = TypeVar("F", bound=Callable[..., Figure])

# Told apart by every kind of colour vision: Okabe & Ito (2008), whose yellow is too light for lines on paper, and two
# dark ones of Tol (2021), wine and indigo.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#882255", "#332288")
MARKS = "osD^vX*P<"
LINES = ("-", "--", "-.", ":")
INK, MUTED, FAINT = "#1f2328", "#59636e", "#d9dee3"
LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "legend.fontsize": 8.0,
    "legend.title_fontsize": 8.0,
    "legend.frameon": False,
    "figure.dpi": 110.0,
    "figure.facecolor": "white",
}


def drawn(function: F) -> F:
    """Draw in the shared look; the caller's own settings are as before afterwards."""
    return mpl.rc_context(LOOK)(function)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, that no window knows of."""
    return Figure(figsize=(width, height), layout="constrained")


def series_looks() -> Iterator[dict[str, Any]]:
    """Options of `Axes.plot`, one series after another: a colour that comes again is dashed, and hollow."""
    for k in count():
        turn, n = divmod(k, len(COLOURS))
        face = "none" if turn % 2 else COLOURS[n]
        yield {
            "color": COLOURS[n], "marker": MARKS[n], "linestyle": LINES[turn % len(LINES)], "markerfacecolor": face,
        }  # fmt: skip


def plain_ticks(axis: Axis) -> None:
    """5, 10, 20, … on a logarithmic axis instead of powers of ten."""
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def bars(ax: Axes, values: Mapping[str, float], colour: str, said: Callable[[float], str]) -> None:
    """Horizontal bars by name, the last on top, each with its value in words; – where there is nothing."""
    ax.barh(list(values), list(values.values()), color=colour, height=0.68)
    for row, value in enumerate(values.values()):
        ax.annotate(
            said(value) if value else "–", (value, row) if value else (0, row), xytext=(4, 0), va="center",
            xycoords="data" if value else ax.get_yaxis_transform(), textcoords="offset points",
            fontsize=8, color=INK if value else MUTED,
        )  # fmt: skip
    ax.set_xlim(0, max(values.values(), default=0.0) * 1.28 or 1.0)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
