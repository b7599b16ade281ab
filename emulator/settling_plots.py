"""Pictures of settling: error against time by layer, the front running through the machine, what moves when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from ..circuits.errors import Error
from ..circuits.look import FAINT, MUTED, drawn, new_figure
from .activity import UNIT
from .errors_by_layer import error_at, worst_by_layer
from .plotting import mark_settling, recorded, settling_of
from .traces import Trace

Array = Any
BITS_SHOWN = 12
DECADES_SHOWN = (-5, 0)


@drawn
def plot_settling(source: Any, *, settle_bits: float = 8) -> Figure:
    """Error against time of each layer's worst array: max|x − x_op|, share of full scale, logarithmic.

    source: a run observed by `ErrorByLayer`, or that observer. The line at 2^−settle_bits is what settled means.
    """
    observer, errors = _errors(source)
    by_layer = worst_by_layer(errors, observer.layers)
    settled = settling_of(source)
    figure = new_figure(7.0, 3.7)
    ax = figure.subplots()
    colours = mpl.colormaps["cividis"](np.linspace(0.0, 0.88, len(by_layer)))
    for (layer, trace), colour in zip(by_layer.items(), colours, strict=True):
        ax.plot(
            trace.times * 1e9, np.maximum(trace.values, 1e-9), color=colour, label=layer or "circuit", linewidth=1.8
        )
    band = 2.0**-settle_bits
    end = max(float(t.times[-1]) for t in by_layer.values())
    low = min(float(np.min(t.values[t.times >= 0.9 * end], initial=1.0)) for t in by_layer.values())
    ax.axhspan(1e-12, band, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
    ax.annotate(
        f"within {settle_bits:g} bits:\nbelow 2$^{{-{settle_bits:g}}}$ of full scale",
        (0.0, 0.0), xycoords="axes fraction", xytext=(6, 6), textcoords="offset points",
        va="bottom", fontsize=8, color=MUTED, linespacing=1.4,
    )  # fmt: skip
    ax.set_title("worst array of each layer")
    ax.set_yscale("log")
    ax.set_ylim(max(low / 3, 1e-7), None)
    ax.set_xlim(0, end * 1e9)
    ax.set_xlabel("time (ns)")
    ax.set_ylabel("error (share of full scale)")
    ax.legend(title="layer", loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1.4)
    mark_settling([ax], settled)
    return figure


@drawn
def plot_front(source: Any, *, settle_bits: float = 8, columns: int = 500, title: str = "") -> Figure:
    """The front running through the machine: bits settled, −log₂(error / full scale), of every array against time.

    Rows are arrays in feed-forward order, first at the top. source: a run observed by `ErrorByLayer`, or the
    observer. The line is where an array has `settle_bits`.
    """
    observer, errors = _errors(source)
    times = np.linspace(0, max(float(t.times[-1]) for t in errors.values()), columns)
    bits = np.array([-np.log2(error_at(trace, times)) for trace in errors.values()])
    figure, ax, bar = _heat_map(observer.layers, list(errors), times, bits, (0, BITS_SHOWN), title)
    _front_line(ax, bits, times * 1e9, settle_bits)
    bar.set_ticks([0, 2, 4, 6, 8, 10, 12])
    bar.set_label("bits settled: −log₂(error / full scale)")
    bar.ax.axhline(settle_bits, color="white", linewidth=1.4)
    mark_settling([ax], settling_of(source))
    return figure


@drawn
def plot_activity(source: Any, *, columns: int = 500, title: str = "") -> Figure:
    """What moves when: rms |C dv/dt| / (g₀ V_FS) of every array against time, decades.

    Rows as in `plot_front`. source: a run observed by `Activity`, or the observer.
    """
    observer, traces = _by_array(source, UNIT, "no activity was recorded: pass observers=[ds.Activity()] to the run")
    times = np.linspace(0, max(float(t.times[-1]) for t in traces.values()), columns)
    decades = np.log10([error_at(trace, times) for trace in traces.values()])
    figure, ax, bar = _heat_map(observer.layers, list(traces), times, decades, DECADES_SHOWN, title)
    bar.set_ticks(range(DECADES_SHOWN[0], 1), labels=[f"$10^{{{k}}}$" for k in range(DECADES_SHOWN[0], 0)] + ["1"])
    bar.set_label("activity: rms |C dv/dt| / (g₀ · full scale)")
    mark_settling([ax], settling_of(source), colour="white")
    return figure


def _heat_map(
    layers: Mapping[str, str],
    names: Sequence[str],
    times: Array,
    values: Array,
    shown: tuple[float, float],
    title: str,
) -> tuple[Figure, Axes, Colorbar]:
    """Values (array, time) by colour from shown[0] to shown[1], arrays named and grouped by layer."""
    figure = new_figure(7.4, min(max(2.6, 0.062 * len(names) + 1.2), 9.0))
    ax = figure.subplots()
    end, step = times[-1] * 1e9, times[1] * 1e9 / 2
    image = ax.imshow(
        values, aspect="auto", cmap="cividis", vmin=shown[0], vmax=shown[1], interpolation="nearest",
        extent=(-step, end + step, len(names) - 0.5, -0.5),
    )  # fmt: skip
    _layer_axis(ax, [layers.get(name, "") for name in names], names)
    ax.grid(False)
    ax.set_xlim(0, end)
    ax.set_xlabel("time (ns)")
    bar = figure.colorbar(image, ax=ax, pad=0.015, aspect=30, extend="max")
    bar.outline.set_visible(False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure, ax, bar


def _front_line(ax: Axes, bits: Array, nanoseconds: Array, settle_bits: float) -> None:
    """Step line through the time after which each array keeps its bits."""
    late = bits < settle_bits
    last = np.where(late.any(axis=1), late.shape[1] - 1 - late[:, ::-1].argmax(axis=1), 0)
    rows = np.arange(len(bits) + 1) - 0.5
    middle = len(bits) // 4
    ax.annotate(
        f"{settle_bits:g} bits", (nanoseconds[last[middle]], middle), xytext=(-6, 0), textcoords="offset points",
        ha="right", va="center", color="white", fontsize=8, fontweight="bold",
    )  # fmt: skip
    ax.step(np.append(nanoseconds[last], nanoseconds[last[-1]]), rows, where="post", color="white", linewidth=1.3)


def _layer_axis(ax: Axes, layers: Sequence[str], names: Sequence[str]) -> None:
    """Layers named at their middle, divided by lines; array names where a circuit has no layers and few arrays."""
    starts = [0, *(k for k in range(1, len(layers)) if layers[k] != layers[k - 1])]
    ends = [*starts[1:], len(layers)]
    if len(names) <= 16:
        ax.set_yticks(range(len(names)), names)
    else:
        ax.set_yticks([(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)], [layers[a] for a in starts])
    ax.tick_params(axis="y", length=0)
    for k in starts[1:]:
        ax.axhline(k - 0.5, color=FAINT, linewidth=0.7, alpha=0.55)
    ax.set_ylabel("array, in feed-forward order" if len(names) <= 16 else "layer (one row an array)")


def has_errors(source: Any) -> bool:
    """Whether there is a front to draw."""
    return _traced(source, "1") is not None


def _errors(source: Any) -> tuple[Any, dict[str, Trace]]:
    """The observer of errors and its traces."""
    return _by_array(source, "1", "no error was recorded: pass observers=[ds.ErrorByLayer()] to the run")


def _by_array(source: Any, unit: str, missing: str) -> tuple[Any, dict[str, Trace]]:
    """The first observer that has layers and traces in a unit, and these; Error `missing` without one."""
    found = _traced(source, unit)
    if found is None:
        raise Error(missing)
    return found


def _traced(source: Any, unit: str) -> tuple[Any, dict[str, Trace]] | None:
    for observer in [source, *getattr(source, "observed", {}).values()]:
        traces = recorded(observer, unit) if hasattr(observer, "layers") else {}
        if traces:
            return observer, traces
    return None


__all__ = ["has_errors", "plot_activity", "plot_front", "plot_settling"]
