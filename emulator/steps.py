"""Steps of one node array in a row, its drive known at all their ends: see `stochastic.py` for the equations.

All that does not depend on the node's own voltage is worked out for all steps at once; what remains is a scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from ..circuits.cells.inner import InnerNode, phi
from .agitation import Agitation, Laws, agitation
from .normals import TOGETHER, array_key, normals
from .plan import Plan, Stage
from .request import checked_noise

Array = Any
REFRESH = TOGETHER  # steps between two looks at conductances that depend on the state (products, transfer cells)


@dataclass
class Noise:
    """How strong, and which numbers. level: "thermal", or σ as a share of full scale."""

    level: str | float
    seed: int
    counted: ClassVar[bool] = True
    """Whether the numbers are those of `normals.py`, which a kernel draws itself."""

    def __post_init__(self) -> None:
        checked_noise(self.level, self.seed)

    def normals(self, name: str, first: int, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
        """Standard normals (count, *shape) of one array for steps first … first + count − 1; shape: batch and nodes."""
        nodes = int(np.prod(shape))
        return normals(array_key(self.seed, name), first, count, nodes, dtype).reshape(count, *shape)


class Instants(Mapping[str, Array]):
    """Of arrays (instants, batch, *shape) `count` instants from `begin` on, every `step`-th, as cells read them:
    (count·batch, *shape)."""

    def __init__(self, arrays: Mapping[str, Array], begin: int, count: int, step: int = 1) -> None:
        self.arrays, self.count = arrays, count
        self._part = slice(begin, begin + (count - 1) * step + 1, step)

    def __getitem__(self, name: str) -> Array:
        values = self.arrays[name][self._part]
        return values.reshape(-1, *values.shape[2:])

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


@dataclass(frozen=True)
class Span:
    """`count` steps of h seconds in a row, number `first` of the run the first of them.

    drawn: their random numbers (count, batch, *shape), None where there are none or a kernel draws them. What moves of
    the conductances: seen (batch, *shape), at the last look before these steps, to be made that at their last one, and
    None where nothing moves; moving (looks, batch, *shape), by the `laws` of the steps at the looks inside, if any.
    """

    h: float
    first: int
    count: int
    drawn: Array | None = None
    seen: Array | None = None
    moving: Array | None = None

    def looks(self) -> Iterator[tuple[slice, Array | None]]:
        """Steps that share one look, and what was seen."""
        if self.seen is None:
            yield slice(0, self.count), None
            return
        begin = min(self.count, -self.first % REFRESH)
        if begin:
            yield slice(0, begin), self.seen
        for row, at in enumerate(range(begin, self.count, REFRESH)):
            assert self.moving is not None
            self.seen[...] = self.moving[row]
            yield slice(at, min(self.count, at + REFRESH)), self.seen


class Steps:
    """Array operations of NumPy."""

    def __init__(self, plan: Plan, noise: Noise | None) -> None:
        self.plan, self.noise = plan, noise
        self.agitated: dict[str, Agitation | None] = {
            stage.name: None if noise is None else agitation(plan, stage, noise.level) for stage in plan.stages
        }
        self.laws: dict[str, Laws] = {name: found.laws if found else () for name, found in self.agitated.items()}
        self._ways: dict[str, tuple[float, _Way]] = {}  # of constant γ, for the latest h

    def drawn(self, stage: Stage, first: int, count: int, batch: int) -> Array | None:
        """The random numbers of some steps, (count, batch, *shape)."""
        if self.noise is None or stage.node.is_inner:
            return None
        return self.noise.normals(stage.name, first, count, (batch, *stage.node.shape), self.plan.backend.dtype)

    def take(self, stage: Stage, span: Span, start: Array, signals: Instants, out: Array) -> None:
        """Fill out (count, batch, *shape) with the values after each step from start (batch, *shape).

        signals: what the array reads, at the count + 1 instants; or at one, which holds for a step.
        """
        node = stage.node
        gamma: Array = None if node.bends else stage.gamma(signals)
        shape = (span.count + 1, *start.shape)
        drive = _at_instants(stage.delivered(signals, gamma), shape)
        ratio = span.h / node.time_constants
        if isinstance(node, InnerNode) and node.bends:
            x = start
            for k, (before, after) in enumerate(pairwise(drive)):
                x = out[k] = node.stepped(ratio, x, before, after, stage.offset)
        elif node.is_root:
            self._take_root(stage, span, ratio, start, drive, out)
        else:
            varying = _at_instants(gamma, (*shape[:2], *gamma.shape[1:])) if node.feedback is not None else None
            self._take_linear(stage, span, ratio, start, drive, gamma if varying is None else _middle(varying), out)

    def finite(self, x: Mapping[str, Array]) -> bool:
        """Whether all went well."""
        return all(bool(np.isfinite(value).all()) for value in x.values())

    # --- laws -----------------------------------------------------------------------------------------

    def _take_linear(
        self, stage: Stage, span: Span, ratio: Array, start: Array, drive: Array, gamma: Array, out: Array
    ) -> None:
        """γ known: constant, or (count, batch, …)."""
        varying = stage.node.feedback is not None
        way = _way(ratio, gamma) if varying else self._constant(stage, span.h, ratio, gamma)
        np.multiply(way.after, drive[1:], out=out)
        out += way.before * drive[:-1]
        if span.drawn is not None:
            for steps, seen in span.looks():
                each = gamma[steps] if varying else gamma
                push = way.push if way.push is not None and seen is None else self._push(stage, ratio, each, each, seen)
                if not varying and seen is None:
                    way.push = push
                out[steps] += push * span.drawn[steps]
        x = start
        for k in range(span.count):
            out[k] += (way.decay[k] if varying else way.decay) * x
            x = out[k]

    def _constant(self, stage: Stage, h: float, ratio: Array, gamma: Array) -> _Way:
        if stage.name not in self._ways or self._ways[stage.name][0] != h:
            self._ways[stage.name] = h, _way(ratio, gamma)
        return self._ways[stage.name][1]

    def _take_root(self, stage: Stage, span: Span, ratio: Array, start: Array, drive: Array, out: Array) -> None:
        x = start
        for steps, seen in span.looks():
            for k in range(steps.start, steps.stop):
                x, gamma, rate = root_step(stage, x, ratio, drive[k], drive[k + 1])
                if span.drawn is not None:
                    x = x + self._push(stage, ratio, gamma, rate, seen) * span.drawn[k]
                out[k] = x

    def _push(self, stage: Stage, ratio: Array, gamma: Array, rate: Array, seen: Array | None) -> Array:
        """s; `rate` is the node's own decay: γ, but γ + γ′x for a root."""
        shaken = self.agitated[stage.name]
        assert shaken is not None
        siemens = rate if shaken.still is None else stage.own(gamma) + shaken.still
        if seen is not None:
            siemens = siemens + seen
        return np.sqrt(shaken.scale * (shaken.power * ratio * siemens * phi(2 * ratio * rate)[0]))


