"""How far from rest: what the settling watch asks of an array's polynomials.

Deviations are in bands: |x − target| per, 1 at the edge of the band. What is found is raised in arrays of the device,
which the watch fetches when a window has ended.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import kernels, watch_kernels
from .fused import NOTHING, blocks, fused_stages
from .observers import Element
from .plan import Plan, Stage
from .radau import end_slope, interpolation, radau

Array = Any
PLACES = 65  # from one point to the next, where the last time outside is looked for


class Gauge:
    """On any array module. target (batch, *shape); per: 1 / allowed deviation, broadcastable to it."""

    def __init__(self, plan: Plan) -> None:
        self.backend = plan.backend

    def zeros(self, *shape: int) -> Array:
        """What `look` raises rows of."""
        return np.zeros(shape)

    def look(self, stage: Stage, element: Element, target: Array, per: Array, last: Array, speed: Array) -> None:
        """Raise `last` (batch,) to the last time [s] in the elements at which any node of a sample is outside; where
        they end a window, `speed` (1,), which began as 0, to the largest |C dv/dt|/g there, in bands."""
        points, name = element.values[stage.name], stage.name
        at_end = self._outside(points[-1:], target, per)[0]
        last[at_end] = element.start + element.length
        if element.ends:  # of a node that is outside it does not matter
            speed[...] = np.inf if at_end.any() else self._fastest(stage, element, per)
        if at_end.all():
            return
        rows = np.concatenate([self._outside(part, target, per) for part in (element.initial[name][None], points)])
        for sample in np.flatnonzero(rows.any(axis=0) & ~at_end):
            row = int(np.flatnonzero(rows[:, sample])[-1])
            last[sample] = self._last_time(element, name, target, per, int(sample), row)

    def _outside(self, values: Array, target: Array, per: Array) -> Array:
        """Mask (K, batch) of values (K, batch, *shape) with any node outside; what is no number is outside."""
        off = abs(values - target)
        off *= per
        return ~(off.reshape(*off.shape[:2], -1).max(axis=-1) <= 1)

    def _last_time(self, element: Element, name: str, target: Array, per: Array, sample: int, row: int) -> float:
        """Last time outside after row `row` of start and points, the last of them outside, to 1/64 of the gap.

        Only the nodes outside at that point are followed: the others came back earlier.
        """
        at, (which, point) = element.collocation, divmod(row, element.points)
        values = element.values[name][:, sample].reshape(len(element.times), -1)
        start = element.initial[name][sample].reshape(-1) if which == 0 else values[which * at.p - 1]
        points = values[which * at.p : (which + 1) * at.p]
        aim, share = (np.broadcast_to(x, target.shape)[sample].reshape(-1) for x in (target, per))
        late = np.flatnonzero(~(abs((points[point - 1] if point else start) - aim) * share <= 1))
        dense = at.combine(self.backend.kept(_dense, at.p)[point], start[late], points[:, late])
        outside = np.flatnonzero(~(abs(dense - aim[late]) * share[late] <= 1).all(axis=1))
        nodes = _nodes(at.p)
        place = nodes[point] + (nodes[point + 1] - nodes[point]) * (outside[-1] if len(outside) else 0) / (PLACES - 1)
        return float(element.start + element.length / element.count * (which + place))

    def _fastest(self, stage: Stage, element: Element, per: Array) -> float:
        start, points = last_element(element, stage.name)
        slope = element.collocation.end_slope(start, points) * (element.count / element.length)
        if stage.node.feedback is None:
            gamma = stage.gamma({})
        else:
            gamma = stage.node.feedback.ratio(element.values[stage.node.feedback.control][-1]) + stage.standing
        return float((abs(slope) * (stage.node.time_constants / gamma) * per).max())


class FusedGauge(Gauge):
    """On a GPU: nothing is waited for."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stages = fused_stages(plan)

    def zeros(self, *shape: int) -> Array:
        return self.backend.xp.zeros(shape, self.backend.dtype)

    def look(self, stage: Stage, element: Element, target: Array, per: Array, last: Array, speed: Array) -> None:
        values, initial = element.values[stage.name], element.initial[stage.name]
        real, row, p = values.dtype.type, target[0].size, element.points
        spread = self._spread(per, target)
        arguments = (
            np.int64(target.size), np.int64(row), np.int32(element.count), real(element.start),
            real(element.length / element.count), self._flat(initial), self._flat(values), self._flat(target), *spread,
            self.backend.kept(_nodes, p), self.backend.kept(_dense, p), last,
        )  # fmt: skip
        self._kernel("outside", p, 0)((*blocks(row), len(target)), (kernels.THREADS,), arguments)
        if element.ends:
            self._raise_speed(stage, element, spread, speed)

    def _raise_speed(self, stage: Stage, element: Element, spread: tuple[Any, Any, Any], speed: Array) -> None:
        fused, p = self.stages[stage.name], element.points
        start, points = last_element(element, stage.name)
        control: Any = NOTHING, np.int64(1)
        if fused.law == 1 and stage.node.feedback is not None:
            control = fused.control(element.values[stage.node.feedback.control][-1])
        real = points.dtype.type
        arguments = (
            np.int64(start.size), np.int64(start.size // len(start)), real(fused.least),
            real(fused.tau * element.count / element.length), self._flat(start), self._flat(points),
            *control, fused.table, self.backend.kept(end_slope, p), *spread, speed,
        )  # fmt: skip
        self._kernel("fastest", p, fused.law)(blocks(start.size), (kernels.THREADS,), arguments)

    def _spread(self, per: Array, target: Array) -> tuple[Array, Any, Any]:
        """(per, contiguous; its steps from sample to sample and from node to node)."""
        if per.size == 1:
            return self._flat(per), np.int64(0), np.int64(0)
        of_sample = per.ndim == target.ndim and len(per) > 1
        whole = target.shape if of_sample else target.shape[1:]
        each = per if of_sample or per.ndim < target.ndim else per[0]
        return self.backend.spread(each, whole), np.int64(target[0].size if of_sample else 0), np.int64(1)

    def _flat(self, values: Array) -> Array:
        return self.backend.xp.ascontiguousarray(values)

    def _kernel(self, name: str, points: int, law: int) -> Any:
        return kernels.compiled(watch_kernels.watch_source(self.backend.dtype, points, law, PLACES), name)


def gauge(plan: Plan) -> Gauge:
    """The gauge of a plan's device."""
    return FusedGauge(plan) if plan.backend.fused else Gauge(plan)


def last_element(element: Element, name: str) -> tuple[Array, Array]:
    """(start, points) of an array in the last of the elements shown."""
    p, points = element.points, element.values[name]
    return (element.initial[name] if element.count == 1 else points[-p - 1]), points[-p:]


def _nodes(p: int) -> Array:
    """Start and points of an element, (p + 1,) in 0 … 1."""
    return np.concatenate([[0.0], radau(p)[0]])


def _dense(p: int) -> Array:
    """(p, PLACES, p + 1) from (start, points) to places from one point (or the start) to the next."""
    nodes = _nodes(p)
    return np.stack([interpolation(p, np.linspace(a, b, PLACES)) for a, b in pairwise(nodes)])
