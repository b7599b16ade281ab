"""Transient by finite elements in time.

All groups share a window; inside it each group marches its own elements, halving the window as its own activity
asks, on the polynomials of the groups before it. In an element every stage is solved once, in order: one product
per coupling over points × batch × positions, then a small solve per node. A cyclic group is swept until it agrees
with itself. With the same elements everywhere this is exactly Radau IIA on the whole circuit.

The estimated error (`solver.py`) of the worst array, rms over its nodes in full scale, is held under `tolerance`. An
element that misses is rejected and halved, so corners left by rails are resolved where they are.

Rounding leaves an estimate r of its own (`Backend.rounding`), which no shorter element is rid of and which does not
grow with a longer one. An element is therefore held under max(tolerance, r), and one whose estimate is under r may
double, whatever r would be if it grew like length^p.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits.cells import Keeping
from ..circuits.errors import Error
from .collocation import Collocation, Piece
from .element_kernel import MOST
from .fused import FusedSolver
from .inputs import input_at
from .observers import Element, Observer
from .plan import Group, Plan, Stage, let_go
from .solver import Aim, Found, Solver
from .windows import GROWS, WINDOW

Array = Any
log = logging.getLogger(__name__)
SMALLEST = 14  # a group may halve its window this often
MAX_SWEEPS = 60


@dataclass
class Counts:
    """What a run cost: elements and points accepted, elements rejected, sweeps of cycles."""

    elements: int = 0
    points: int = 0
    rejected: int = 0
    sweeps: int = 0
    by_layer: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        """Of two shares of a machine."""
        layers = {name: self.by_layer.get(name, 0) + count for name, count in other.by_layer.items()}
        sums = {n: getattr(self, n) + getattr(other, n) for n in ("elements", "points", "rejected", "sweeps")}
        return Counts(**sums, by_layer=self.by_layer | layers)


@dataclass(frozen=True)
class Block:
    """Elements that a group took: `count` of `length` seconds each, from `begin` on."""

    group: int
    begin: float
    length: float
    count: int


class Signals(Keeping):
    """Values (K, *shape), K = count·p·batch, at the points of `count` equal elements in a row.

    Own arrays as solved, `last` at the end; others are evaluated when first asked for. ends: whether their group's
    window ends with them.
    """

    def __init__(self, march: March, begin: float, length: float, count: int, *, ends: bool) -> None:
        self.march, self.begin, self.length, self.count, self.ends = march, begin, length, count, ends
        starts = begin + length * np.arange(count)[:, None]
        at = march.collocation.points_at
        self.times = (starts + length * at).reshape(-1)
        self.inside = (starts + length * np.minimum(at, 1 - 1e-9)).reshape(-1)  # before a jump at the end
        self.known: dict[str, Array] = {}
        self.last: dict[str, Array] = {}
        self.seen: Array | None = None
        self.latest: tuple[Array, Hashable, Array] | None = None  # values of an array, a wish, what was made of them

    def made(self, name: str, wish: Hashable, make: Callable[[], Array]) -> Array:
        """Of the latest wish only, and not on a GPU, whose graphs have to launch everything that they need again."""
        if self.march.plan.backend.kind != "numpy":
            return make()
        _ = self[name]
        values = self.known[name]
        if self.latest is None or self.latest[0] is not values or self.latest[1] != wish:
            self.latest = values, wish, make()
        return self.latest[2]

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
        if count < self.count:
            self.last = {name: self.known[name][points - 1].copy() for name in self.last}  # a view would keep all
        self.ends = self.ends and count == self.count
        self.count, self.times = count, self.times[:points]
        self.known = {name: values[:points] for name, values in self.known.items()}
        self.seen = None if self.seen is None else self.seen[:, :count]

    def _evaluate(self, name: str) -> Array:
        march = self.march
        if name in march.inputs:
            return march.input_at(name, self.inside)
        pieces = march.pieces[name]
        for piece in pieces:
            if piece.begin == self.begin and piece.length == self.length and piece.count >= self.count:
                return piece.points[: self.count * march.p]
        return march.collocation.along(pieces, self.times)


class March:
    """State of a transient: where every group stands and the polynomials of the present window."""

    keeps = ("x", "level", "counts")

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Any],
        start: Mapping[str, Array],
        *,
        points: int,
        tolerance: float | None,
        first_element: float,
        growing: bool = False,
        observers: Sequence[Observer],
        aims: Mapping[str, Aim] | None = None,
    ) -> None:
        self.first_element = first_element  # how long elements are at first, in the longest time constant
        waits = plan.stretch == 1 and not any(group.cyclic for group in plan.groups)
        self.asked_to_grow = growing and waits  # the first window is no longer than that
        self.plan, self.inputs, self.p = plan, dict(inputs), points
        self.tolerance = None if tolerance is None else max(tolerance, plan.backend.rounding)
        self.observers, self.aims = observers, aims or {}
        self.solver = solver(plan, points)
        self.collocation = self.solver.collocation
        self.batch = max([v.shape[0] for v in start.values()], default=1)
        self.x = {n: plan.backend.xp.broadcast_to(v, (self.batch, *v.shape[1:])) for n, v in start.items()}
        self.pieces: dict[str, list[Piece]] = {}
        self.done = let_go(plan, [group.stages for group in plan.groups])
        self.block = [self._block(group) for group in plan.groups]
        self.stretch_to(1 << min(plan.backend.longer, max(0, min(self.block, default=1).bit_length() - 2)))
        self.counts = Counts()
        self.taken: list[list[Block]] = []
        for observer in observers:
            observer.begin(plan, self.x)

    def stretch_to(self, stretch: int) -> None:
        """Windows are so many times as long as usual, or as many as the plan asks for: a power of two. Their
        elements are at first a quarter of a usual window, half of it in longer ones, or as short as they have to be:
        as long as the first window, where windows grow from there, as those of small circuits do not."""
        self.stretch = max(stretch, self.plan.stretch)
        self.growing, longest = self.asked_to_grow and self.stretch <= GROWS, WINDOW * self.stretch
        level = 1 + self.stretch.bit_length() - (self.stretch > 1)
        level = max(level, round(math.log2(longest / self.first_element)))
        self.first = min(self.plan.first * longest, self.first_element if self.growing else math.inf)
        self.level = [max(0, level + round(math.log2(self.first / longest)))] * len(self.plan.groups)

    def input_at(self, name: str, times: Array) -> Array:
        """A clamped array at times, (len(times), batch, *shape)."""
        shape = self.plan.circuit.arrays[name].shape
        return input_at(self.plan.backend, self.inputs[name], shape, times, self.batch)

    def _block(self, group: Group) -> int:
        """Elements solved at once: many where an element is small beside the cost of asking for it."""
        nodes = self.batch * sum(math.prod(stage.node.shape) for stage in group.stages)
        return 1 if group.cyclic else min(MOST, self.plan.backend.block(self.p * nodes))

    def window(self, begin: float, length: float, given: Mapping[str, list[Piece]] | None = None) -> None:
        """March every group from begin to begin + length; given: polynomials in it that an earlier share has found."""
        self.pieces = dict(given or {})
        self.taken.append([])
        for number, group in self.plan.visited():
            self._march_group(number, group, begin, length)
            self._let_go(number)
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
            ends = at + count * span == finest
            solved, errors = self._elements(group, starts, each, count, ends=ends, last=level == SMALLEST)
            good = next((k for k, error in enumerate(errors) if error > 1), count)
            if good < count:
                self.counts.rejected += 1
                most = 1 if count > 1 else min(2, self.block[number])  # what is hard here may be easy further on
                if level == SMALLEST and errors[good] > 1e3:
                    raise _unstable(group, begin)
                good = max(good, 1) if level == SMALLEST else good
                level = min(level + (1 if errors[min(good, count - 1)] < 2.0**self.p else 2), SMALLEST)
            if good:
                solved.keep(good)
                self.taken[-1].append(Block(number, solved.begin, each, good))
                at += good * span
                self._accept(group, solved)
                if good == count:
                    most = min(2 * most, self.block[number])
                    level = max(0, level - self._doublings(max(errors)))
            del solved  # what it has read would stay until the next are solved
        self.level[number] = level

    def _doublings(self, error: float) -> int:
        """How often an element may double before an error that grows like length^p passes half the tolerance; once at
        least, if all of it is rounding."""
        rounded = error * (self.tolerance or math.inf) <= self.plan.backend.rounding
        return max(int(rounded), int(math.log2(0.5 / max(error, 1e-30)) // self.p))

    def follow(self, taken: Sequence[Sequence[Block]]) -> list[tuple[Block, Found]]:
        """March by elements that another run took, whatever their errors: those are for the caller to look at. The
        observers are told of no window's end but the last."""
        found = []
        for window in taken:
            self.pieces = {stage.name: [] for stage in self.plan.stages}
            for block, after in zip(window, [*window[1:], None], strict=True):
                group, ends = self.plan.groups[block.group], after is None or after.group != block.group
                shown = ends and window is taken[-1]
                signals = Signals(self, block.begin, block.length, block.count, ends=shown)
                found.append((block, self._found(group, signals)))
                for stage in group.stages:
                    self._solve(stage, signals, found[-1][1])
                self._accept(group, signals)
                if ends:
                    self._let_go(block.group)
        return found

    def _let_go(self, number: int) -> None:
        """Of what no group after this one reads, in the present window."""
        for name in self.done[number]:
            del self.pieces[name]

    def _accept(self, group: Group, signals: Signals) -> None:
        initial = {s.name: self.x[s.name] for s in group.stages}
        for stage in group.stages:
            name, points = stage.name, signals.known[stage.name]
            self.pieces[name].append(Piece(signals.begin, signals.length, signals.count, initial[name], points))
            self.x[name] = signals.last[name]
        self.counts.elements += signals.count
        self.counts.points += signals.count * self.p
        self.counts.by_layer[group.layer] = self.counts.by_layer.get(group.layer, 0) + signals.count
        if self.observers:
            length = signals.count * signals.length
            shown = Element(
                group, signals.begin, length, signals.times, _Shown(signals), initial, self.collocation, signals.count,
                signals.ends, signals.seen,
            )  # fmt: skip
            for observer in self.observers:
                observer.element(shown)

    def _elements(
        self, group: Group, begin: float, length: float, count: int, *, ends: bool, last: bool
    ) -> tuple[Signals, list[float]]:
        """Solve elements of one group. Returns their signals and each one's error / tolerance.

        A first element that is going to be halved is left half done, unless it is the `last` that can be tried.
        """
        signals = Signals(self, begin, length, 1 if group.cyclic else count, ends=ends)
        if group.cyclic:
            return signals, [self._sweep_cycle(group, signals)]
        found = self._found(group, signals)
        for stage in group.stages:
            self._solve(stage, signals, found)
            if self.solver.prompt and self.tolerance and found.worst[0] > self.tolerance and not last:
                break
        return signals, self._look(found, signals).tolist()

    def _found(self, group: Group, signals: Signals) -> Found:
        estimate = self.tolerance is not None
        return self.solver.found(
            group.stages, signals.length, signals.count, self.batch, estimate=estimate, aims=self.aims
        )

    def _solve(self, stage: Stage, signals: Signals, found: Found) -> None:
        """Solve one array into `signals`."""
        name = stage.name
        signals.known[name], signals.last[name] = self.solver.solve(
            stage, self.x[name], signals, signals.length, signals.count, found,
            estimate=self.tolerance is not None, aim=self.aims.get(name), ends=signals.ends,
        )  # fmt: skip

    def _look(self, found: Found, signals: Signals) -> Array:
        """Error / tolerance of each element, worst array: (count,); what else was seen is noted in `signals`."""
        found.fetch()
        signals.seen = found.seen
        return found.worst / (self.tolerance or math.inf)

    def _sweep_cycle(self, group: Group, signals: Signals) -> float:
        """Gauss-Seidel sweeps over a cycle until it changes by less than a hundredth of the tolerance."""
        aim = max(0.01 * (self.tolerance or 1e-9), 5 * self.plan.backend.rounding)
        for stage in group.stages:
            start = self.x[stage.name]
            signals.known[stage.name] = self.plan.backend.xp.broadcast_to(start, (self.p, *start.shape))
        for _ in range(MAX_SWEEPS):
            self.counts.sweeps += 1
            change, found = 0.0, self._found(group, signals)
            for stage in group.stages:
                before = signals.known[stage.name]
                self._solve(stage, signals, found)
                moved = abs(signals.known[stage.name] - before) * stage.per_full_scale
                change = max(change, float(moved.max()))
            if not math.isfinite(change) or change > 1e6:
                break
            if change < aim:
                return float(self._look(found, signals)[0])
        return math.inf


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


def solver(plan: Plan, points: int) -> Solver:
    """The solver of a plan for elements of so many points, made once."""
    if points not in plan.solvers:
        kind = FusedSolver if plan.backend.fused else Solver
        plan.solvers[points] = kind(plan, Collocation(plan.backend, points))
    found: Solver = plan.solvers[points]
    return found


def _unstable(group: Group, begin: float) -> Error:
    return Error(
        f"the transient of layer {group.layer!r} does not converge at {begin:.3g} s: "
        "the circuit may be unstable; check its feedback, or raise tolerance"
    )
