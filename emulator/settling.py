"""When has the machine settled? (DESIGN §2, strict definition.)

Settled to b bits at time t: from t to the end every node is within 2⁻ᵇ of its full scale of this chip's own operating
point, and at every position max|Δlogit| ≤ 2⁻ᵇ · max|logit − mean logit|. It is only believed once all residuals
|C dv/dt|/g are as small too: a plateau before the front arrives is not settled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .gauge import PLACES, Gap, gauge
from .observers import Element
from .plan import Plan, Stage

Array = Any


@dataclass(frozen=True)
class Last:
    """Where a sample of an array was last seen outside: row `point` of an element's start and points."""

    name: str
    element: Element
    sample: int
    point: int


class SettlingWatch:
    """Observer: last time at which each array, for each sample, was outside its band around `target`.

    target: operating point, logical, (batch, *shape). After the run, `time` (batch,) [s] is the settling time (nan
    where it did not settle) and `by_array` gives it array by array. On a processor elements are looked at as they come;
    on a GPU when a window ends, all together, the last ones first, unless more than `hold` bytes would be held for it.
    """

    keeps = ("last", "_time")

    def __init__(self, target: Mapping[str, Array], bits: float, *, hold: float = math.inf) -> None:
        self.target, self.band, self.hold = target, 2.0**-bits, hold
        self.last: dict[str, Array] = {}
        self._at_rest = False
        self._seen: dict[str, list[Element]] = {}
        self._stages: dict[str, Stage] = {}
        self._per: dict[str, Array] = {}
        self._time = 0.0

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._backend, self._gauge = plan.backend, gauge(plan)
        self._stages = {stage.name: stage for stage in plan.stages}
        for name, stage in self._stages.items():
            self._per[name] = self._inverse_band(name == plan.circuit.output, self.target[name], stage.per_full_scale)
        self.restart()

    def restart(self, known: Mapping[tuple[str, Element], Array] | None = None, speeds: Array | None = None) -> None:
        """Begin anew; known: deviations at the start and points of elements that have been measured already; speeds:
        so has what `speeds` finds."""
        self._known, self._speeds = dict(known or {}), speeds
        self._seen = {name: [] for name in self._stages}
        self._fast = dict.fromkeys(self._stages, True)
        self._held = 0
        batch = max((len(target) for target in self.target.values()), default=1)
        self.last = {name: np.full(batch, -math.inf) for name in self._stages}

    def _inverse_band(self, output: bool, target: Array, per_full_scale: Array) -> Array:
        """1 / allowed deviation of each node: full scale, and for the output also the row's logit range."""
        xp = self._backend.xp
        per = per_full_scale / self.band
        if not output:
            return per
        spread = abs(target - target.mean(axis=-1, keepdims=True)).max(axis=-1, keepdims=True)
        return xp.maximum(per, 1 / (self.band * xp.maximum(spread, 1e-30)))

    def _ends(self, names: list[str]) -> dict[str, Array]:
        """Mask (batch,) of samples of each array with any node outside where its latest element ends."""
        latest = [(name, self._seen[name][-1]) for name in names]
        if self._gauge.whole:
            return {name: rows[-1] > 1 for name, rows in zip(names, self._rows(latest), strict=True)}
        away = {
            name: self._gauge.farthest(element.values[name][-1:], self.target[name], self._per[name])
            for name, element in latest
        }
        return {name: self._backend.host(rows)[0] > 1 for name, rows in away.items()}

    def _rows(self, wanted: Sequence[tuple[str, Element]]) -> list[Array]:
        """Deviation at the start and the points of elements, (1 + points, batch) each; measured once."""
        new = [each for each in wanted if each not in self._known]
        self._known |= zip(new, self._backend.fetched([self.measured(*each) for each in new]), strict=True)
        return [self._known[each] for each in wanted]

    def measured(self, name: str, element: Element) -> Array:
        """Deviation at the start and the points of an element, (1 + points, batch), on the device."""
        return self._gauge.through(element.initial[name], element.values[name], self.target[name], self._per[name])

    def element(self, element: Element) -> None:
        for name in element.initial:
            self._seen[name].append(element)
            self._held += element.values[name].nbytes
        if self._at_once:
            self._look(list(element.initial), element.start + element.length)

    @property
    def _at_once(self) -> bool:
        """Whether elements are looked at as they come, and no more of them are held."""
        return not self._gauge.whole or self._held > self.hold

    def window(self, time: float) -> None:
        self._time = time
        self._look([name for name, elements in self._seen.items() if elements], time)
        inside = all((last < time).all() for last in self.last.values())
        self._at_rest = inside and not self._moves()
        self._seen = {name: [] for name in self._stages}
        self._held = self._held if self._at_once else 0  # once too much is always too much

    def _look(self, names: list[str], time: float) -> None:
        """Bring `last` of some arrays up to `time`, where they stand, and keep their latest element at most."""
        ends = self._ends(names)
        for name, outside in ends.items():
            self.last[name] = np.where(outside, time, self.last[name])
        pending = {name: ~outside for name, outside in ends.items() if not outside.all()}
        found: list[Last] = []
        for back in range(1, 1 + max((len(self._seen[name]) for name in pending), default=0)):
            reached = [name for name in pending if len(self._seen[name]) >= back]
            away = self._rows([(name, self._seen[name][-back]) for name in reached])
            for name, rows in zip(reached, away, strict=True):
                outside = (rows > 1) & pending[name]
                for sample in np.flatnonzero(outside.any(axis=0)):
                    point = int(np.flatnonzero(outside[:, sample])[-1])
                    found.append(Last(name, self._seen[name][-back], int(sample), point))
                pending[name] = pending[name] & ~outside.any(axis=0)
            pending = {name: mask for name, mask in pending.items() if mask.any()}
        self._refine(found)
        for name in names:
            latest = self._seen[name].pop()
            self._seen[name] = [] if self._at_once else [latest]
            if self._at_once:
                self._fast[name] = bool(ends[name].any()) or self._is_fast(name, latest)
        self._known = {}

    def _refine(self, found: list[Last]) -> None:
        """Last time outside, to 1/64 of the gap between the last point outside and the next.

        Only the nodes outside at that point are followed: the others came back earlier.
        """
        if not found:
            return
        away = self._gauge.between(found[0].element.collocation, [self._gap(each) for each in found])
        for each, rows in zip(found, away, strict=True):
            element = each.element
            edges = np.concatenate([[element.start], element.times, [element.start + element.length]])
            times = np.linspace(edges[each.point], edges[each.point + 1], PLACES)
            late = np.flatnonzero(rows > 1)
            self.last[each.name][each.sample] = times[late[-1]] if len(late) else times[0]

    def _gap(self, each: Last) -> Gap:
        element, name, p = each.element, each.name, each.element.points
        which, point = divmod(each.point, p)
        values, target, per = element.values[name], self.target[name], self._per[name]
        start = element.initial[name] if which == 0 else values[which * p - 1]
        if per.ndim == target.ndim:
            per = per[each.sample if len(per) > 1 else 0]
        if per.size > 1:
            per = self._backend.spread(per, target.shape[1:])
        points = values[which * p : (which + 1) * p, each.sample]
        return Gap(start[each.sample], points, point, target[each.sample], per)

    def _is_fast(self, name: str, latest: Element) -> bool:
        """Whether any node still has |C dv/dt|/g beyond its band at the end of an element."""
        return float(self._gauge.fastest(self._stages[name], latest, self._per[name])) > 1

    def _moves(self) -> bool:
        """Whether any array still moves at the end of its latest element."""
        if self._at_once:
            return any(self._fast.values())
        speeds = self._backend.fetched(self.speeds()) if self._speeds is None else self._speeds
        return any(float(np.max(value)) > 1 for value in speeds)

    def speeds(self) -> list[Array]:
        """Largest |C dv/dt|/g of each array in bands at the end of its latest element, on the device."""
        return [self._gauge.fastest(s, self._seen[name][-1], self._per[name]) for name, s in self._stages.items()]

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
