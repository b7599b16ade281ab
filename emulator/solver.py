"""The equation of one node array over elements in a row: its polynomials, and how far off they may be.

    C dv/dt = limit(Σ I) − g(v) v          with Σ I known at the points, so that each node is a small solve of its own

Error. The polynomial's highest Legendre term times its ratio to the one before estimates what the next, missing term
would be; a root node adds what the points do not see of its own feedback. All are rms over nodes, in full scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits.arrays import module_of
from .collocation import Collocation
from .plan import Plan, Stage
from .radau import between

Array = Any


class Found:
    """What is found out beside the polynomials while arrays are solved in `count` elements of `length` seconds.

    worst (count,): estimated rms error of the worst array so far, share of full scale. seen (arrays, count, batch + 2),
    on a GPU where there are aims: of each array, element and sample the last place outside the band, 1 at its start to
    2 at its end, 0 nowhere; then of the last one, if it ends a window, the largest |C dv/dt|/g at its end and the
    largest distance from the aim, in bands.
    """

    numbers: Array  # on a device
    seen: Array | None = None

    def __init__(self, p: int, length: float, count: int) -> None:
        self._p, self._length, self.worst = p, length, np.zeros(count)

    def add(self, stage: Stage, squares: Array) -> None:
        """Mean squares over an array's nodes, on the host, (2, count): of the two highest Legendre terms; a root's,
        (2 + p, count), with what is missed in the gap before each point."""
        self.worst = np.maximum(self.worst, estimated(self._p, squares, self._length / stage.node.time_constant))

    def fetch(self, host: Array | None = None) -> None:
        """Bring what is still on the device to the host, unless it is given."""


@dataclass(frozen=True)
class Aim:
    """Where an array comes to rest: target (batch, *shape), and per · bands = 1 / the allowed deviation; per: one
    number, or one a node (*shape) or (batch, *shape); both contiguous. steps: of `per` from sample to sample and from
    node to node."""

    target: Array
    per: Array
    bands: float

    @property
    def steps(self) -> tuple[int, int]:
        if self.per.size == 1:
            return 0, 0
        return (self.target[0].size if self.per.shape == self.target.shape else 0), 1


Aims = Mapping[str, Aim]


class Solver:
    """Array operations of any module, one after another."""

    prompt = True  # whether an error is cheap to look at, so that a hopeless element is not solved to its end

    def __init__(self, plan: Plan, collocation: Collocation) -> None:
        self.backend, self.collocation, self.p = plan.backend, collocation, collocation.p

    def found(
        self, stages: Sequence[Stage], length: float, count: int, batch: int, *, estimate: bool, aims: Aims
    ) -> Found:
        """Where `solve` notes what it finds of some arrays, one after another: errors, if asked to `estimate`, and how
        far from its aim an array is."""
        return Found(self.p, length, count)

    def solve(
        self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int, found: Found, *,
        estimate: bool, aim: Aim | None = None, ends: bool = False,
    ) -> tuple[Array, Array]:  # fmt: skip
        """(polynomials (count·p, batch, *shape) of one array in `count` elements of `length` seconds, its values at the
        end of the last, in memory of their own). signals: what the array reads, at the points; ends: whether a window
        ends with them."""
        points = self._points(stage, start, signals, length, count)
        if estimate:
            found.add(stage, self.backend.host(self._squares(stage, start, points, count)))
        return points, points[-1].copy()

    def _points(self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int) -> Array:
        node, at = stage.node, self.collocation
        ratio = length / node.time_constant
        shape = (count, self.p, *start.shape)
        if node.bends:
            drive = _shaped(stage.delivered(signals, None), shape)
            pace = 1.0 if stage.pace is None else stage.pace
            return at.own(ratio, pace, stage.pull, node.guess, node.grain, start, drive).reshape(-1, *start.shape)
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

    def _squares(self, stage: Stage, start: Array, points: Array, count: int) -> Array:
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