@dataclass
class _Way:
    """x₁ = decay x₀ + before d₀ + after d₁ (+ push ξ, where it is one and the same for all steps)."""

    decay: Array
    before: Array
    after: Array
    push: Array | None = None


def _way(ratio: Array, gamma: Array) -> _Way:
    first, second = phi(ratio * gamma)
    return _Way(1 - ratio * gamma * first, ratio * (first - second), ratio * second)


def root_step(stage: Stage, start: Array, ratio: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
    """x₁, γ and decay rate of a node that drives its own feedback; γ is the mean of both ends'.

    x₁ = E(γ)x₀ + (positive weights)·d with 0 < E < 1, so a root whose drive is not negative stays positive whatever
    the step. Newton on the mean: x₁ falls with γ, so it converges from above.
    """
    feedback = stage.node.feedback
    assert feedback is not None
    at_start, away, change = feedback.ratio(start), start - stage.offset, after - before
    x = start
    for _ in range(30):
        gamma = (at_start + feedback.ratio(x)) / 2 + stage.standing
        first, second = phi(ratio * gamma)
        miss = x - start - ratio * (first * (before - gamma * away) + second * change)
        pull = ratio * first * (start + x - 2 * stage.offset) / 4 * feedback.slope(x)
        step = miss / (1 + np.maximum(pull, 0))
        x = x - step
        if float(abs(step).max()) <= 4 * float(np.finfo(x.dtype).eps) * float(abs(x).max()):
            break
    middle = (start + x) / 2
    return x, gamma, gamma + feedback.slope(middle) * np.maximum(middle - stage.offset, 0)


def _at_instants(values: Array, shape: tuple[int, ...]) -> Array:
    """Values (K, …) or broadcastable as (instants, batch, …); those of one instant hold at all."""
    batch, rows = shape[1], len(values) if np.ndim(values) == len(shape) - 1 else 1
    if rows in (batch, shape[0] * batch):
        values = values.reshape(-1, batch, *values.shape[1:])
    return np.broadcast_to(values, shape)


def _middle(gamma: Array) -> Array:
    """Mean over each step."""
    return (gamma[:-1] + gamma[1:]) / 2
