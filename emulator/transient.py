"""Transient by finite elements in time.

All groups share a window; inside it each group marches its own elements, halving the window as its own activity
asks, on the polynomials of the groups before it. In an element every stage is solved once, in order: one product
per coupling over points × batch × positions, then a small solve per node. A cyclic group is swept until it agrees
with itself. With the same elements everywhere this is exactly Radau IIA on the whole circuit.

Error. The polynomial's highest Legendre term times its ratio to the one before estimates what the next, missing
term would be; the rms over an array's nodes, in full scale, of the worst array is held under `tolerance`. An
element that misses is rejected and halved, so corners left by rails are resolved where they are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits.errors import Error
from .collocation import Collocation, Piece
from .inputs import input_at
from .observers import Element, Observer
from .plan import Group, Plan, Stage
from .radau import between

Array = Any
log = logging.getLogger(__name__)
SMALLEST = 14  # a group may halve its window this often
MAX_SWEEPS = 60
BLOCK_VALUES = 1 << 17  # node values that a block of elements may hold


@dataclass
class Counts:
    """What a run cost: elements and points accepted, elements rejected, sweeps of cycles."""

    elements: int = 0
    points: int = 0
    rejected: int = 0
    sweeps: int = 0
    by_layer: dict[str, int] = field(default_factory=dict)


class Signals(Mapping[str, Array]):
    """Values (K, *shape), K = count·p·batch, at the points of `count` equal elements in a row.

    Own arrays as solved; others are evaluated when first asked for.
    """

    def __init__(self, march: March, begin: float, length: float, count: int) -> None:
        self.march, self.begin, self.length, self.count = march, begin, length, count
        starts = begin + length * np.arange(count)[:, None]
        at = march.collocation.points_at
        self.times = (starts + length * at).reshape(-1)
        self.inside = (starts + length * np.minimum(at, 1 - 1e-9)).reshape(-1)  # before a jump at the end
        self.known: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self.known:
            self.known[name] = self._evaluate(name)
        values = self.known[name]
        return values.reshape(-1, *values.shape[2:])

    def __iter__(self) -> Iterator[str]:
        return iter(self.march.plan.circuit.arrays)

    def __len__(self) -> int:
        return len(self.march.plan.circuit.arrays)

    def keep(self, count: int) -> None:
        """Forget all but the first `count` elements."""
        points = count * self.march.p
        self.count, self.times = count, self.times[:points]
        self.known = {name: values[:points] for name, values in self.known.items()}

    def _evaluate(self, name: str) -> Array:
        march = self.march
        if name in march.inputs:
            return march.input_at(name, self.inside)
        pieces = march.pieces[name]
        for piece in pieces:
            if piece.begin == self.begin and piece.length == self.length and piece.count >= self.count:
                return piece.points[: self.count * march.p]
        parts, done = [], 0
        for k, piece in enumerate(pieces):
            last = k == len(pieces) - 1
            stop = len(self.times) if last else int(np.searchsorted(self.times, piece.end * (1 + 1e-12), side="right"))
            if stop > done:
                parts.append(march.collocation.at(piece, self.times[done:stop]))
                done = stop
        return parts[0] if len(parts) == 1 else march.plan.backend.xp.concatenate(parts)


class March:
    """State of a transient: where every group stands and the polynomials of the present window."""

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Any],
        start: Mapping[str, Array],
        *,
        points: int,
        tolerance: float | None,
        observers: Sequence[Observer],
    ) -> None:
        self.plan, self.inputs, self.p, self.tolerance = plan, dict(inputs), points, tolerance
        self.observers = observers
        self.collocation = Collocation(plan.backend, points)
        self.batch = max([v.shape[0] for v in start.values()], default=1)
        self.x = {n: plan.backend.xp.broadcast_to(v, (self.batch, *v.shape[1:])) for n, v in start.items()}
        self.pieces: dict[str, list[Piece]] = {}
        self.done = _done(plan)
        self.block = [self._block(group) for group in plan.groups]
        self.stretch = 1 << min(3, max(0, min(self.block, default=1).bit_length() - 2))  # longer windows of longer rows
        self.level = [1 + self.stretch.bit_length() - (self.stretch > 1)] * len(plan.groups)
        self.counts = Counts()
        for observer in observers:
            observer.begin(plan, self.x)

    def input_at(self, name: str, times: Array) -> Array:
        """A clamped array at times, (len(times), batch, *shape)."""
        shape = self.plan.circuit.arrays[name].shape
        return input_at(self.plan.backend, self.inputs[name], shape, times, self.batch)

    def _block(self, group: Group) -> int:
        """Elements solved at once: many where an element is small beside the cost of asking for it."""
        nodes = self.batch * sum(math.prod(stage.node.shape) for stage in group.stages)
        return 1 if group.cyclic else max(1, BLOCK_VALUES // (self.p * nodes))

    def window(self, begin: float, length: float) -> None:
        """March every group from begin to begin + length."""
        self.pieces = {}
        for number, group in enumerate(self.plan.groups):
            self._march_group(number, group, begin, length)
            for name in self.done[number]:
                del self.pieces[name]
        for observer in self.observers:
            observer.window(begin + length)

    def _march_group(self, number: int, group: Group, begin: float, length: float) -> None:
        """Elements of one group through the window: as many of one size at once as fit a block, halved on error."""
        for stage in group.stages:
            self.pieces[stage.name] = []
        finest = 1 << SMALLEST
        level = 0 if self.tolerance is None else self.level[number]
        most = self.block[number]
        at = 0
        while at < finest:
            wanted = level
            while at % (finest >> level):
                level += 1
            span = finest >> level
            count = 1 if level > wanted else min((finest - at) // span, most)  # one brings it nearer to what is wanted
            starts, each = begin + length * at / finest, length * span / finest
            solved, errors = self._elements(group, starts, each, count, last=level == SMALLEST)
            good = next((k for k, error in enumerate(errors) if error > 1), count)
            if good < count:
                self.counts.rejected += 1
                most = 1  # what is hard here may be easy further on
                if level == SMALLEST and errors[good] > 1e3:
                    raise _unstable(group, begin)
                good = max(good, 1) if level == SMALLEST else good
                level = min(level + (1 if errors[min(good, count - 1)] < 2.0**self.p else 2), SMALLEST)
            if good:
                solved.keep(good)
                self._accept(group, solved)
                at += good * span
                if good == count:
                    most = min(2 * most, self.block[number])
                    level = max(0, level - _doublings(max(errors), self.p))
        self.level[number] = level

    def _accept(self, group: Group, signals: Signals) -> None:
        initial = {s.name: self.x[s.name] for s in group.stages}
        for stage in group.stages:
            name, points = stage.name, signals.known[stage.name]
            self.pieces[name].append(Piece(signals.begin, signals.length, signals.count, initial[name], points))
            self.x[name] = points[-1].copy()  # a view would keep all points
        self.counts.elements += signals.count
        self.counts.points += signals.count * self.p
        self.counts.by_layer[group.layer] = self.counts.by_layer.get(group.layer, 0) + signals.count
        if self.observers:
            length = signals.count * signals.length
            shown = Element(
                group, signals.begin, length, signals.times, _Shown(signals), initial, self.collocation, signals.count
            )
            for observer in self.observers:
                observer.element(shown)

    def _elements(
        self, group: Group, begin: float, length: float, count: int, *, last: bool
    ) -> tuple[Signals, list[float]]:
        """Solve elements of one group. Returns their signals and each one's error / tolerance.

        A first element that is going to be halved is left half done, unless it is the `last` that can be tried.
        """
        signals = Signals(self, begin, length, 1 if group.cyclic else count)
        if group.cyclic:
            return signals, [self._sweep_cycle(group, signals)]
        worst = np.zeros(count)
        for stage in group.stages:
            signals.known[stage.name] = self._solve(stage, signals)
            if self.tolerance is not None:
                worst = np.maximum(worst, self._errors(stage, signals.known[stage.name], count, length))
                if worst[0] > 1 and not last:
                    break
        return signals, worst.tolist()

    def _sweep_cycle(self, group: Group, signals: Signals) -> float:
        """Gauss-Seidel sweeps over a cycle until it changes by less than a hundredth of the tolerance."""
        aim = 0.01 * (self.tolerance or 1e-9)
        aim = max(aim, 20 * float(np.finfo(self.plan.backend.dtype).eps))
        for stage in group.stages:
            start = self.x[stage.name]
            signals.known[stage.name] = self.plan.backend.xp.broadcast_to(start, (self.p, *start.shape))
        for _ in range(MAX_SWEEPS):
            self.counts.sweeps += 1
            change = 0.0
            for stage in group.stages:
                solved = self._solve(stage, signals)
                moved = abs(solved - signals.known[stage.name]) * stage.per_full_scale
                change = max(change, float(moved.max()))
                signals.known[stage.name] = solved
            if not math.isfinite(change) or change > 1e6:
                break
            if change < aim:
                if self.tolerance is None:
                    return 0.0
                return float(max(self._errors(s, signals.known[s.name], 1, signals.length)[0] for s in group.stages))
        return math.inf

    def _solve(self, stage: Stage, signals: Signals) -> Array:
        """The polynomials of one array in the elements: (count·p, batch, *shape)."""
        node, p, count = stage.node, self.p, signals.count
        start = self.x[stage.name]
        ratio = signals.length / node.time_constant
        shape = (count, p, *start.shape)
        if node.bends:
            drive = _shaped(stage.delivered(signals, None), shape)
            pace = 1.0 if stage.pace is None else stage.pace
            solved = self.collocation.own(ratio, pace, stage.pull, node.guess, start, drive)
            return solved.reshape(-1, *start.shape)
        gamma = stage.gamma(signals)
        drive = _shaped(stage.delivered(signals, gamma), shape)
        if stage.constant is not None and stage.pace is None:
            solved = self.collocation.constant(ratio, gamma, start, drive)
        elif stage.constant is not None and stage.pace_sets:
            solved = self.collocation.paced(ratio, gamma, stage.pace_sets, start, drive)
        else:
            if stage.pace is not None:
                gamma, drive = gamma * stage.pace, drive * stage.pace
            solved = self.collocation.varying(ratio, _per_point(gamma, node.feedback is not None, shape), start, drive)
        return solved.reshape(-1, *start.shape)

    def _errors(self, stage: Stage, points: Array, count: int, length: float) -> Array:
        """Estimated rms error of each element, in full scale, over tolerance: (count,)."""
        assert self.tolerance is not None
        values = points.reshape(count, self.p, *points.shape[1:])
        top = self.collocation.tails(self.x[stage.name], values)
        scale = stage.per_full_scale
        if scale.ndim:
            top = (top.reshape(2, count, *values.shape[2:]) * scale).reshape(2, count, -1)
            scale = 1.0
        square = self.plan.backend.xp.einsum("kcn,kcn->kc", top, top)
        before, last = np.sqrt(self.plan.backend.host(square * (scale * scale / top.shape[2])))
        error = last * np.minimum(1.0, last / np.maximum(before, 1e-30))
        if stage.node.is_root:
            error = error + self._unseen(stage, values, length)
        return np.where(np.isfinite(last), error / self.tolerance, math.inf)

    def _unseen(self, stage: Stage, values: Array, length: float) -> Array:
        """What the points of a root node do not see of its own feedback, (count,) in full scale.

        γ(x)x has a knee that x may pass between two points. The polynomial through γ(x)x at the points is compared
        with γ(x)x itself half-way between them; the miss acts on x for the element or a time constant.
        """
        node, p = stage.node, self.p
        assert node.feedback is not None
        feedback, gaps = node.feedback, between(p)[2]
        worst = []
        start = self.x[stage.name]
        for element in values:
            missed = self.collocation.middles(start, element, lambda x: feedback.ratio(x) * x) * stage.per_full_scale
            rms = np.sqrt(self.plan.backend.host((missed**2).reshape(p, -1).mean(axis=1)))
            worst.append(float(gaps @ rms) * min(1.0, length / node.time_constant))
            start = element[-1]
        return np.array(worst)


class _Shown(Mapping[str, Array]):
    """An element's signals as observers see them: (points, batch, *shape)."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def __getitem__(self, name: str) -> Array:
        _ = self.signals[name]
        return self.signals.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def _doublings(error: float, p: int) -> int:
    """How often an element may double before an error that grows like length^p passes half the tolerance."""
    return max(0, int(math.log2(0.5 / max(error, 1e-30)) // p))


def _done(plan: Plan) -> list[list[str]]:
    """For each group, the free arrays that no later group reads."""
    last = {stage.name: number for number, group in enumerate(plan.groups) for stage in group.stages}
    needs = plan.circuit.all_needs()
    for number, group in enumerate(plan.groups):
        for stage in group.stages:
            last |= {name: number for name in needs[stage.name] if name in last}
    return [[name for name, reader in last.items() if reader == number] for number in range(len(plan.groups))]


def _unstable(group: Group, begin: float) -> Error:
    return Error(
        f"the transient of layer {group.layer!r} does not converge at {begin:.3g} s: "
        "the circuit may be unstable; check its feedback, or raise tolerance"
    )


def _per_point(gamma: Array, varying: bool, shape: tuple[int, ...]) -> Array:
    """γ as (count, p, batch, …) with the node axes it has."""
    xp = gamma.__array_namespace__()
    if varying:
        return gamma.reshape(*shape[:3], *gamma.shape[1:])
    rank = len(shape) - 3
    each = gamma.reshape(*(1,) * (3 + rank - gamma.ndim), *gamma.shape)
    return xp.broadcast_to(each, (*shape[:3], *each.shape[3:]))


def _shaped(drive: Array, shape: tuple[int, ...]) -> Array:
    """A drive (K, …) or broadcastable, as (count, p, batch, *shape)."""
    xp = np if not hasattr(drive, "__array_namespace__") else drive.__array_namespace__()
    flat = (shape[0] * shape[1] * shape[2], *shape[3:])
    if np.shape(drive) != flat:
        drive = xp.ascontiguousarray(xp.broadcast_to(drive, flat))
    return drive.reshape(shape)


def windows(stop: float, longest: float, breakpoints: Array) -> Iterator[tuple[float, float]]:
    """(begin, length) of windows up to `stop`, none longer than `longest`, none across a breakpoint."""
    marks = np.unique(np.concatenate([np.asarray(breakpoints, float), [stop]]))
    begin = 0.0
    for mark in marks[(marks > 0) & (marks <= stop)]:
        count = max(1, math.ceil((mark - begin) / longest - 1e-9))
        length = (mark - begin) / count
        for k in range(count):
            yield begin + k * length, length
        begin = float(mark)
