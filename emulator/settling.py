"""When has the machine settled? (DESIGN §2, strict definition.)

Settled to b bits at time t: from t to the end every node is within 2⁻ᵇ of its full scale of this chip's own operating
point, and at every position max|Δlogit| ≤ 2⁻ᵇ · max|logit − mean logit|. It is only believed once all residuals
|C dv/dt|/g are as small too: a plateau before the front arrives is not settled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .collocation import Piece
from .observers import Element
from .plan import Plan

Array = Any


class SettlingWatch:
    """Observer: last time at which each array, for each sample, was outside its band around `target`.

    target: operating point, logical, (batch, *shape). After the run, `time` (batch,) [s] is the settling time (nan
    where it did not settle) and `by_array` gives it array by array.
    """

    def __init__(self, target: Mapping[str, Array], bits: float) -> None:
        self.target, self.bits, self.band = target, bits, 2.0**-bits
        self.last: dict[str, Array] = {}
        self._slow: dict[str, bool] = {}
        self._refs: dict[str, Array] = {}
        self._per: dict[str, Array] = {}
        self._output: str | None = None
        self._host: Callable[[Array], Array] = np.asarray
        self._time = 0.0

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._output, self._host = plan.circuit.output, plan.backend.host
        for stage in plan.stages:
            name = stage.name
            target = self.target[name]
            self._refs[name] = target
            self._per[name] = self._inverse_band(plan, name, target, stage.per_full_scale)
            outside = self._outside(name, start[name][None])[0]
            self.last[name] = np.where(self._host(outside), 0.0, -math.inf)
            self._slow[name] = True

    def _inverse_band(self, plan: Plan, name: str, target: Array, per_full_scale: Array) -> Array:
        """1 / allowed deviation of each node: full scale, and for the output also the row's logit range."""
        xp = plan.backend.xp
        per = per_full_scale / self.band
        if name != self._output:
            return per
        spread = abs(target - target.mean(axis=-1, keepdims=True)).max(axis=-1, keepdims=True)
        return xp.maximum(per, 1 / (self.band * xp.maximum(spread, 1e-30)))

    def _outside(self, name: str, values: Array) -> Array:
        """Mask (K, batch) of samples with any node outside its band."""
        off = abs(values - self._refs[name])
        off *= self._per[name]
        return off.reshape(*off.shape[:2], -1).max(axis=-1) > 1

    def element(self, element: Element) -> None:
        for name, initial in element.initial.items():
            points = element.values[name]
            stop = element.start + element.length
            ends = self._host(self._outside(name, points[-1:])[0])
            if ends.all():
                self.last[name] = np.full(ends.shape, stop)
                self._slow[name] = True
                continue
            outside = np.vstack([self.last[name] >= element.start, self._host(self._outside(name, points))])
            if outside.any():
                self.last[name] = self.last[name].copy()
                self._refine(name, element, initial, points, outside)
            self.last[name] = np.where(ends, stop, self.last[name])
            self._slow[name] = bool(ends.any()) or self._moves(name, element, initial, points)

    def _refine(self, name: str, element: Element, initial: Array, points: Array, outside: Array) -> None:
        """Last time outside, to 1/64 of the gap between the last point outside and the next, sample by sample.

        outside (1 + points, batch): at the start and at the points. Only the nodes outside at that last point are
        followed: the others came back earlier.
        """
        rows, nodes = points.shape[1], int(np.prod(points.shape[2:]))
        ref = self._refs[name].reshape(rows, nodes)
        per = np.broadcast_to(self._host(self._per[name]), (rows, *points.shape[2:])).reshape(rows, nodes)
        edges = np.concatenate([[element.start], element.times, [element.start + element.length]])
        for sample in np.flatnonzero(outside.any(axis=0)):
            k = int(np.flatnonzero(outside[:, sample])[-1])
            before = initial[sample] if k == 0 else points[k - 1, sample]
            off = self._host(abs(before.reshape(-1) - ref[sample])) * per[sample]
            late = np.flatnonzero(off > 1)
            times = np.linspace(edges[k], edges[k + 1], 65)
            followed = Piece(
                element.start,
                element.length / element.count,
                element.count,
                initial[sample].reshape(-1)[late],
                points[:, sample].reshape(len(points), nodes)[:, late],
            )
            dense = element.collocation.at(followed, times)
            away = (self._host(abs(dense - ref[sample, late])) * per[sample, late] > 1).any(axis=1)
            self.last[name][sample] = times[np.flatnonzero(away)[-1]] if away.any() else times[0]

    def _moves(self, name: str, element: Element, initial: Array, points: Array) -> bool:
        """Whether any node still has |C dv/dt|/g beyond its band at the element's end."""
        stage = next(s for s in element.group.stages if s.name == name)
        p = element.points
        start = initial if len(points) == p else points[-p - 1]
        slope = element.collocation.end_slope(start, points[-p:]) * (element.count / element.length)
        node = stage.node
        if node.feedback is None:
            gamma = stage.gamma({})
        else:
            gamma = node.feedback.ratio(element.values[node.feedback.control][-1]) + stage.standing
        return bool((abs(slope) * (node.time_constants / gamma) * self._per[name]).max() > 1)

    def window(self, time: float) -> None:
        self._time = time

    @property
    def settled(self) -> bool:
        """Whether every array of every sample is inside its band and at rest."""
        inside = all((last < self._time).all() for last in self.last.values())
        return inside and not any(self._slow.values())

    @property
    def time(self) -> Array:
        """Settling time [s] of each sample, (batch,); nan where an array is still outside."""
        worst = np.max([last for last in self.last.values()], axis=0)
        return np.where(worst < self._time, np.maximum(worst, 0.0), math.nan)

    @property
    def by_array(self) -> dict[str, float]:
        """Settling time [s] of each array, worst sample."""
        return {name: float(max(last.max(), 0.0)) for name, last in self.last.items()}
