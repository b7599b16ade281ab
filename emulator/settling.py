"""When has the machine settled? (DESIGN §2, strict definition.)

Settled to b bits at time t: from t to the end every node is within 2⁻ᵇ of its full scale of this chip's own operating
point, and at every position max|Δlogit| ≤ 2⁻ᵇ · max|logit − mean logit|. It is only believed once all residuals
|C dv/dt|/g are as small too: a plateau before the front arrives is not settled.

A machine may come to rest elsewhere: rounding leaves it and its operating point apart. While it relaxes, the farthest
node of some array is twice as far from its target as it ever was, or half as far as it ever was since. Rounding, which
moves nodes to and fro, soon does neither any more. Where no array has done so for longer than a node could take to get
under way (`patience`), the machine rests as near as it gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .gauge import Gauge
from .observers import Element
from .plan import Group, Plan, Stage
from .solver import Aim

Array = Any


class SettlingWatch:
    """Observer: last time at which each array, for each sample, was outside its band around `target`.

    target: operating point, logical, (batch, *shape). After the run, `time` (batch,) [s] is the settling time (nan
    where it did not settle) and `by_array` gives it array by array.
    """

    keeps = ("_last", "_speed", "_off", "_far", "_near", "_moved", "_time", "_at_rest")

    def __init__(self, plan: Plan, target: Mapping[str, Array], bits: float) -> None:
        self.target, self.bits, self.bands = target, bits, 2.0**bits
        self._backend, self._gauge = plan.backend, Gauge(plan.backend)
        self._row = {stage.name: k for k, stage in enumerate(plan.stages)}
        self.aims = {stage.name: self._aim(stage, stage.name == plan.circuit.output) for stage in plan.stages}
        self.restart()

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        pass

    def restart(self) -> None:
        """Forget what was seen."""
        self._at_rest, self._time, self._moved = False, 0.0, 0.0
        batch, arrays = max((len(target) for target in self.target.values()), default=1), len(self._row)
        # of each array: the last time outside of each sample, 0 of one that never was; how fast it is, how far off, how
        # far it ever was, to a factor of 2, and how near since
        self._last = np.zeros((arrays, batch))
        self._speed, self._off, self._far, self._near = np.zeros((4, arrays))

    def _aim(self, stage: Stage, output: bool) -> Aim:
        """Allowed deviation of each node: full scale, and for the output also the row's logit range."""
        xp, target = self._backend.xp, self.target[stage.name]
        per = stage.per_full_scale
        if output:
            spread = abs(target - target.mean(axis=-1, keepdims=True)).max(axis=-1, keepdims=True)
            per = xp.maximum(per, 1 / xp.maximum(spread, 1e-30))
        if per.size > 1:
            per = self._backend.spread(per, target.shape[1:] if per.ndim < target.ndim else target.shape)
        return Aim(xp.ascontiguousarray(target), per, self.bands)

    def element(self, element: Element) -> None:
        if element.seen is not None:
            self.saw(element.group, element.seen, element.start, element.length / element.count, ends=element.ends)
            return
        for stage in element.group.stages:
            k = self._row[stage.name]
            found = self._last[k], self._speed[k : k + 1], self._off[k : k + 1]
            self._gauge.look(stage, element, self.aims[stage.name], *found)

    def saw(self, group: Group, seen: Array, begin: float, length: float, *, ends: bool) -> None:
        """Take over what a solver has seen (`Found.seen`) in elements of `length` from `begin` on; ends: whether the
        group's window ends with them."""
        first = self._row[group.stages[0].name]
        rows = slice(first, first + len(group.stages))
        begins, places = begin + length * np.arange(seen.shape[1])[:, None], seen[:, :, :-2]
        times = np.where(places > 0, begins + length * (places - 1), 0.0)
        self._last[rows] = np.maximum(self._last[rows], times.max(axis=1))
        if ends:
            self._speed[rows], self._off[rows] = seen[:, -1, -2], seen[:, -1, -1]

    def window(self, time: float) -> None:
        self._time = time * (1 - 1e-9)  # what is outside now may be a rounding before `time`
        self._at_rest = bool((self._last < self._time).all() and (self._speed <= 1).all())
        off = np.maximum(self._off, 1.0)
        farther = ~(off <= 2 * self._far)
        moved = farther | (off < self._near / 2)
        if moved.any():
            self._far, self._near = np.where(farther, off, self._far), np.where(moved, off, self._near)
            self._moved = time

    @property
    def settled(self) -> bool:
        """Whether every array of every sample is inside its band and at rest."""
        return self._at_rest

    @property
    def moved(self) -> float:
        """End of the last window [s] in which an array got twice as far from its target as ever, or half as far."""
        return self._moved

    @property
    def rests_within(self) -> float:
        """Bits of full scale within which every node is of its target at the end of the last window."""
        return self.bits - math.log2(max(float(self._off.max()), 1e-30))

    @property
    def time(self) -> Array:
        """Settling time [s] of each sample, (batch,); nan where an array is still outside."""
        worst = self._last.max(axis=0)
        return np.where(worst < self._time, worst, math.nan)

    @property
    def by_array(self) -> dict[str, float]:
        """Settling time [s] of each array, worst sample."""
        return {name: float(last.max()) for name, last in zip(self._row, self._last, strict=True)}
