"""When has the machine settled? (DESIGN §2, strict definition.)

Settled to b bits at time t: from t to the end every node is within 2⁻ᵇ of its full scale of this chip's own operating
point, and at every position max|Δlogit| ≤ 2⁻ᵇ · max|logit − mean logit|. It is only believed once all residuals
|C dv/dt|/g are as small too: a plateau before the front arrives is not settled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .collocation import Piece
from .observers import Element
from .plan import Group, Plan, Stage

Array = Any
STEPS = 16  # of the noise engine that are looked at together


class SettlingWatch:
    """Observer: last time at which each array, for each sample, was outside its band around `target`.

    target: operating point, logical, (batch, *shape). After the run, `time` (batch,) [s] is the settling time (nan
    where it did not settle) and `by_array` gives it array by array. Elements are looked at when a window ends, the
    last ones first: most of a relaxation is told by where it stands at the end.
    """

    def __init__(self, target: Mapping[str, Array], bits: float) -> None:
        self.target, self.bits, self.band = target, bits, 2.0**-bits
        self.last: dict[str, Array] = {}
        self._at_rest = False
        self._seen: dict[str, list[Element]] = {}
        self._stages: dict[str, Stage] = {}
        self._per: dict[str, Array] = {}
        self._time = 0.0

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._backend = plan.backend
        self._stages = {stage.name: stage for stage in plan.stages}
        for name, stage in self._stages.items():
            self._per[name] = self._inverse_band(name == plan.circuit.output, self.target[name], stage.per_full_scale)
            self._seen[name] = []
        outside = self._ends({name: start[name] for name in self._stages})
        self.last = {name: np.where(mask, 0.0, -math.inf) for name, mask in outside.items()}

    def _inverse_band(self, output: bool, target: Array, per_full_scale: Array) -> Array:
        """1 / allowed deviation of each node: full scale, and for the output also the row's logit range."""
        xp = self._backend.xp
        per = per_full_scale / self.band
        if not output:
            return per
        spread = abs(target - target.mean(axis=-1, keepdims=True)).max(axis=-1, keepdims=True)
        return xp.maximum(per, 1 / (self.band * xp.maximum(spread, 1e-30)))

    def _away(self, name: str, values: Array) -> Array:
        """Largest deviation of any node in bands, (K, batch)."""
        return self._backend.farthest(values, self.target[name], self._per[name])

    def _ends(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Mask (batch,) of samples with any node outside at one instant, values (batch, *shape) of each array."""
        away = [self._away(name, value[None])[0] for name, value in values.items()]
        if not away:
            return {}
        rows = self._backend.host(self._backend.xp.stack(away)) > 1
        return dict(zip(values, rows, strict=True))

    def element(self, element: Element) -> None:
        for name in element.initial:
            self._seen[name].append(element)
        if element.count * element.points == 1 and len(self._seen[name]) >= STEPS:
            self._look(self._seen[name][-1].group, element.start + element.length)

    def window(self, time: float) -> None:
        self._time = time
        self._look(None, time)
        inside = all((last < time).all() for last in self.last.values())
        self._at_rest = inside and not any(self._moves(name) for name in self._stages)
        self._seen = {name: [] for name in self._stages}

    def _look(self, group: Group | None, time: float) -> None:
        """Bring `last` up to `time`, when a group (None: all) has got there, and keep only the latest element."""
        names = [name for name in self._seen if self._seen[name]]
        if group is not None:
            names = [stage.name for stage in group.stages]
        ends = self._ends({name: self._seen[name][-1].values[name][-1] for name in names})
        for name, outside in ends.items():
            self.last[name] = np.where(outside, time, self.last[name])
            self._look_back(name, ~outside)
            self._seen[name] = self._seen[name][-1:]

    def _look_back(self, name: str, pending: Array) -> None:
        """For the samples that ended inside (batch,): when they were last outside, in the elements seen."""
        for element in reversed(self._seen[name]):
            if not pending.any():
                return
            points, initial = element.values[name], element.initial[name]
            away = self._backend.xp.concatenate([self._away(name, initial[None]), self._away(name, points)])
            outside = (self._backend.host(away) > 1) & pending
            if outside.any():
                self._refine(name, element, initial, points, outside)
            pending = pending & ~outside.any(axis=0)

    def _refine(self, name: str, element: Element, initial: Array, points: Array, outside: Array) -> None:
        """Last time outside, to 1/64 of the gap between the last point outside and the next, sample by sample.

        outside (1 + points, batch): at the start and at the points. Only the nodes outside at that last point are
        followed: the others came back earlier.
        """
        rows, nodes = points.shape[1], int(np.prod(points.shape[2:]))
        host = self._backend.host
        ref = self.target[name].reshape(rows, nodes)
        per = np.broadcast_to(host(self._per[name]), (rows, *points.shape[2:])).reshape(rows, nodes)
        edges = np.concatenate([[element.start], element.times, [element.start + element.length]])
        for sample in np.flatnonzero(outside.any(axis=0)):
            k = int(np.flatnonzero(outside[:, sample])[-1])
            before = initial[sample] if k == 0 else points[k - 1, sample]
            off = host(abs(before.reshape(-1) - ref[sample])) * per[sample]
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
            away = (host(abs(dense - ref[sample, late])) * per[sample, late] > 1).any(axis=1)
            self.last[name][sample] = times[np.flatnonzero(away)[-1]] if away.any() else times[0]

    def _moves(self, name: str) -> bool:
        """Whether any node still has |C dv/dt|/g beyond its band at the end of the latest element."""
        stage, element = self._stages[name], self._seen[name][-1]
        p, points = element.points, element.values[name]
        start = element.initial[name] if len(points) == p else points[-p - 1]
        slope = element.collocation.end_slope(start, points[-p:]) * (element.count / element.length)
        node = stage.node
        if node.feedback is None:
            gamma = stage.gamma({})
        else:
            gamma = node.feedback.ratio(element.values[node.feedback.control][-1]) + stage.standing
        tau = self._backend.array(node.time_constants)
        return bool((abs(slope) * (tau / gamma) * self._per[name]).max() > 1)

    @property
    def settled(self) -> bool:
        """Whether every array of every sample is inside its band and at rest."""
        return self._at_rest

    @property
    def time(self) -> Array:
        """Settling time [s] of each sample, (batch,); nan where an array is still outside."""
        worst = np.max([last for last in self.last.values()], axis=0)
        return np.where(worst < self._time, np.maximum(worst, 0.0), math.nan)

    @property
    def by_array(self) -> dict[str, float]:
        """Settling time [s] of each array, worst sample."""
        return {name: float(max(last.max(), 0.0)) for name, last in self.last.items()}
