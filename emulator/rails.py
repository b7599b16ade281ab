"""Which nodes are driven beyond the linear part of their rail while a machine relaxes.

At the collocation points of an element a node's own polynomial says what its conveyor delivered, without asking the
cells that drive it again:

    delivered = τ dx/dt + γ (x − offset) − what plain resistors push        dx/dt = A⁻¹ (X − x₀) / h

and the limiter delivers more than the linear part of the rail only where it is asked for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.arrays import module_of
from .observers import Element
from .plan import Plan, Stage
from .radau import radau

Array = Any


class RailWatch:
    """Observer of finite elements: `nodes` counts, by array, the nodes that were beyond at any point, for any sample.

    Nodes that are meant to rest on their rail, and such as have none, are not looked at.
    """

    keeps = ("_beyond",)

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}
        self._beyond: dict[str, Array] = {}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._host = plan.backend.host
        for stage in plan.stages:
            if stage.node.rail is not None and not stage.node.held and stage.conveyed:
                self._stages[stage.name] = stage
                self._beyond[stage.name] = np.zeros(stage.node.shape, bool)

    def element(self, element: Element) -> None:
        for name in element.initial:
            if name in self._stages:
                beyond = self._mask(self._stages[name], element)
                self._beyond[name] |= self._host(beyond)

    def _mask(self, stage: Stage, element: Element) -> Array:
        """Nodes beyond at some point of the element, in the array's shape."""
        x, node = element.flat, stage.node
        own = x[stage.name]
        gamma = node.feedback.ratio(own) + stage.standing if node.is_root and node.feedback else stage.gamma(x)
        delivered = _speed(element, stage.name) * node.time_constants + gamma * (own - stage.offset)
        for term in stage.direct:
            delivered = delivered - term.drive(x)
        if node.exists is not None:
            delivered = delivered * node.exists
        return node.saturated(delivered, stage.own(gamma)).any(axis=0)

    def window(self, time: float) -> None:
        pass

    @property
    def nodes(self) -> dict[str, int]:
        """Only arrays that have any."""
        counts = {name: int(np.count_nonzero(mask)) for name, mask in self._beyond.items()}
        return {name: count for name, count in counts.items() if count}


def _speed(element: Element, name: str) -> Array:
    """dx/dt at the points of an element, (T·batch, *shape), of the polynomials that were solved for."""
    values, p = element.values[name], element.points
    xp = module_of(values)
    points = values.reshape(element.count, p, -1)
    starts = xp.concatenate([element.initial[name].reshape(1, 1, -1), points[:-1, -1:]])
    per = np.linalg.inv(radau(p)[1]) * (element.count / element.length)
    return (xp.asarray(per, dtype=values.dtype) @ (points - starts)).reshape(-1, *values.shape[2:])
