"""Pictures of waveforms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..circuits.errors import Error
from ..circuits.look import COLOURS, INK, MUTED, drawn, new_figure
from .activity import UNIT as ACTIVITY
from .traces import Trace, Traced

Array = Any
SAID = {"1": "error (share of full scale)", ACTIVITY: "activity (full-scale current)"}


def mark_settling(axes: Iterable[Axes], seconds: float | None, *, colour: str = INK) -> None:
    """A line where the machine settled, of a colour seen on what it crosses; named on the first of the axes."""
    if seconds is None or not np.isfinite(seconds):
        return
    for k, ax in enumerate(axes):
        ax.axvline(seconds * 1e9, color=colour, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1.5)
        if k == 0:
            ax.annotate(
                f"settled {seconds * 1e9:.0f} ns",
                (seconds * 1e9, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=INK,
                annotation_clip=False,
            )


def settling_of(run: Any) -> float | None:
    """Oracle settling time [s] of a run's slowest sample; None for anything that has none."""
    time = getattr(run, "settling_time", None)
    return float(np.max(time)) if time is not None and np.isfinite(time).all() else None


def recorded(source: Any, unit: str) -> dict[str, Trace]:
    """Traces in a unit, of an observer, or of all observers of a run."""
    if isinstance(source, Traced):
        observers: list[Any] = [source]
    else:
        observers = list(getattr(source, "observed", {}).values())
    found: dict[str, Trace] = {}
    for observer in observers:
        if isinstance(observer, Traced):
            found |= {name: trace for name, trace in observer.traces().items() if trace.unit == unit}
    return found


@drawn
def plot_waveforms(
    source: Any,
    names: Iterable[str] | None = None,
    *,
    nodes: int = 6,
    sample: int = 0,
    title: str = "",
) -> Figure:
    """Voltages of chosen nodes against time, one panel an array, mV and ns.

    source: a run (all its probes) or one probe. names: arrays, default all recorded. nodes: so many of an
    array at most (up to 9), spread from the highest to the lowest at the end; the legend has their indices in the
    array. sample: row of the batch.
    Raises Error when nothing was recorded.
    """
    traces = _chosen(recorded(source, "V"), names)
    figure = new_figure(7.0, 0.75 + 1.45 * len(traces))
    axes = np.ravel(figure.subplots(len(traces), 1, sharex=True, squeeze=False))
    for ax, (name, trace) in zip(axes, traces.items(), strict=True):
        _panel(ax, name, trace, nodes, sample)
    settled = settling_of(source)
    mark_settling(axes, settled)
    figure.supylabel("voltage (mV)", fontsize=9)
    axes[-1].set_xlabel("time (ns)")
    axes[-1].set_xlim(0, max(float(t.times[-1]) for t in traces.values()) * 1e9)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


@drawn
def plot_trace(trace: Trace) -> Figure:
    """One record against time: volts of some nodes (mV) of the first sample, a share of full scale, or another unit."""
    figure = new_figure(7.0, 2.6)
    ax = figure.subplots()
    if trace.unit == "V":
        _panel(ax, "", trace, 6, 0)
        ax.set_ylabel("voltage (mV)")
    else:
        ax.plot(trace.times * 1e9, trace.values.reshape(len(trace.times), -1), color=COLOURS[0])
        ax.set_ylabel(SAID.get(trace.unit, trace.unit))
    ax.set_xlabel("time (ns)")
    ax.set_xlim(0, float(trace.times[-1]) * 1e9)
    return figure


def _chosen(traces: Mapping[str, Trace], names: Iterable[str] | None) -> dict[str, Trace]:
    if not traces:
        raise Error("nothing was recorded: pass observers=[ds.Probe([…])] to the run")
    for name in names or ():
        if name not in traces:
            raise Error(f"array {name!r} was not recorded: choose from {', '.join(traces)}")
    return {name: traces[name] for name in names or traces}


def _panel(ax: Axes, name: str, trace: Trace, nodes: int, sample: int) -> None:
    values = trace.values.reshape(len(trace.times), trace.values.shape[1], -1)
    if not -values.shape[1] <= sample < values.shape[1]:
        raise Error(f"sample {sample} is not in the run: it has {values.shape[1]}")
    millivolts = values[:, sample] * 1e3
    for n, k in enumerate(spread(millivolts[-1], min(nodes, len(COLOURS)))):
        ax.plot(trace.times * 1e9, millivolts[:, k], color=COLOURS[n], label=trace.label(k))
    ax.axhline(0, color=MUTED, linewidth=0.6, zorder=1)
    ax.set_title(name)
    ax.margins(y=0.12)
    if trace.label(0):
        ax.legend(
            loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2, labelspacing=0.3, title="node, by index"
        )


def spread(ends: Array, count: int) -> list[int]:
    """Indices of at most `count` values, highest first, at levels as even as they come."""
    left = list(np.argsort(-np.asarray(ends), kind="stable"))
    found: list[int] = []
    for level in np.linspace(np.max(ends), np.min(ends), min(count, len(left))):
        nearest = min(left, key=lambda k: abs(float(ends[k]) - level))
        left.remove(nearest)
        found.append(int(nearest))
    return sorted(found, key=lambda k: -float(ends[k]))


__all__ = ["mark_settling", "plot_trace", "plot_waveforms", "recorded", "settling_of", "spread"]
