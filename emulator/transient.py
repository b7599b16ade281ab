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
from .collocation import combine, interpolation, propagator, radau, solve_root, solve_varying, tail
from .inputs import input_at
from .observers import Element, Observer
from .plan import Group, Plan, Stage

Array = Any
log = logging.getLogger(__name__)
SMALLEST = 14  # a group may halve its window this often
MAX_SWEEPS = 60


@dataclass(frozen=True)
class Piece:
    """One array's polynomial in one element: start (batch, *shape), points (p, batch, *shape)."""

    begin: float
    length: float
    start: Array
    points: Array


@dataclass
class Counts:
    """What a run cost: elements and points accepted, elements rejected, sweeps of cycles."""

    elements: int = 0
    points: int = 0
    rejected: int = 0
    sweeps: int = 0
    by_layer: dict[str, int] = field(default_factory=dict)


class Signals(Mapping[str, Array]):
    """Values (p·batch, *shape) at an element's points: own arrays as solved, others evaluated when first asked for."""

    def __init__(self, march: March, begin: float, length: float) -> None:
        self.march, self.begin, self.length = march, begin, length
        self.times = begin + length * march.points_at
        self.inside = begin + length * np.minimum(march.points_at, 1 - 1e-9)  # before a jump at the element's end
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

    def _evaluate(self, name: str) -> Array:
        march = self.march
        if name in march.inputs:
            return march.input_at(name, self.inside)
        pieces = march.pieces[name]
        for piece in pieces:
            if piece.begin == self.begin and piece.length == self.length:
                return piece.points
        parts, done = [], 0
        for k, piece in enumerate(pieces):
            stop = piece.begin + piece.length * (1 + 1e-12) if k < len(pieces) - 1 else math.inf
            upto = int(np.searchsorted(self.times, stop, side="right"))
            if upto > done:
                s = np.minimum((self.times[done:upto] - piece.begin) / piece.length, 1.0)
                parts.append(combine(interpolation(march.p, s), piece.start, piece.points))
                done = upto
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
        self.points_at = radau(points)[0]
        self.batch = max([v.shape[0] for v in start.values()], default=1)
        self.x = {n: plan.backend.xp.broadcast_to(v, (self.batch, *v.shape[1:])) for n, v in start.items()}
        self.pieces: dict[str, list[Piece]] = {}
        self.level = [3] * len(plan.groups)
        self.counts = Counts()
        for observer in observers:
            observer.begin(plan, self.x)

    def input_at(self, name: str, times: Array) -> Array:
        """A clamped array at times, (len(times), batch, *shape)."""
        shape = self.plan.circuit.arrays[name].shape
        return input_at(self.plan.backend, self.inputs[name], shape, times, self.batch)

    def window(self, begin: float, length: float) -> None:
        """March every group from begin to begin + length."""
        self.pieces = {}
        for number, group in enumerate(self.plan.groups):
            self._march_group(number, group, begin, length)
        for observer in self.observers:
            observer.window(begin + length)

    def _march_group(self, number: int, group: Group, begin: float, length: float) -> None:
        for stage in group.stages:
            self.pieces[stage.name] = []
        finest = 1 << SMALLEST
        level = 0 if self.tolerance is None else self.level[number]
        at = 0
        while at < finest:
            while at % (finest >> level):
                level += 1
            span = finest >> level
            size = length * span / finest
            solved, error = self._element(group, begin + length * at / finest, size)
            if error > 1 and level < SMALLEST:
                self.counts.rejected += 1
                level += 1 if error < 2.0**self.p else 2
                level = min(level, SMALLEST)
                continue
            if error > 1e3:
                raise Error(
                    f"the transient of layer {group.layer!r} does not converge at {begin:.3g} s: "
                    "the circuit may be unstable; check its feedback, or raise tolerance"
                )
            self._accept(group, solved)
            at += span
            if level > 0 and error * 2.0 ** (self.p - 1) < 1:
                level -= 1
        self.level[number] = level

    def _accept(self, group: Group, signals: Signals) -> None:
        initial = {s.name: self.x[s.name] for s in group.stages}
        for stage in group.stages:
            points = signals.known[stage.name]
            self.pieces[stage.name].append(Piece(signals.begin, signals.length, initial[stage.name], points))
            self.x[stage.name] = points[-1]
        self.counts.elements += 1
        self.counts.points += self.p
        self.counts.by_layer[group.layer] = self.counts.by_layer.get(group.layer, 0) + 1
        if self.observers:
            shown = Element(group, signals.begin, signals.length, signals.times, _Shown(signals), initial)
            for observer in self.observers:
                observer.element(shown)

    def _element(self, group: Group, begin: float, length: float) -> tuple[Signals, float]:
        """Solve one element of one group. Returns its signals and error / tolerance."""
        signals = Signals(self, begin, length)
        if group.cyclic:
            return signals, self._sweep_cycle(group, signals)
        worst = 0.0
        for stage in group.stages:
            signals.known[stage.name] = self._solve(stage, signals)
            if self.tolerance is not None:
                worst = max(worst, self._error(stage, signals.known[stage.name]))
                if worst > 1:
                    break
        return signals, worst

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
                return max(self._error(stage, signals.known[stage.name]) for stage in group.stages)
        return math.inf

    def _solve(self, stage: Stage, signals: Signals) -> Array:
        """The polynomial of one array in the element: (p, batch, *shape)."""
        node, p = stage.node, self.p
        start = self.x[stage.name]
        ratio = signals.length / node.time_constant
        shape = (p, *start.shape)
        if node.is_root:
            drive = _shaped(stage.delivered(signals, None), shape)
            return solve_root(p, ratio, node.feedback, stage.standing, stage.offset, start, drive)
        gamma = stage.gamma(signals)
        drive = _shaped(stage.delivered(signals, gamma), shape)
        if stage.linear:
            m, matrix = propagator(p, ratio * gamma)
            scale = np.concatenate([m[:, None], matrix / gamma], axis=1)
            return combine(scale, start, drive)
        rank = len(start.shape) - 1
        varying = node.feedback is not None
        gamma = (
            gamma.reshape(p, self.batch, *gamma.shape[1:])
            if varying
            else gamma.reshape(1, 1, *(1,) * (rank - gamma.ndim), *gamma.shape)
        )
        xp = self.plan.backend.xp
        gamma = xp.broadcast_to(gamma, (p, self.batch, *gamma.shape[2:]))
        return solve_varying(p, ratio, gamma, start, drive)

    def _error(self, stage: Stage, points: Array) -> float:
        """Estimated rms error of the element, in full scale, over tolerance."""
        top = combine(tail(self.p), self.x[stage.name], points) * stage.per_full_scale
        before, last = (math.sqrt(float((row * row).mean())) for row in top)
        assert self.tolerance is not None
        if not math.isfinite(last):
            return math.inf
        return last * min(1.0, last / before if before > 0 else 0.0) / self.tolerance


class _Shown(Mapping[str, Array]):
    """An element's signals as observers see them: (p, batch, *shape)."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def __getitem__(self, name: str) -> Array:
        _ = self.signals[name]
        return self.signals.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def _shaped(drive: Array, shape: tuple[int, ...]) -> Array:
    """A drive (K, …) or broadcastable, as (p, batch, *shape)."""
    xp = np if not hasattr(drive, "__array_namespace__") else drive.__array_namespace__()
    flat = (shape[0] * shape[1], *shape[2:])
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
