"""The equation of one node array over elements in a row: its polynomials, and how far off they may be.

    C dv/dt = limit(Σ I) − g(v) v          with Σ I known at the points, so that each node is a small solve of its own

Error. The polynomial's highest Legendre term times its ratio to the one before estimates what the next, missing term
would be; a root node adds what the points do not see of its own feedback. All are rms over nodes, in full scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..circuits.arrays import module_of
from .collocation import Collocation
from .plan import Plan, Stage
from .radau import between

Array = Any
Squares = Array
"""Mean squares over an array's nodes, (2, count): of the two highest Legendre terms; a root's, (2 + p, count), with
what is missed in the gap before each point."""


class Solver:
    """Array operations of any module, one after another."""

    prompt = True  # whether an error is cheap to look at, so that a hopeless element is not solved to its end

    def __init__(self, plan: Plan, collocation: Collocation) -> None:
        self.backend, self.collocation, self.p = plan.backend, collocation, collocation.p

    def solve(
        self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int, *, estimate: bool
    ) -> tuple[Array, Squares | None]:
        """Polynomials (count·p, batch, *shape) of one array in `count` elements of `length` seconds, and their squares
        if an error is to be estimated. signals: what the array reads, at the points."""
        points = self._points(stage, start, signals, length, count)
        return points, self._squares(stage, start, points, count) if estimate else None

    def errors(self, stages: Sequence[Stage], squares: Sequence[Squares], length: float, batch: int) -> Array:
        """Estimated rms error of each element of some arrays, share of full scale: (arrays, count)."""
        host = self.backend.host
        rows = zip(stages, squares, strict=True)
        return np.stack([estimated(self.p, host(each), length / stage.node.time_constant) for stage, each in rows])

    def _points(self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int) -> Array:
        node, at = stage.node, self.collocation
        ratio = length / node.time_constant
        shape = (count, self.p, *start.shape)
        if node.bends:
            drive = _shaped(stage.delivered(signals, None), shape)
            pace = 1.0 if stage.pace is None else stage.pace
            return at.own(ratio, pace, stage.pull, node.guess, start, drive).reshape(-1, *start.shape)
        gamma = stage.gamma(signals)
        drive = _shaped(stage.delivered(signals, gamma), shape)
        if stage.constant is not None and stage.pace is None:
            solved = at.constant(ratio, stage.constant, start, drive)
        elif stage.constant is not None and stage.pace_sets:
            solved = at.paced(ratio, stage.constant, stage.pace_sets, start, drive)
        else:
            if stage.pace is not None:
                gamma, drive = gamma * stage.pace, drive * stage.pace
            solved = at.varying(ratio, _per_point(gamma, node.feedback is not None, shape), start, drive)
        return solved.reshape(-1, *start.shape)

    def _squares(self, stage: Stage, start: Array, points: Array, count: int) -> Squares:
        values = points.reshape(count, self.p, *points.shape[1:])
        top = self.collocation.tails(start, values)
        scale = stage.per_full_scale
        if scale.ndim:
            top = (top.reshape(2, count, *values.shape[2:]) * scale).reshape(2, count, -1)
            scale = 1.0
        xp = self.backend.xp
        squares = xp.einsum("kcn,kcn->kc", top, top) * (scale * scale / top.shape[2])
        return xp.concatenate([squares, self._unseen(stage, start, values)]) if stage.node.is_root else squares

    def _unseen(self, stage: Stage, start: Array, values: Array) -> Array:
        """What the points of a root node do not see of its own feedback, mean squares in each gap: (p, count).

        γ(x)x has a knee that x may pass between two points. The polynomial through γ(x)x at the points is compared
        with γ(x)x itself half-way between them.
        """
        feedback, missed = stage.node.feedback, []
        assert feedback is not None
        for element in values:
            miss = self.collocation.middles(start, element, lambda x: feedback.ratio(x) * x) * stage.per_full_scale
            missed.append((miss**2).reshape(self.p, -1).mean(axis=1))
            start = element[-1]
        return self.backend.xp.stack(missed, axis=1)


def estimated(p: int, mean: Array, ratio: Array) -> Array:
    """Rms errors (…, count) from mean squares on the host, (…, 2 or 2 + p, count); ratio: h/τ."""
    before, last = (np.sqrt(mean[..., row, :]) for row in (0, 1))
    error = last * np.minimum(1.0, last / np.maximum(before, 1e-30))
    if mean.shape[-2] > 2:
        # a knee passed between two points acts on the node for the gap or a time constant
        error = error + between(p)[2] @ np.sqrt(mean[..., 2:, :]) * np.minimum(1.0, ratio)
    return np.where(np.isfinite(error), error, math.inf)


def _per_point(gamma: Array, varying: bool, shape: tuple[int, ...]) -> Array:
    """γ as (count, p, batch, …) with the node axes it has."""
    xp = module_of(gamma)
    if varying:
        return gamma.reshape(*shape[:3], *gamma.shape[1:])
    rank = len(shape) - 3
    each = gamma.reshape(*(1,) * (3 + rank - gamma.ndim), *gamma.shape)
    return xp.broadcast_to(each, (*shape[:3], *each.shape[3:]))


def _shaped(drive: Array, shape: tuple[int, ...]) -> Array:
    """A drive (K, …) or broadcastable, as (count, p, batch, *shape)."""
    xp = module_of(drive)
    flat = (shape[0] * shape[1] * shape[2], *shape[3:])
    if np.shape(drive) != flat:
        drive = xp.broadcast_to(drive, flat).copy()
    return drive.reshape(shape)
