"""What moves when: rms net current of every array, as a share of the current that full scale drives through g₀.

    activity = rms |C dv/dt| / (g₀ V_FS) = rms τ |dx/dt| / x_FS,      τ = C/g₀

over the samples and the nodes that exist of an array. A bare lag a full scale away from rest has 1, an array at rest 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .held import Held
from .observers import Element
from .plan import Plan
from .traces import Trace

Array = Any
UNIT = "full-scale current"


class Activity:
    """Observer: activity of every free array against time. After the run: `traces()` by array.

    layers: layer of each array, in feed-forward order. A few numbers an element, no waveform is kept.
    """

    keeps = ("_times", "_values")

    def __init__(self) -> None:
        self.layers: dict[str, str] = {}
        self._scale: dict[str, Array] = {}  # τ / full scale, of each node
        self._count: dict[str, int] = {}
        self._times: dict[str, list[Array]] = {}
        self._values = Held()

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._values = Held()
        self._values.begin(plan.backend)
        for stage in plan.stages:
            self.layers[stage.name] = stage.node.layer
            here = 1.0 if stage.node.exists is None else stage.node.present
            self._scale[stage.name] = plan.backend.array(here * stage.node.time_constants) * stage.per_full_scale
            self._count[stage.name] = stage.node.count
            self._times[stage.name] = []

    def element(self, element: Element) -> None:
        p, rate = element.points, element.count / element.length
        for name, start in element.initial.items():
            points = element.values[name]
            self._times[name].append(np.array(element.times, float))
            for k in range(element.count):
                before = start if k == 0 else points[k * p - 1]
                slope = element.collocation.slopes(before, points[k * p : (k + 1) * p])
                slope *= self._scale[name]
                square = (slope * slope).reshape(p, -1).sum(axis=1) / (self._count[name] * len(start))
                self._values.keep(name, rate * square**0.5)

    def window(self, time: float) -> None:
        pass

    def traces(self) -> dict[str, Trace]:
        """Activity against time of each array, share of full-scale current."""
        found = {name: np.concatenate(parts).astype(float) for name, parts in self._values.lists.items()}
        return {name: Trace(np.concatenate(times), found[name], UNIT) for name, times in self._times.items() if times}


__all__ = ["UNIT", "Activity"]
