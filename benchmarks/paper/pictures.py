"""Figs. 6 and 7 from the runs that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dsmachine.circuits.look import COLOURS, drawn, new_figure

from . import fig7, table1
from .bench import Bench, Found, Sizes

Array = Any
IMAGES = Path(__file__).parents[2] / "docs" / "images"
MARKS = ("o", "s", "^", "D", "v", "P")


def run(bench: Bench) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    trajectories(bench).savefig(IMAGES / "training_trajectories.png", dpi=150)
    recovery(bench).savefig(IMAGES / "training_recovery.png", dpi=150)


@drawn
def trajectories(bench: Bench) -> Figure:
    """Fig. 6: loss of what is learnt and of what is not, by steps, of original, DS and DS-ECL."""
    figure = new_figure(9.5, 4.4)
    axes = figure.subplots(1, 2, sharey=True)
    task = "next character"
    kept, sizes = bench.runs("table1").kept, bench.sizes(table1.TASKS[task].sizes)
    ways = {
        "original: offline, exact softmax": ("original", "exact", None),
        "DS: offline, Taylor 3": ("original", "taylor 3", None),
        "DS-ECL: ideal chip, exact": ("DS-ECL", "exact", "ideal"),
        "DS-ECL: ideal chip, Taylor 3": ("DS-ECL", "taylor 3", "ideal"),
        "DS-ECL: chip of 5 % mismatch, exact": ("DS-ECL", "exact", "mismatch 5 %"),
        "DS-ECL: chip of 5 % mismatch, Taylor 3": ("DS-ECL", "taylor 3", "mismatch 5 %"),
    }
    for k, (label, (system, softmax, chip)) in enumerate(ways.items()):
        key = {"task": task, "system": system, "softmax": softmax} | ({"chip": chip} if chip else {})
        found = chosen(kept, sizes, key)
        for ax, what in zip(axes, ("learnt", "loss"), strict=True):
            band(ax, found, what, k, label)
    axes[0].set_title("batches that are learnt")
    axes[1].set_title("held-out snippets")
    axes[0].set_ylabel("loss [nat per character]")
    for ax in axes:
        ax.set_xlabel(f"step of {sizes.batch} × {sizes.positions} characters")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@drawn
def recovery(bench: Bench) -> Figure:
    """Fig. 7: accuracy and loss by steps on the chip that learns; dashed: before any step."""
    figure = new_figure(9.5, 6.2)
    axes = figure.subplots(2, len(fig7.READINGS), sharex=True, sharey="row")
    kept, sizes = bench.runs("fig7").kept, bench.sizes(fig7.SIZES)
    for column, reading in zip(axes.T, fig7.READINGS, strict=True):
        for k, sigma in enumerate(fig7.SIGMAS):
            found = chosen(kept, sizes, {"reading": reading if sigma else "none", "sigma": sigma})
            for ax, what, scale in zip(column, ("accuracy", "loss"), (100, 1), strict=True):
                band(ax, found, what, k, f"{sigma:g}", scale)
                before = scale * float(np.mean([r[what][0] for r in found]))
                ax.axhline(before, color=COLOURS[k], linestyle=(0, (4, 3)), linewidth=0.9)
        column[0].set_title(f"σ: {reading}")
        column[1].set_xlabel(f"step of {sizes.batch} × {sizes.positions} characters")
        column[1].set_yscale("log")
        column[1].set_yticks((2, 3, 5, 10, 20), ("2", "3", "5", "10", "20"))
        column[1].minorticks_off()
    axes[0, 0].set_ylabel("next characters right, held out [%]")
    axes[1, 0].set_ylabel("loss, held out [nat per character]")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", title="σ; dashed:\nbefore")
    return figure


def chosen(kept: Sequence[Found], sizes: Sizes, key: Found) -> list[Found]:
    """The runs of a key and sizes, of all seeds."""
    wanted = key | {name: value for name, value in vars(sizes).items() if name != "seeds"}
    found = [run for run in kept if all(run["key"].get(k) == v for k, v in wanted.items())]
    if not found:
        raise SystemExit(f"no runs of {key}: compute them first")
    return found


def band(ax: Any, found: Sequence[Found], what: str, k: int, label: str, scale: float = 1.0) -> None:
    """Mean over runs, with a band of a standard deviation each way."""
    values = scale * np.array([r["curve"][what] for r in found])
    steps, mean = found[0]["curve"]["step"], values.mean(axis=0)
    ax.plot(steps, mean, color=COLOURS[k], marker=MARKS[k], markersize=3.5, linewidth=1.2, label=label)
    if len(values) > 1:
        off = values.std(axis=0, ddof=1)
        ax.fill_between(steps, mean - off, mean + off, color=COLOURS[k], alpha=0.15, linewidth=0)
