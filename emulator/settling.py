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

from .gauge import gauge
from .observers import Element
from .plan import Plan

Array = Any


class SettlingWatch:
    """Observer: last time at which each array, for each sample, was outside its band around `target`.

    target: operating point, logical, (batch, *shape). After the run, `time` (batch,) [s] is the settling time (nan
    where it did not settle) and `by_array` gives it array by array.
    """

    def __init__(self, target: Mapping[str, Array], bits: float) -> None:
        self.target, self.band = target, 2.0**-bits
        self.last: dict[str, Array] = {}
        self._at_rest = False
        self._time = 0.0

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._backend, self._gauge = plan.backend, gauge(plan)
        self._stages = {stage.name: stage for stage in plan.stages}
        self._per = {
            name: self._inverse_band(name == plan.circuit.output, self.target[name], stage.per_full_scale)
            for name, stage in self._stages.items()
        }
        batch = max((len(target) for target in self.target.values()), default=1)
        # of each array: the last time outside of each sample, 0 of one that never was; then its speed
        self._found = self._gauge.zeros(len(self._stages), batch + 1)
        self._rows = {name: (row[:-1], row[-1:]) for name, row in zip(self._stages, self._found, strict=True)}
        self.last = {name: np.zeros(batch) for name in self._stages}

    def _inverse_band(self, output: bool, target: Array, per_full_scale: Array) -> Array:
        """1 / allowed deviation of each node: full scale, and for the output also the row's logit range."""
        xp = self._backend.xp
        per = per_full_scale / self.band
        if not output:
            return per
        spread = abs(target - target.mean(axis=-1, keepdims=True)).max(axis=-1, keepdims=True)
        return xp.maximum(per, 1 / (self.band * xp.maximum(spread, 1e-30)))

    def element(self, element: Element) -> None:
        for name in element.initial:
            self._gauge.look(self._stages[name], element, self.target[name], self._per[name], *self._rows[name])

    def window(self, time: float) -> None:
        self._time = time * (1 - 1e-6)  # what is outside now may be a rounding before `time`
        found = self._backend.host(self._found).astype(float)
        self._found[:, -1] = 0
        self.last = dict(zip(self._stages, found[:, :-1], strict=True))
        inside = all((last < self._time).all() for last in self.last.values())
        self._at_rest = inside and bool((found[:, -1] <= 1).all())

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
