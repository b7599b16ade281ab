"""Table 2: training, printed, by the paper's rule, and from emulated machines that learn.

The paper's rule is ten latencies of an inference a sample, at 8.5 W. An emulated machine takes its own account of a
sample (`training_step.py`): reset, load, forward anneal, backward anneal, update; one pass over the paper's samples.
"""

from __future__ import annotations

from collections.abc import Iterator

from .published import TRAINED, TRAINING, Published
from .rows import AVERAGE, DS, EMULATED, RECOMPUTED, RULE, Inputs, Row, emulated, from_paper, gains, items
from .systems import SYSTEM, Machine

NOT_YET = "not emulated yet: benchmarks/training_by_shape.py has no account of a machine of this shape that learns"
ONE_PASS = "one pass over the training samples"


def training(paper: Published, inputs: Inputs) -> Iterator[Row]:
    """All rows of table 2."""
    answering = dict(inputs.systems())
    for model, learners in inputs.learning():
        if model in paper.models:
            yield from from_paper("2", TRAINING, model, paper)
            if not any(learner.system == SYSTEM for learner in learners):
                yield from _missing(model, paper)
        for learner in learners:
            yield from _passes(model, learner, paper)
    for model, learners in inputs.learning():
        if model in paper.models:
            yield from _ruled(model, paper)
        for learner in learners:
            yield from _sample(model, learner, answering.get(model, []))
    for models in (paper.models, TRAINED):
        yield from gains("2", "training", TRAINING, models, paper)


def _missing(model: str, paper: Published) -> Iterator[Row]:
    for task in paper.tasks:
        for quantity, unit in (("time", "s"), ("energy", "J")):
            yield Row("2", model, SYSTEM, task, quantity, unit, None, EMULATED, (NOT_YET,))


def _passes(model: str, learner: Machine, paper: Published) -> Iterator[Row]:
    """A pass over each task's samples, and what the printed GPUs take over that."""
    for task, samples in paper.rule.training_samples.items():
        count = float(samples)
        yield emulated(learner, "2", model, task, "time", "s", count * learner.latency, ONE_PASS)
        for what, joules in learner.weighed().items():
            yield emulated(learner, "2", model, task, f"energy{what}", "J", count * joules, ONE_PASS)
    if model in paper.models:
        about = "printed GPU, of however many passes, over one pass of the machine"
        seconds, joules = paper.gpu_a_sample(TRAINING, model)
        yield emulated(learner, "2", model, AVERAGE, "speed-up", "×", seconds / learner.latency, about)
        for what, own in learner.weighed().items():
            yield emulated(learner, "2", model, AVERAGE, f"energy reduction{what}", "×", joules / own, about)


def _ruled(model: str, paper: Published) -> Iterator[Row]:
    """A sample by the paper's rule."""
    rule = paper.rule
    seconds = float(rule.training_latencies * rule.latency[model])
    for quantity, unit, value in (
        ("time a sample", "s", seconds),
        ("time over an inference's", "×", float(rule.training_latencies)),
        ("energy a sample", "J", seconds * float(rule.training_power)),
    ):
        yield Row("2", model, DS, "", quantity, unit, value, RECOMPUTED, (RULE,))


def _sample(model: str, learner: Machine, answering: list[Machine]) -> Iterator[Row]:
    """A sample as emulated, and over an inference of the same model, length and placement where one is known."""
    same = [m for m in answering if (m.tokens, m.system) == (learner.tokens, learner.system)]
    yield emulated(learner, "2", model, "", "time a sample", "s", learner.latency)
    for machine in same[:1]:
        about = "an inference reads the last position, a sample reads nothing"
        for quantity, value in (
            ("time over an inference's", learner.latency / machine.latency),
            ("energy over an inference's", learner.joules / machine.joules),
        ):
            yield emulated(learner, "2", model, "", quantity, "×", value, about)
    for what, joules in learner.weighed().items():
        yield emulated(learner, "2", model, "", f"energy a sample{what}", "J", joules)
    yield from items(learner, "2", model)


__all__ = ["training"]
