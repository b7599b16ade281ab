"""Pictures of the study, drawn from the rows that are there: results/pretrained_*.png."""

from __future__ import annotations

from typing import Any

from common import RESULTS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dsmachine.emulator.plotting import COLOURS, INK, MUTED, drawn, new_figure

from .bench import Bench, Rows
from .mismatch import LOSS
from .noise import CASES

WIDEST = 2000.0  # perplexity beyond which a model is lost
FARTHEST = 600.0  # of the picture of noise
NAMES = {"mismatch": "relative, β", "vt_mismatch": "additive, V$_t$", "offset": "node offset"}
MARKS = ("o", "s", "^", "D")
CONVERTERS = ("weights (DAC)", "inputs (DAC)", "logits (ADC)")


def run(bench: Bench) -> None:
    for name, draw in {"mismatch": _mismatch, "cell": _cell, "noise": _noise}.items():
        draw().savefig(RESULTS / f"pretrained_{name}.png", dpi=160)


def _ideal() -> float:
    return next(float(row["perplexity"]) for row in Rows("parity").rows if row["calibration"] == "–")


def _lines(ax: Axes, ideal: float, end: str) -> None:
    """The digital reference, and what counts as harmless."""
    ax.axhline(ideal, color=INK, linewidth=0.9)
    ax.axhline(ideal * (1 + LOSS), color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.annotate(
        f"reference {ideal:.1f}; dashed: 5 % more", (1.0, 0.0), xycoords="axes fraction", xytext=(0, 4),
        textcoords="offset points", ha=end, va="bottom", fontsize=8, color=MUTED,
    )  # fmt: skip


def _scale(ax: Axes, least: float, most: float) -> None:
    """A logarithmic axis of perplexity with plain numbers."""
    ax.set_yscale("log")
    ticks = [t for t in (30, 40, 50, 70, 100, 200, 500, 1000, 2000) if least <= t <= most]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(least, most)
    ax.set_ylabel("perplexity")


@drawn
def _mismatch() -> Figure:
    figure, ideal = new_figure(5.6, 3.9), _ideal()
    ax = figure.subplots()
    rows, trims = Rows("mismatch").rows, Rows("trim").rows
    for (kind, name), colour, mark in zip(NAMES.items(), COLOURS, MARKS, strict=False):
        seen = [r for r in rows if r["imperfection"] == kind] + [r for r in trims if r["imperfection"] == kind]
        seen = sorted((r for r in seen if r["chip"] == 0), key=lambda r: float(r["sigma"]))
        x = [100 * r["sigma"] for r in seen]
        ax.plot(x, [min(r["perplexity"], 1e9) for r in seen], color=colour, marker=mark, markersize=4, label=name)
    _lines(ax, ideal, "right")
    ax.set_xscale("log")
    ticks = (0.01, 0.1, 1, 10)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    _scale(ax, 25, WIDEST)
    ax.set_xlabel("σ (%): β of each device, V$_t$ of the row's largest G, offset of full scale")
    ax.set_title("Devices that differ, or what trim leaves (one chip)")
    ax.legend(loc="upper left")
    return figure


@drawn
def _cell() -> Figure:
    figure, ideal = new_figure(7.2, 3.6), _ideal()
    left, right = figure.subplots(1, 2)
    for name, colour, mark in zip(CONVERTERS, COLOURS, MARKS, strict=False):
        seen = sorted((r for r in Rows("converters").rows if r["converter"] == name), key=lambda r: int(r["bits"]))
        bits = [r["bits"] for r in seen]
        left.plot(bits, [r["perplexity"] for r in seen], color=colour, marker=mark, markersize=4, label=name)
    _lines(left, ideal, "right")
    _scale(left, 25, WIDEST)
    left.set_xlabel("bits over the range")
    left.set_title("Converters")
    left.legend(loc="upper right")
    rows = Rows("softmax").rows
    _dots(right, [_named(r) for r in rows], [r["perplexity"] for r in rows])
    right.axvline(ideal, color=INK, linewidth=0.9)
    right.axvline(ideal * (1 + LOSS), color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    right.set_xlabel("perplexity")
    right.set_title("Softmax cell")
    return figure


def _named(row: dict[str, Any]) -> str:
    name = str(row["softmax"]).replace(" under the row's maximum", "")
    return name if row["chip"] == "–" else f"{name}, chip {row['chip']}"


def _dots(ax: Axes, names: list[str], values: list[float]) -> None:
    """One dot a name, from top to bottom."""
    ax.plot(values, range(len(names)), "o", color=COLOURS[0], markersize=5)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)


@drawn
def _noise() -> Figure:
    figure, ideal = new_figure(7.2, 4.2), _ideal()
    ax, side = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    order = [case.name for case in CASES]
    kept = sorted(Rows("noise").rows, key=lambda row: order.index(row["machine"]))
    rows = [row for row in kept if "perplexity" in row]
    for k, row in enumerate(rows):
        ends = [min(row[key], FARTHEST) for key in ("perplexity, noiseless", "perplexity")]
        ax.plot(ends, [k, k], color=MUTED, linewidth=1.0, zorder=1)
        ax.plot(ends[0], k, "o", color=COLOURS[0], markerfacecolor="white", markersize=6)
        ax.plot(ends[1], k, ">" if row["perplexity"] > FARTHEST else "o", color=COLOURS[1], markersize=5)
    ax.set_yticks(range(len(rows)), [str(row["machine"]).replace(": ", ":\n") for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.axvline(ideal, color=INK, linewidth=0.9, zorder=0)
    ax.set_xscale("log")
    ticks = (40, 100, 200, 500)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("perplexity\n(ring: without noise; triangle: lost)")
    ax.set_title("Thermal noise at rest")
    for key, colour, mark in (("median rms %", COLOURS[2], "s"), ("worst rms %", COLOURS[3], "D")):
        values = [row[key] for row in rows]
        side.plot(values, range(len(rows)), mark, color=colour, markersize=5, label=key.replace(" rms %", " array"))
    side.set_xscale("log")
    side.set_xlabel("noise, rms\n(% of full scale)")
    side.set_xticks((1, 10, 100, 1000), ("1", "10", "100", "1000"))
    side.set_xlim(0.2, 3000)
    side.legend(loc="upper right", borderaxespad=0.0)
    return figure
