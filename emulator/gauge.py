"""How far from rest: what the settling watch asks of an array's polynomials.

Deviations are in bands: |x − target| per, 1 at the edge of the band.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import Backend
from .element_kernel import PLACES
from .observers import Element
from .plan import Stage
from .radau import knots, steps
from .solver import Aim

Array = Any


class Gauge:
    """On any array module; the GPU's kernels look while they solve (`element_kernel.WATCH`)."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def look(self, stage: Stage, element: Element, aim: Aim, last: Array, speed: Array, off: Array) -> None:
        """Raise `last` (batch,) to the last time [s] in the elements at which any node of a sample is outside; where
        they end a window, set `speed` (1,) to the largest |C dv/dt|/g there and `off` (1,) to the largest distance from
        the aim, in bands."""
        points, name = element.values[stage.name], stage.name
        away = self._away(points[-1:], aim)[0]
        at_end = ~(away <= 1)
        last[at_end] = element.start + element.length
        if element.ends:
            off[0] = away.max()
            # of a node that is outside it does not matter
            speed[0] = np.inf if at_end.any() else self._fastest(stage, element, aim)
        if at_end.all():
            return
        rows = ~(np.concatenate([self._away(part, aim) for part in (element.initial[name][None], points)]) <= 1)
        for sample in np.flatnonzero(rows.any(axis=0) & ~at_end):
            row = int(np.flatnonzero(rows[:, sample])[-1])
            last[sample] = self._last_time(element, name, aim, int(sample), row)

    def _away(self, values: Array, aim: Aim) -> Array:
        """How far the farthest node is, in bands, of values (K, batch, *shape): (K, batch), on the host; what is no
        number is not within 1."""
        off = abs(values - aim.target)
        off *= aim.per
        return self.backend.host(off.reshape(*off.shape[:2], -1).max(axis=-1)) * aim.bands

    def _last_time(self, element: Element, name: str, aim: Aim, sample: int, row: int) -> float:
        """Last time outside after row `row` of start and points, the last of them outside, to 1/64 of the gap.

        Only the nodes outside at that point are followed: the others came back earlier.
        """
        xp, at, (which, point) = self.backend.xp, element.collocation, divmod(row, element.points)
        values = element.values[name][:, sample].reshape(len(element.times), -1)
        start = element.initial[name][sample].reshape(-1) if which == 0 else values[which * at.p - 1]
        points = values[which * at.p : (which + 1) * at.p]
        target, per = (
            xp.broadcast_to(x, aim.target.shape)[sample].reshape(-1) for x in (aim.target, aim.per * aim.bands)
        )
        late = xp.flatnonzero(~(abs((points[point - 1] if point else start) - target) * per <= 1))
        dense = at.combine(self.backend.kept(steps, at.p, PLACES)[point], start[late], points[:, late])
        outside = np.flatnonzero(self.backend.host(~(abs(dense - target[late]) * per[late] <= 1).all(axis=1)))
        begin, end = knots(at.p)[point : point + 2]
        place = begin + (end - begin) * (outside[-1] if len(outside) else 0) / (PLACES - 1)
        return float(element.start + element.length / element.count * (which + place))

    def _fastest(self, stage: Stage, element: Element, aim: Aim) -> float:
        p, points = element.points, element.values[stage.name]
        start = element.initial[stage.name] if element.count == 1 else points[-p - 1]
        slope = element.collocation.end_slope(start, points[-p:]) * (element.count / element.length)
        if stage.node.feedback is None:
            gamma = stage.gamma({})
        else:
            gamma = stage.node.feedback.ratio(element.values[stage.node.feedback.control][-1]) + stage.standing
        return float((abs(slope) * (stage.node.time_constants / gamma) * aim.per).max()) * aim.bands
