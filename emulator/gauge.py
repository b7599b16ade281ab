"""How far from rest: what the settling watch asks of an array's polynomials.

Deviations are in bands: |x − target| × per, 1 at the edge of the band. Numbers stay on the device until they are
fetched, those of all arrays together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import kernels, watch_kernels
from .collocation import Collocation
from .fused import NOTHING, blocks, fused_stages
from .observers import Element
from .plan import Plan, Stage
from .pool import Pool
from .radau import end_slope, interpolation, radau

Array = Any
PLACES = 65  # between two points, where the last time outside is looked for


@dataclass(frozen=True)
class Gap:
    """Before point number `point` of an element of one sample: start (*shape), points (p, *shape), contiguous but for
    the step from one point to the next; target (*shape); per (*shape) or one number."""

    start: Array
    points: Array
    point: int
    target: Array
    per: Array


class Gauge:
    """On any array module. per: 1 / allowed deviation, broadcastable to (batch, *shape)."""

    whole = False  # whether to look at all points of an element costs little more than to look at its end

    def __init__(self, plan: Plan) -> None:
        self.backend = plan.backend

    def farthest(self, values: Array, target: Array, per: Array) -> Array:
        """Largest deviation of any node: values (K, batch, *shape) -> (K, batch)."""
        off = abs(values - target)
        off *= per
        return off.reshape(*off.shape[:2], -1).max(axis=-1)

    def through(self, initial: Array, values: Array, target: Array, per: Array) -> Array:
        """The same at a start (batch, *shape) and at points: (1 + K, batch)."""
        both = [self.farthest(part, target, per) for part in (initial[None], values)]
        return self.backend.xp.concatenate(both)

    def between(self, at: Collocation, gaps: Sequence[Gap]) -> list[Array]:
        """Largest deviation (PLACES,) in each gap, on the host, of the nodes that are outside at its beginning."""
        return [self.backend.host(self._between(at, gap)) for gap in gaps]

    def _between(self, at: Collocation, gap: Gap) -> Array:
        start, target, per = gap.start.reshape(-1), gap.target.reshape(-1), gap.per.reshape(-1)
        points = gap.points.reshape(at.p, -1)
        before = start if gap.point == 0 else points[gap.point - 1]
        late = self.backend.xp.flatnonzero(abs(before - target) * per > 1)
        weights = self.backend.kept(gap_weights, at.p, gap.point)
        dense = at.combine(weights, start[late], points[:, late])
        each = per[late] if per.size > 1 else per
        return (abs(dense - target[late]) * each).max(axis=1)

    def fastest(self, stage: Stage, element: Element, per: Array) -> Array:
        """Largest |C dv/dt|/g at an element's end, in bands."""
        start, points = last_element(element, stage.name)
        slope = element.collocation.end_slope(start, points) * (element.count / element.length)
        if stage.node.feedback is None:
            gamma = stage.gamma({})
        else:
            gamma = stage.node.feedback.ratio(element.values[stage.node.feedback.control][-1]) + stage.standing
        return (abs(slope) * (stage.node.time_constants / gamma) * per).max()


class FusedGauge(Gauge):
    """On a GPU, one pass over each array."""

    whole = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.stages = fused_stages(plan)
        self.pool = Pool(plan.backend, plan.backend.dtype)
        self._kernels: dict[tuple[str, int, int], Any] = {}

    def through(self, initial: Array, values: Array, target: Array, per: Array) -> Array:
        out = self.pool.take((1 + len(values)) * len(initial)).reshape(1 + len(values), len(initial))
        self._take(initial[None], target, per, out[:1])
        self._take(values, target, per, out[1:])
        return out

    def _take(self, values: Array, target: Array, per: Array, out: Array) -> None:
        spread, per_sample, per_node = self._spread(per, target)
        arguments = (
            np.int64(target.size), np.int64(target[0].size), np.int32(len(values)), self._flat(values),
            self._flat(target), spread, np.int64(per_sample), np.int64(per_node), out,
        )  # fmt: skip
        wide = blocks(-(-target[0].size // watch_kernels.EACH))
        self._kernel("farthest", 1, 0)((*wide, len(target)), (kernels.THREADS,), arguments)

    def between(self, at: Collocation, gaps: Sequence[Gap]) -> list[Array]:
        where = self.backend.address
        lines = [
            (gap.target.size, where(gap.start), where(gap.points), gap.points.strides[0] // gap.points.itemsize,
             where(self.backend.kept(gap_weights, at.p, gap.point)), where(gap.target), where(gap.per),
             int(gap.per.size > 1))
            for gap in gaps
        ]  # fmt: skip
        out = self.backend.xp.zeros((len(gaps), PLACES), self.backend.dtype)
        table = self.backend.xp.asarray(np.array(lines, np.int64))
        wide = blocks(max(gap.target.size for gap in gaps))[0]
        self._kernel("farthest_between", at.p, 0)((wide, len(gaps)), (kernels.THREADS,), (np.int32(PLACES), table, out))
        return list(self.backend.host(out))

    def fastest(self, stage: Stage, element: Element, per: Array) -> Array:
        fused, p = self.stages[stage.name], element.points
        start, points = last_element(element, stage.name)
        control: Any = NOTHING, np.int64(1)
        if fused.law == 1 and stage.node.feedback is not None:
            control = fused.control(element.values[stage.node.feedback.control][-1])
        out = self.pool.take(1).reshape(())
        spread, per_sample, per_node = self._spread(per, start)
        real = points.dtype.type
        arguments = (
            np.int64(start.size), np.int64(start.size // len(start)), real(fused.least),
            real(fused.tau * element.count / element.length), self._flat(start), self._flat(points),
            *control, fused.table, self.backend.kept(end_slope, p), spread, np.int64(per_sample), np.int64(per_node),
            out,
        )  # fmt: skip
        self._kernel("fastest", p, fused.law)(blocks(start.size), (kernels.THREADS,), arguments)
        return out

    def _spread(self, per: Array, target: Array) -> tuple[Array, int, int]:
        """(per, contiguous; its steps from sample to sample and from node to node)."""
        if per.size == 1:
            return self._flat(per), 0, 0
        of_sample = per.ndim == target.ndim
        whole = target.shape if of_sample else target.shape[1:]
        return self.backend.spread(per, whole), target[0].size if of_sample else 0, 1

    def _flat(self, values: Array) -> Array:
        return self.backend.xp.ascontiguousarray(values)

    def _kernel(self, name: str, points: int, law: int) -> Any:
        key = name, points, law
        if key not in self._kernels:
            self._kernels[key] = self.backend.kernel(watch_kernels.watch_source(self.backend.dtype, points, law), name)
        return self._kernels[key]


def gauge(plan: Plan) -> Gauge:
    """The gauge of a plan's device."""
    return FusedGauge(plan) if plan.backend.fused else Gauge(plan)


def last_element(element: Element, name: str) -> tuple[Array, Array]:
    """(start, points) of an array in the last of the elements shown."""
    p, points = element.points, element.values[name]
    return (element.initial[name] if element.count == 1 else points[-p - 1]), points[-p:]


def gap_weights(p: int, gap: int) -> Array:
    """(PLACES, p + 1) from (start, points) to places from one point (or the start) up to point `gap`."""
    nodes = np.concatenate([[0.0], radau(p)[0]])
    return interpolation(p, np.linspace(nodes[gap], nodes[gap + 1], PLACES))
