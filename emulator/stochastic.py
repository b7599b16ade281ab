"""Transient noise: exponential Euler, with the exact Ornstein-Uhlenbeck update of every node.

    τ dx = (d(t) − γ x) dt + noise,     ⟨noise⟩ : one-sided current density 4kT ΣG [A²/Hz]

Over a step h a node whose drive goes linearly from d₀ to d₁ and whose γ is its mean over the step obeys, with
a = γh/τ, φ₁ = (1 − e⁻ᵃ)/a, φ₂ = (1 − φ₁)/a (Cox & Matthews 2002, ETD2) and ξ standard normal,

    x₁ = x₀ + (h/τ) [φ₁ (d₀ − γ x₀) + φ₂ (d₁ − d₀)] + s ξ
    s² = 2kT ΣG / (C U)² · h φ₁(2a)      thermal; alone the node has kT ΣG / (C γ g₀), a passive RC kT/C
    s² = (σ full scale)² (1 − e⁻²ᵃ)      a given σ; alone the node has exactly σ

Arrays advance in feed-forward order, so a child sees its elders at both ends of the step; and so each is taken through
a block of many steps before the next: its drive at all their ends is one product a coupling, then each node is a scan
(`steps.py`; on a GPU one kernel, `fused_steps.py`). Cells whose ΣG moves are looked at every REFRESH steps.

Between the ends an elder's path is a bridge; a straight line loses the bridge's variance (h²/12τ²) and gains nearly as
much by not decaying, so the covariance of a cascade is second order in h and within 0.3 % at h = τ/4 (tests/systems).
Adding the bridge makes it worse. Arrays on a cycle take each step together, predicted with d₁ = d₀ and corrected once,
with the same ξ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits.cells import Signals
from ..circuits.errors import Error
from .agitation import moving
from .collocation import Collocation
from .fused_steps import FusedSteps
from .inputs import input_at
from .normals import TOGETHER
from .observers import Element, Observer
from .plan import Group, Plan, Stage, let_go
from .steps import REFRESH, Instants, Noise, Span, Steps

Array = Any


@dataclass
class StepCounts:
    """What a run cost."""

    steps: int = 0
    step_s: float = 0.0


class Stepper:
    """State of a stochastic transient: every array's value, and what its moving conductances were at the last look."""

    keeps = ("x", "seen", "counts")
    first = math.inf  # windows are of one length

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Any],
        start: Mapping[str, Array],
        *,
        step: float,
        noise: Noise | None,
        observers: Sequence[Observer],
    ) -> None:
        self.plan, self.inputs, self.step = plan, dict(inputs), step
        self.observers = observers
        self.collocation = Collocation(plan.backend, 1)
        self.batch = max([v.shape[0] for v in start.values()], default=1)
        self.x = {stage.name: plan.backend.array(start[stage.name]) for stage in plan.stages}
        self.steps = FusedSteps(plan, noise) if plan.backend.fused else Steps(plan, noise)
        self.most = block_of(plan, self.batch)
        # nothing is looked for where a noisy window ends: at steps of τ/4 it is two blocks
        self.stretch = 1 if noise is None else plan.backend.most_steps // 32
        self.done = let_go(plan, [group.stages for group in plan.groups])
        self.needs = plan.circuit.all_needs()
        self.seen = {
            stage.name: plan.backend.xp.zeros((self.batch, *stage.node.shape), plan.backend.dtype)
            for stage in plan.stages
            if (found := self.steps.agitated[stage.name]) and found.laws
        }
        self.counts = StepCounts(step_s=step)
        for observer in observers:
            observer.begin(plan, self.x)

    def window(self, begin: float, length: float) -> None:
        """March from begin to begin + length in equal steps, none longer than `step`; inputs are smooth inside."""
        for _ in self.blocks(begin, length):
            pass

    def blocks(self, begin: float, length: float) -> Iterator[None]:
        """The same, a block of steps at a time."""
        count = max(1, math.ceil(length / self.step - 1e-9))
        h, done = length / count, 0
        for size in self.sizes(count):
            times = begin + h * (np.arange(done, done + size + 1) - 1e-9)
            times[0] += 2e-9 * h if done == 0 else 0.0  # after a jump at the begin
            done += size
            self._march(begin + (done - size) * h, h, size, self._inputs(times), ends=done == count)
            yield
        if not self.steps.finite(self.x):
            raise Error(f"the transient diverges before {begin + length:.3g} s: the circuit may be unstable")
        for observer in self.observers:
            observer.window(begin + length)

    def sizes(self, count: int) -> Iterator[int]:
        """Blocks of about equal length; all but the last end where a counter's numbers do."""
        while count:
            here = self.counts.steps
            end = here + math.ceil(count / math.ceil(count / self.most))
            size = min(count, -(-end // TOGETHER) * TOGETHER - here)
            yield size
            count -= size

    def _inputs(self, times: Array) -> dict[str, Array]:
        backend, arrays = self.plan.backend, self.plan.circuit.arrays
        found = {n: input_at(backend, v, arrays[n].shape, times, self.batch) for n, v in self.inputs.items()}
        return {name: backend.xp.ascontiguousarray(values) for name, values in found.items()}

    def _march(self, begin: float, h: float, count: int, arrays: dict[str, Array], *, ends: bool) -> None:
        """All groups through a block. arrays: (1 + count, batch, *shape) of what is known: at the start and after each
        step; ends: whether the window ends with it."""
        for number, group in self.plan.visited():
            for stage in group.stages:
                shape = (1 + count, self.batch, *stage.node.shape)
                arrays[stage.name] = self.plan.backend.xp.empty(shape, self.plan.backend.dtype)
                arrays[stage.name][0] = self.x[stage.name]
            march = self._march_cycle if group.cyclic else self._march_group
            with self.plan.backend.noisy(self.steps.noise is not None):
                march(group, h, count, arrays)
            for stage in group.stages:
                self.x[stage.name] = arrays[stage.name][-1].copy()  # a view would keep all
            self._show(group, begin, h, count, arrays, ends)
            for name in self.done[number]:
                del arrays[name]
        self.counts.steps += count

    def _march_group(self, group: Group, h: float, count: int, arrays: Signals) -> None:
        first, signals = self.counts.steps, Instants(arrays, 0, 1 + count)
        for stage in group.stages:
            drawn = self.steps.drawn(stage, first, count, self.batch)
            span = Span(h, first, count, drawn, *self._moving(stage, arrays, 0, count))
            own = arrays[stage.name]
            self.steps.take(stage, span, own[0], signals, own[1:])

    def _march_cycle(self, group: Group, h: float, count: int, arrays: Signals) -> None:
        first = self.counts.steps
        drawn = {stage.name: self.steps.drawn(stage, first, count, self.batch) for stage in group.stages}
        for k in range(count):
            spans = {}
            for stage in group.stages:
                numbers = drawn[stage.name]
                one = None if numbers is None else numbers[k : k + 1]
                spans[stage.name] = Span(h, first + k, 1, one, *self._moving(stage, arrays, k, 1))
            for instants in (1, 2):  # predicted, corrected
                for stage in group.stages:
                    own, signals = arrays[stage.name], Instants(arrays, k, instants)
                    self.steps.take(stage, spans[stage.name], own[k], signals, own[k + 1 : k + 2])

    def _moving(self, stage: Stage, arrays: Signals, at: int, count: int) -> tuple[Array | None, Array | None]:
        """`seen` and `moving` of a span of `count` steps from instant `at` on."""
        seen, laws, backend = self.seen.get(stage.name), self.steps.laws[stage.name], self.plan.backend
        begin = at + -(self.counts.steps + at) % REFRESH
        looks = range(begin, at + count, REFRESH)
        if not laws or not looks:
            return seen, None
        found = moving(laws, Instants(arrays, begin, len(looks), REFRESH))
        flat = (len(looks) * self.batch, *stage.node.shape)
        return seen, backend.spread(found, flat).reshape(len(looks), self.batch, *stage.node.shape)

    def _show(self, group: Group, begin: float, h: float, count: int, arrays: Signals, ends: bool) -> None:
        if not self.observers:
            return
        own = [stage.name for stage in group.stages]
        read = {name for stage in own for name in self.needs[stage]}
        values = {name: arrays[name][1:] for name in [*own, *(read - set(own))]}
        initial = {name: arrays[name][0] for name in own}
        times = begin + h * np.arange(1, count + 1)
        element = Element(group, begin, count * h, times, values, initial, self.collocation, count, ends)
        for observer in self.observers:
            observer.element(element)


def block_of(plan: Plan, batch: int) -> int:
    """Steps of a block: as many as fit of the largest group."""
    nodes = [sum(math.prod(stage.node.shape) for stage in group.stages) for group in plan.groups]
    steps = plan.backend.step_values // (batch * max(nodes, default=1))
    return max(TOGETHER, min(plan.backend.most_steps, steps // TOGETHER * TOGETHER))
