"""Pictures of the report: energy by part, latency by stage, joules a token against seconds a token of all systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .circuits.look import COLOURS, MUTED, drawn, new_figure, series_looks
from .circuits.words import counted
from .energy.published import INFERENCE, KWH, published
from .energy.rows import Inputs
from .energy.systems import Baseline, Machine

ON_CHIPS = " on chips"  # of a machine's label
HOLLOW = {"linestyle": "--", "markerfacecolor": "none"}
FEWEST = 1e-6  # of a machine's joules, under which a part is not drawn


@drawn
def plot_parts(inputs: Inputs) -> Figure:
    """Joules a prompt token by part, logarithmic: a part may be a millionth of another. A colour and a mark a model;
    machines on chips are hollow."""
    machines = inputs.emulated()
    largest = {
        part: max(machine.joules_by_part.get(part, 0.0) / machine.joules for _, machine in machines)
        for part in dict.fromkeys(part for _, machine in machines for part in machine.joules_by_part)
    }
    parts = sorted((part for part in largest if largest[part] > FEWEST), key=largest.__getitem__)
    figure = new_figure(8.2, 1.2 + 0.3 * len(parts))
    ax = figure.subplots()
    models = list(dict.fromkeys(model for model, _ in machines))
    looks = dict(zip(models, series_looks(), strict=False))
    for model, machine in machines:
        joules = [machine.joules_by_part.get(part, 0.0) / machine.tokens for part in parts]
        seen = [value if value > 0 else np.nan for value in joules]
        look = looks[model] | {"linestyle": "", "label": f"{model}{machine.on_chips}", "markersize": 5.5}
        ax.plot(seen, range(len(parts)), **look | ({"markerfacecolor": "none"} if machine.on_chips else {}))
    ax.set_xscale("log")
    ax.set_yticks(range(len(parts)), parts)
    ax.set_xlabel("drawn from the supply, energy a prompt token (J)")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="emulated")
    return figure


@drawn
def plot_stages(inputs: Inputs) -> Figure:
    """Latency of a sequence by stage, beside the paper's latency of the same model. Machines on chips have axes of
    their own: what chips tell each other takes many times as long as all else."""
    machines = inputs.emulated()
    groups = [[item for item in machines if bool(item[1].on_chips) is placed] for placed in (False, True)]
    groups = [group for group in groups if group]
    stages = list(dict.fromkeys(stage for _, machine in machines for stage in machine.phases))
    colours = dict(zip(stages, cycle(COLOURS), strict=False))
    figure = new_figure(7.8, 0.6 + 0.7 * len(groups) + 0.34 * len(machines))
    ratios = {"height_ratios": [len(group) + 1 for group in groups]}
    for ax, group in zip(np.ravel(figure.subplots(len(groups), 1, gridspec_kw=ratios)), groups, strict=True):
        _stages(ax, group, colours)
    handles = [Patch(color=colour, label=stage) for stage, colour in colours.items()]
    figure.axes[0].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _stages(ax: Any, machines: Sequence[tuple[str, Machine]], colours: Mapping[str, str]) -> None:
    """Bars of some machines, stage after stage."""
    paper, left = published().rule.latency, np.zeros(len(machines))
    for stage, colour in colours.items():
        seconds = np.array([machine.phases.get(stage, 0.0) for _, machine in machines]) * 1e6
        ax.barh(range(len(machines)), seconds, left=left, height=0.62, color=colour)
        left += seconds
    for k, (model, _) in enumerate(machines):
        if model in paper:
            said = f"the paper: {float(paper[model]) * 1e6:g} µs"
            ax.annotate(said, (left[k], k), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8)
    names = [
        f"{model}{machine.on_chips}," + ("\n" if machine.on_chips else " ") + counted(machine.tokens, "token")
        for model, machine in machines
    ]
    ax.set_yticks(range(len(machines)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.3 * float(left.max()))
    ax.set_xlabel("latency of a sequence (µs)")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


@drawn
def plot_joules_and_seconds(inputs: Inputs) -> Figure:
    """Joules against seconds a token, both logarithmic: up and right is worse. A line joins the paper's models, the
    larger higher; others are named. Machines on chips have the colour and mark of those without, dashed and hollow."""
    figure = new_figure(7.6, 4.8)
    ax = figure.subplots()
    series = [*_of_paper(inputs), *_emulated(inputs), *(_measured(inputs.baseline, inputs) if inputs.baseline else [])]
    fresh, looks = series_looks(), dict[str, dict[str, Any]]()
    for label, points in series:
        bare = label.replace(ON_CHIPS, "")
        looks[bare] = looks[bare] | HOLLOW if bare in looks else next(fresh)
        look = looks[bare]
        names, seconds, joules = zip(*sorted(points, key=lambda point: point[2]), strict=True)
        joined = {} if set(names) & set(inputs.models) else {"linestyle": ""}
        ax.plot(seconds, joules, label=label, markersize=5, linewidth=0.8, **look | joined)
        for name, x, y in points:
            if name not in inputs.models:  # to the right of its mark, where no line comes; the last has no room there
                side: dict[str, Any] = {"xytext": (7, 0), "ha": "left", "va": "center"}
                below: dict[str, Any] = {"xytext": (0, -7), "ha": "center", "va": "top"}
                place = below if x == max(seconds) else side
                ax.annotate(name, (x, y), textcoords="offset points", fontsize=7, color=MUTED, **place)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.margins(0.12)
    ax.set_xlabel("time a token (s)")
    ax.set_ylabel("energy a token (J)")
    title = (
        f"each upwards from\n{inputs.models[0]} to {inputs.models[-1]}" if len(inputs.models) > 1 else inputs.models[0]
    )
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title=title)
    return figure


Series = tuple[str, list[tuple[str, float, float]]]  # label; (model, seconds, joules) a token


def _of_paper(inputs: Inputs) -> Iterable[Series]:
    paper, models = published(), inputs.models
    rates = {"GPU, table 7": "", "DS machine, table 7": "-DS"}
    for label, suffix in rates.items():
        each = [(model, paper.rates[model + suffix]) for model in models]
        yield label, [(m, float(1 / r.tokens_per_s), float(KWH / r.tokens_per_kwh)) for m, r in each]
    yield "GPU, table 3 over\ndevelopment sizes", [(m, *paper.gpu_a_sample(INFERENCE, m)) for m in models]
    edge = [(name, rate) for name, rate in paper.edge.items() if not name.startswith("DS-LLM")]
    yield (
        "CPU and edge, table 4",
        [(name.split("(")[0], float(1 / r.tokens_per_s), float(KWH / r.tokens_per_kwh)) for name, r in edge],
    )


def _emulated(inputs: Inputs) -> Iterable[Series]:
    """Machines whose devices are all on one chip, then those on several."""
    for placed, where in ((False, ""), (True, ON_CHIPS)):
        machines = [(name, m) for name, m in inputs.emulated() if bool(m.on_chips) is placed]
        if machines:
            yield f"emulated{where}, an anneal", [(name, m.latency, m.joules) for name, m in machines]
            yield (
                f"emulated{where}, a prompt token,\ncircuits alone",
                [(name, m.latency / m.tokens, m.joules_of_circuits / m.tokens) for name, m in machines],
            )


def _measured(baseline: Baseline, inputs: Inputs) -> Iterable[Series]:
    shapes = {model: published().shapes[model] for model in inputs.models}
    for phase, what in (("decode", "one token after another"), ("prefill", "a prompt at once")):
        steps = [(model, baseline.quickest(shape, phase)) for model, shape in shapes.items()]
        points = [(m, s.seconds_per_token, s.joules_per_token) for m, s in steps if s and s.joules_per_token]
        if points:
            yield f"{baseline.device},\n{what}", points


def report_pictures(inputs: Inputs) -> dict[str, tuple[str, Figure]]:
    """{file name: (caption, figure)}; without an emulated machine the last alone."""
    found = {}
    if inputs.emulated():
        found["energy_by_part"] = ("Energy of an emulated prompt token by part", plot_parts(inputs))
        found["latency_by_stage"] = ("Latency of an emulated sequence by stage", plot_stages(inputs))
    caption = "Energy against time a token, all systems; up and right is worse"
    return found | {"joules_and_seconds": (caption, plot_joules_and_seconds(inputs))}


__all__ = ["plot_joules_and_seconds", "plot_parts", "plot_stages", "report_pictures"]
