"""Pictures of the study, drawn from the rows that are there: results/pretrained_*.png."""

from __future__ import annotations

from typing import Any

from common import RESULTS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dsmachine.circuits.look import COLOURS, INK, MUTED, drawn, new_figure

from .balance import STUDIED
from .bench import Bench, Rows
from .mismatch import LOSS
from .noise import CASES
from .transistors import SWINGS

WIDEST = 2000.0  # perplexity beyond which a model is lost
FARTHEST = 600.0  # of the picture of noise
NAMES = {"mismatch": "relative, β", "vt_mismatch": "additive, V$_t$", "offset": "node offset"}
MARKS = ("o", "s", "^", "D")
MODELS = (
    ("tiny-shakespeare", "pair", "bundled model, pairs", (4, 5, 6, 8, 10, 20, 40)),
    ("tiny-shakespeare", "quad", "bundled model, quads", (4, 5, 6, 8, 10, 20, 40)),
    ("smollm2", "pair", "SmolLM2, pairs", (30, 40, 60, 100, 200, 500, 1000)),
)
CONVERTERS = ("weights (DAC)", "inputs (DAC)", "logits (ADC)")


def run(bench: Bench) -> None:
    for name, draw in PICTURES.items():
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
    latest = {row["machine"]: row for row in Rows("noise").rows}
    kept = sorted(latest.values(), key=lambda row: order.index(row["machine"]))
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


@drawn
def _transistors() -> Figure:
    """Distortion against swing beside noise, of the large model and of the bundled one; corners and temperatures."""
    figure = new_figure(10.4, 3.8)
    large, small, places = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    rows = Rows("transistors").rows
    for ax, model in ((large, "smollm2"), (small, "tiny-shakespeare")):
        own = [r for r in rows if r["model"] == model]
        for unit, colour, mark in zip(("pair", "quad"), COLOURS, MARKS, strict=False):
            seen = [r for r in own if (r["unit"], r["device"], r["machine"]) == (unit, "120n/1µ", "ideal")]
            _against_swing(ax, {r["swing_v"]: r["perplexity"] for r in seen}, f"{unit}s, no noise", colour, mark)
        ax.axhline(next(r["perplexity"] for r in own if r["unit"] == "linear"), color=INK, linewidth=0.9)
        ax.set_xlabel("swing (±V)")
    noisy = {_swing(r["machine"]): r["perplexity"] for r in Rows("noise").rows if _swing(r["machine"])}
    _against_swing(large, noisy, "linear, noise of 49 fF", COLOURS[2], "^")
    _scale(large, 30, WIDEST)
    large.set_title("SmolLM2-135M")
    large.legend(loc="center right", bbox_to_anchor=(1.02, 0.62), fontsize=8)
    small.set_yscale("log")
    small.set_yticks((5, 6, 8, 10, 20, 40), ("5", "6", "8", "10", "20", "40"))
    small.minorticks_off()
    small.set_title("Bundled model")
    away = [r for r in rows if (r["model"], r["unit"]) == ("tiny-shakespeare", "quad") and "°C" in r["machine"]]
    _dots(
        places,
        [str(r["machine"]).replace("as written at home, ", "").replace("as written at home", "kept") for r in away],
        [r["perplexity"] for r in away],
    )
    places.set_xlabel("perplexity")
    places.set_title("Its quads at ±0.2 V,\ngates rewritten or kept")
    return figure


def _against_swing(ax: Axes, found: dict[float, float], label: str, colour: str, mark: str) -> None:
    swings = sorted(found)
    values = [min(found[swing], 1e9) for swing in swings]
    ax.plot(swings, values, color=colour, marker=mark, markersize=4, label=label)


@drawn
def _balance() -> Figure:
    """Perplexity by distortion, by noise and by both against swing; a column a kind of node and conveyor."""
    figure = new_figure(9.6, 8.0)
    grid = figure.subplots(len(MODELS), len(STUDIED), sharex=True, sharey="row")
    rows = Rows("balance").rows
    for ax, (capacitor, conveyor) in zip(grid[0], STUDIED, strict=True):
        ax.set_title(f"{capacitor}, {'ideal conveyors' if conveyor == 'ideal' else f'class {conveyor}'}")
    for line, (model, unit, title, ticks) in zip(grid, MODELS, strict=True):
        for ax, (capacitor, conveyor) in zip(line, STUDIED, strict=True):
            case = {"model": model, "unit": unit, "node": capacitor, "conveyors": conveyor}
            own = [row for row in rows if all(row[key] == value for key, value in case.items())]
            for key, colour, mark in zip(("distortion", "noise", "both"), (*COLOURS[:2], INK), MARKS, strict=False):
                _against_swing(ax, {row["swing_v"]: row[key] for row in own}, key, colour, mark)
            ax.set_yscale("log")
            ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
            ax.set_ylim(ticks[0], ticks[-1])
            ax.set_xscale("log")
            ax.set_xticks(SWINGS, [f"{swing:g}" for swing in SWINGS])
            ax.minorticks_off()
        line[0].set_ylabel(f"{title}\nperplexity")
    for ax in grid[-1]:
        ax.set_xlabel("swing (±V)")
    grid[0][0].legend(loc="upper left")
    return figure


def _swing(machine: str) -> float:
    """Of a row of the noise table where nothing else is changed, else 0."""
    named = {case.name: case for case in CASES}[machine]
    swing = named.overrides.get("supply.swing", 0.0)
    return 0.5 if machine == CASES[0].name else swing


PICTURES = {
    "mismatch": _mismatch, "cell": _cell, "noise": _noise, "transistors": _transistors, "balance": _balance,
}  # fmt: skip
