"""Pictures of a training, an anneal, a generated text, a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .circuits.look import COLOURS, LINES, MUTED, drawn, new_figure
from .circuits.units import scaled
from .circuits.words import counted, visible

if TYPE_CHECKING:
    from .range_report import CalibrationReport
    from .serial import Generated
    from .tasks import Annealed
    from .training import Trained

Array = Any


@drawn
def plot_training(found: Trained | Mapping[str, Trained]) -> Figure:
    """Loss [nat a token] of each step's samples; at both ends the loss on what is not learnt, where it was asked.

    found: a training, or several by their names in the legend.
    """
    runs = found if isinstance(found, Mapping) else {"": found}
    figure = new_figure(7.0, 3.5)
    ax = figure.subplots()
    for k, (name, run) in enumerate(runs.items()):
        colour, line = COLOURS[k % len(COLOURS)], LINES[k % len(LINES)]
        label = ", ".join(part for part in (name, "learnt") if part)
        steps = np.arange(1, run.steps + 1)
        ax.plot(steps, run.loss, line, color=colour, linewidth=1.0, label=label)
        asked = run.validation.get("loss", [])
        if len(asked) == 2:
            label = ", ".join(part for part in (name, "held out") if part)
            ax.plot([0, run.steps], asked, "o", color=colour, markersize=6, label=label, clip_on=False, zorder=3)
    before = any(len(run.validation.get("loss", [])) == 2 for run in runs.values())
    ax.set_xlim(left=0 if before else 1)  # what was asked before any step stands at 0
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nat a token)")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


@drawn
def plot_annealed(found: Annealed) -> Figure:
    """Logits as read against those of the digital reference (nat): all positions, and the last, which says the next
    token."""
    figure = new_figure(4.9, 4.3)
    ax = figure.subplots()
    low, high = (float(end(found.reference)) for end in (np.min, np.max))
    ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=1, label="equal")
    ax.plot(
        found.reference[:-1].ravel(), found.logits[:-1].ravel(), ".", color=COLOURS[4], markersize=3,
        label="earlier positions", rasterized=True,
    )  # fmt: skip
    ax.plot(found.reference[-1], found.logits[-1], "o", color=COLOURS[1], markersize=3.5, label="last position")
    best = int(found.logits[-1].argmax())
    ax.annotate(
        f"next token {visible(found.text)!r}", (found.reference[-1, best], found.logits[-1, best]), xytext=(-10, -26),
        textcoords="offset points", ha="left", fontsize=8.5, parse_math=False,
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7},
    )  # fmt: skip
    ax.set_xlabel("logit of the digital reference (nat)")
    ax.set_ylabel("logit of the machine (nat)")
    ax.set_title(f"{found.model}: logit error {found.logit_error:.2g} of the range", parse_math=False)
    ax.legend(loc="upper left", markerscale=1.5)
    return figure


@drawn
def plot_generated(found: Generated) -> Figure:
    """Turn by turn: when it settled, what it drew, how far its logits were off the digital reference's. Turns of the
    prompt are shaded; the first of its tokens is loaded and has none."""
    turns = np.array([token.place + 1 for token in found.tokens])
    figure = new_figure(7.0, 4.6)
    axes = figure.subplots(3, 1, sharex=True)
    settled = np.array([token.settling_time for token in found.tokens])
    joules = np.array([token.joules for token in found.tokens])
    errors = np.array([token.logit_error for token in found.tokens])
    rows = ((settled, "s", "settled after", COLOURS[0]), (joules, "J", "energy drawn", COLOURS[1]))
    for ax, (values, unit, label, colour) in zip(axes[:2], rows, strict=True):
        factor, written = scaled(float(np.nanmax(values, initial=0.0)), unit)
        ax.plot(turns, values * factor, "o-", color=colour, markersize=3.5)
        ax.set_ylabel(f"{label} ({written})")
        ax.set_ylim(0, 1.15 * float(np.nanmax(values, initial=0.0)) * factor or 1.0)
    axes[2].plot(turns, errors, "o-", color=COLOURS[2], markersize=3.5)
    wrong = [k for k, token in enumerate(found.tokens) if token.likeliest != token.reference]
    axes[2].plot(
        turns[wrong],
        errors[wrong],
        "x",
        color=COLOURS[1],
        markersize=8,
        label="likeliest token is\nnot the reference's",
    )
    axes[2].set_ylabel("logit error\n(share of range)")
    axes[2].set_ylim(0, 1.15 * float(np.max(errors, initial=0.0)) or 1.0)
    axes[2].set_xlabel("token")
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    axes[2].set_xlim(1.5, turns[-1] + 0.5)
    _mark_prompt(axes, found.prompt_tokens + 0.5)
    axes[0].set_title(
        f"{found.model}, {found.hold} switches: wrote {visible(found.text)!r}"[:90], parse_math=False, pad=16
    )
    if wrong:
        axes[2].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _mark_prompt(axes: Array, end: float) -> None:
    """Shade what is before the end of the prompt, and name both parts above the first of the axes."""
    for ax in axes:
        ax.axvspan(0, end, color=MUTED, alpha=0.1, linewidth=0, zorder=0)
        ax.axvline(end, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    for side, words in (("right", "prompt "), ("left", " written")):
        axes[0].annotate(
            words, (end, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points", ha=side,
            fontsize=8, color=MUTED, annotation_clip=False,
        )  # fmt: skip


@drawn
def plot_calibration(found: CalibrationReport) -> Figure:
    """Range use of each kind of array, in % of full scale: median node as a mark, worst as a bar's end; bits that an
    array gives up of its swing."""
    kinds = list(found.by_kind())
    figure = new_figure(7.4, 1.1 + 0.2 * len(kinds))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    rows = range(len(kinds))
    left.barh(rows, [100 * use.worst for use in kinds], color=COLOURS[4], height=0.6, label="worst node")
    left.plot([100 * use.median for use in kinds], rows, "o", color="black", markersize=4, label="median node")
    left.axvline(100, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="full scale")
    left.set_xlabel("range use (% of full scale)")
    figure.suptitle(
        f"{found.model}, {counted(found.positions, 'position')}", x=0.01, ha="left", fontsize=9.5, fontweight="bold",
        parse_math=False,
    )  # fmt: skip
    left.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3)
    left.set_yticks(rows, [use.name for use in kinds], fontsize=7.5)
    left.set_ylim(len(kinds) - 0.4, -0.6)
    right.barh(rows, [use.lost_bits for use in kinds], color=COLOURS[1], height=0.6)
    right.set_xlabel("lost swing (bits)")
    right.set_xlim(0, max(1.0, 1.05 * max((use.lost_bits for use in kinds), default=0.0)))
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    return figure


__all__ = ["plot_annealed", "plot_calibration", "plot_generated", "plot_training"]
