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

from .gauge import Gauge
from .observers import Element
from .plan import Plan, Stage
from .solver import Aim

Array = Any


class SettlingWatch:
    """Observer: last time at which each array, for each sample, was outside its band around `target`.

    target: operating point, logical, (batch, *shape). After the run, `time` (batch,) [s] is the settling time (nan
    where it did not settle) and `by_array` gives it array by array.
    """

    def __init__(self, plan: Plan, target: Mapping[str, Array], bits: float) -> None:
        self.target, self.bands = target, 2.0**bits
        self._backend, self._gauge = plan.backend, Gauge(plan.backend)
        self._stages = {stage.name: stage for stage in plan.stages}
        self.aims = {name: self._aim(stage, name == plan.circuit.output) for name, stage in self._stages.items()}
        self.restart()

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        pass

    def restart(self) -> None:
        """Forget what was seen."""
        self._at_rest, self._time = False, 0.0
        batch = max((len(target) for target in self.target.values()), default=1)
        self.last = {name: np.zeros(batch) for name in self._stages}
        self._speed = {name: np.zeros(1) for name in self._stages}

    def _aim(self, stage: Stage, output: bool) -> Aim:
        """Allowed deviation of each node: full scale, and for the output also the row's logit range."""
        xp, target = self._backend.xp, self.target[stage.name]
        per = stage.per_full_scale
        if output:
            spread = abs(target - target.mean(axis=-1, keepdims=True)).max(axis=-1, keepdims=True)
            per = xp.maximum(per, 1 / xp.maximum(spread, 1e-30))
        if per.size > 1:
            per = self._backend.spread(per, target.shape[-per.ndim :] if per.ndim < target.ndim else target.shape)
        return Aim(xp.ascontiguousarray(target), per, self.bands)

    def element(self, element: Element) -> None:
        if element.seen is not None:
            self.saw(element.seen, element.start, element.length / element.count, ends=element.ends)
            return
        for name in element.initial:
            self._gauge.look(self._stages[name], element, self.aims[name], self.last[name], self._speed[name])

    def saw(self, seen: Mapping[str, Array], begin: float, length: float, *, ends: bool) -> None:
        """Take over what a solver has seen (`Look.seen`) of some arrays in elements of `length` from `begin` on; ends:
        whether their group's window ends with them."""
        for name, rows in seen.items():
            begins, places = begin + length * np.arange(len(rows))[:, None], rows[:, :-1]
            times = np.where(places > 0, begins + length * (places - 1), 0.0)
            self.last[name] = np.maximum(self.last[name], times.max(axis=0))
            if ends:
                self._speed[name] = rows[-1, -1:]

    def window(self, time: float) -> None:
        self._time = time * (1 - 1e-9)  # what is outside now may be a rounding before `time`
        inside = all((last < self._time).all() for last in self.last.values())
        self._at_rest = inside and all(float(speed[0]) <= 1 for speed in self._speed.values())

    @property
    def settled(self) -> bool:
        """Whether every array of every sample is inside its band and at rest."""
        return self._at_rest

    @property
    def time(self) -> Array:
        """Settling time [s] of each sample, (batch,); nan where an array is still outside."""
        worst = np.max(list(self.last.values()), axis=0)
        return np.where(worst < self._time, worst, math.nan)

    @property
    def by_array(self) -> dict[str, float]:
        """Settling time [s] of each array, worst sample."""
        return {name: float(last.max()) for name, last in self.last.items()}
