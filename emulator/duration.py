"""How long a run goes on, and in which windows."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..circuits.errors import Error
from .pipeline import Pipeline
from .plan import Plan, Stage
from .request import Request
from .stochastic import Stepper
from .transient import March
from .windows import WINDOW, windows

Array = Any
LONGEST = 1e7  # time constants of the slowest node that a run may be asked for


def latest_end(plan: Plan, request: Request) -> float:
    """When a run ends at the latest [s]: as asked; with noise, when it has come through; else when patience ends."""
    if request.elements is not None:
        return float(np.asarray(request.elements, float)[-1])
    what = "read_window" if request.noisy else "duration"
    if asked := getattr(request, what):
        return _sane(what, asked, longest_time_constant(plan))
    longest, depth = longest_time_constant(plan), len(plan.stages)
    if request.noisy:
        return 2 * noise_come_through(plan)
    return (40 + 5 * depth) * longest + 20 * _slowest(plan)


def _sane(what: str, seconds: float, longest: float) -> float:
    """A run's length that was asked for; Error where it is more than LONGEST of the slowest node's time constants, as
    where nanoseconds were meant."""
    if seconds <= LONGEST * longest:
        return seconds
    said, nano = f"{seconds:g}", 1e-9 * seconds
    likely = f"{100 * longest:.1g}"
    if longest <= nano <= LONGEST * longest:
        likely = f"{nano:g}" if "e" in said else f"{said}e-9"
    raise Error(
        f"{what} is {said} s, {seconds / longest:.2g} time constants of the slowest node: "
        f"give seconds, such as {likely}"
    )


def patience(plan: Plan) -> float:
    """How long nothing may move until a machine is at rest [s]: a node whose feedback is at its floor takes some of its
    own time constants to get under way, a front a few of the longest from array to array. On a cycle things may stand
    still for any time at a point from which they depart."""
    if any(group.cyclic for group in plan.groups):
        return math.inf
    return 40 * longest_time_constant(plan) + 5 * _slowest(plan)


def noise_come_through(plan: Plan) -> float:
    """How long after its begin noise of the first array has reached the last [s], so that any later instant is a sample
    of the machine's stationary noise."""
    return (10 + len(plan.stages)) * longest_time_constant(plan)


def longest_time_constant(plan: Plan) -> float:
    return max((s.node.time_constant for s in plan.stages), default=1.0)


def run_windows(
    plan: Plan, march: March | Pipeline | Stepper, marks: list[Array], stop: float, request: Request, done: int
) -> Generator[tuple[float, float], None, None]:
    """(begin, length) of the windows of a run but the first that are done, the same whenever they are asked for;
    several devices look ahead."""
    found: Iterator[tuple[float, float]]
    if request.elements is None:
        tau, breaks = longest_time_constant(plan), np.concatenate([np.zeros(1), *marks])
        longest = WINDOW * march.stretch * tau
        found = windows(stop, longest, breaks, march.first * tau, min(plan.growth, request.growth))
    else:
        ends = np.asarray(request.elements, float).tolist()
        found = ((begin, end - begin) for begin, end in zip([0.0, *ends[:-1]], ends, strict=True))
    found = islice(found, done, None)
    yield from march.ahead(found) if isinstance(march, Pipeline) else found


def _slowest(plan: Plan) -> float:
    """The longest time constant of a node whose feedback is at its least [s], found once a plan: on a GPU each number
    is waited for."""
    if "least" not in plan.quickest:
        with plan.backend.here():
            plan.quickest["least"] = min((_least_gamma(s) for s in plan.stages), default=1.0)
    return longest_time_constant(plan) / float(plan.quickest["least"])


def _least_gamma(stage: Stage) -> float:
    """Smallest γ of an array, plain resistors on it included; a node without any counts as 1e-3."""
    node = stage.node
    own = node.feedback.floor if node.feedback is not None else np.min(node.ratio)
    return max(float(own + np.min(stage.standing)), 1e-3)
