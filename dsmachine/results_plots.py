"""Pictures of a training, an anneal, a generated text, a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .circuits.look import COLOURS, MUTED, drawn, new_figure
from .energy.plotting import scaled

if TYPE_CHECKING:
    from .range_report import CalibrationReport
    from .serial import Generated
    from .tasks import Annealed
    from .training import Trained

LINES = ("-", "--", "-.", ":")


@drawn
def plot_training(found: Trained | Mapping[str, Trained]) -> Figure:
    """Loss [nat a token] of each step's samples; at both ends the loss on what is not learnt, where it was asked.

    found: a training, or several by their names in the legend.
    """
    runs = found if isinstance(found, Mapping) else {"": found}
    figure = new_figure(7.0, 3.5)
    ax = figure.subplots()
    for k, (name, run) in enumerate(runs.items()):
        colour = COLOURS[k % len(COLOURS)]
        label = ", ".join(part for part in (name, "learnt") if part)
        steps = np.arange(1, run.steps + 1)
        ax.plot(steps, run.loss, LINES[k % len(LINES)], color=colour, linewidth=1.0, label=label)
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
    ax.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=1)
    ax.plot(
        found.reference[:-1].ravel(), found.logits[:-1].ravel(), ".", color=COLOURS[4], markersize=3,
        label="earlier positions", rasterized=True,
    )  # fmt: skip
    ax.plot(found.reference[-1], found.logits[-1], "o", color=COLOURS[1], markersize=3.5, label="last position")
    best = int(found.logits[-1].argmax())
    ax.annotate(
        repr(found.text), (found.reference[-1, best], found.logits[-1, best]), xytext=(14, -16),
        textcoords="offset points", fontsize=9, arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7},
    )  # fmt: skip
    ax.set_xlabel("logit of the digital reference (nat)")
    ax.set_ylabel("logit of the machine (nat)")
    ax.set_title(f"{found.model}: logit error {found.logit_error:.2g} of the range")
    ax.legend(loc="upper left", markerscale=1.5)
    return figure


@drawn
def plot_generated(found: Generated) -> Figure:
    """Turn by turn: when it settled, what it drew, how far its logits were off the digital reference's."""
    turns = np.arange(1, len(found.tokens) + 1)
    figure = new_figure(7.0, 4.6)
    axes = figure.subplots(3, 1, sharex=True)
    settled = np.array([token.settling_time for token in found.tokens])
    joules = np.array([token.joules for token in found.tokens])
    errors = np.array([token.logit_error for token in found.tokens])
    rows = ((settled, "s", "settled after", COLOURS[0]), (joules, "J", "drawn", COLOURS[1]))
    for ax, (values, unit, label, colour) in zip(axes[:2], rows, strict=True):
        factor, scale = scaled(float(np.nanmax(values, initial=0.0)))
        ax.plot(turns, values * factor, "o-", color=colour, markersize=3.5)
        ax.set_ylabel(f"{label} ({scale}{unit})")
        ax.set_ylim(0, 1.15 * float(np.nanmax(values, initial=0.0)) * factor or 1.0)
    axes[2].plot(turns, errors, "o-", color=COLOURS[2], markersize=3.5)
    wrong = [k for k, token in enumerate(found.tokens) if token.likeliest != token.reference]
    axes[2].plot(turns[wrong], errors[wrong], "x", color=COLOURS[1], markersize=8, label="another token than its")
    axes[2].set_ylabel("logit error")
    axes[2].set_ylim(bottom=0)
    axes[2].set_xlabel("token")
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_title(f"{found.model}, switches {found.hold}: {found.text!r}"[:90])
    if wrong:
        axes[2].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


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
    left.axvline(100, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    left.set_xlabel("range use (% of full scale)")
    left.set_title(f"{found.model}, {found.positions} positions")
    left.legend(loc="lower left", bbox_to_anchor=(0.0, 1.08), ncols=2)
    left.set_yticks(rows, [use.name for use in kinds], fontsize=7.5)
    left.set_ylim(len(kinds) - 0.4, -0.6)
    right.barh(rows, [use.lost_bits for use in kinds], color=COLOURS[1], height=0.6)
    right.set_xlabel("lost bits")
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    return figure


__all__ = ["plot_annealed", "plot_calibration", "plot_generated", "plot_training"]
