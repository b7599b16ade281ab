"""Transient noise: exponential Euler, with the exact Ornstein-Uhlenbeck update of every node.

    τ dx = (d(t) − γ x) dt + noise,     ⟨noise⟩ : one-sided current density 4kT ΣG [A²/Hz]

Over a step h a node whose drive goes linearly from d₀ to d₁ and whose γ is its mean over the step obeys, with
a = γh/τ, φ₁ = (1 − e⁻ᵃ)/a, φ₂ = (1 − φ₁)/a (Cox & Matthews 2002, ETD2) and ξ standard normal,

    x₁ = x₀ + (h/τ) [φ₁ (d₀ − γ x₀) + φ₂ (d₁ − d₀)] + s ξ
    s² = 2kT ΣG / (C U)² · h φ₁(2a)      thermal; alone the node has kT ΣG / (C γ g₀), a passive RC kT/C
    s² = (σ full scale)² (1 − e⁻²ᵃ)      a given σ; alone the node has exactly σ

Arrays advance in feed-forward order, so a child sees its elders at both ends of the step. Between the ends an elder's
path is a bridge; a straight line loses the bridge's variance (h²/12τ²) and gains nearly as much by not decaying,
so the covariance of a cascade is second order in h and within 0.3 % at h = τ/4 (tests/systems). Adding the bridge
makes it worse. Arrays on a cycle are predicted with d₁ = d₀ and corrected once, with the same ξ.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..circuits.cells import Signals, Term
from ..circuits.circuit import BOLTZMANN
from ..circuits.errors import Error
from .collocation import Collocation
from .inputs import input_at
from .observers import Element, Observer
from .plan import Group, Plan, Stage
from .request import checked_noise

Array = Any
REFRESH = 4  # steps between two looks at conductances that depend on the state (products, transfer cells)


@dataclass
class StepCounts:
    """What a run cost."""

    steps: int = 0
    step_s: float = 0.0


@dataclass
class Noise:
    """How strong, and which numbers. level: "thermal", or σ as a share of full scale."""

    level: str | float
    seed: int
    _streams: dict[str, np.random.Generator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_noise(self.level, self.seed)

    @property
    def drawn(self) -> dict[str, Any]:
        """Where every stream stands."""
        return {name: stream.bit_generator.state for name, stream in self._streams.items()}

    @drawn.setter
    def drawn(self, states: Mapping[str, Any]) -> None:
        for name, state in states.items():
            self.normal(name, (), np.float32)
            self._streams[name].bit_generator.state = state

    def normal(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Standard normals for one array: its own Philox stream, so order and neighbours do not matter."""
        if name not in self._streams:
            key = np.array([self.seed, zlib.crc32(name.encode())], np.uint64)
            self._streams[name] = np.random.Generator(np.random.Philox(key=key))
        return self._streams[name].standard_normal(shape, dtype)


def phi(a: Array) -> tuple[Array, Array]:
    """φ₁ = (1 − e⁻ᵃ)/a and φ₂ = (1 − φ₁)/a for a ≥ 0; by their series where the difference would cancel."""
    if isinstance(a, float):
        return _phi(a)
    small = a < 0.02
    safe = np.where(small, 1, a)
    first = np.where(small, 1 - a * (1 / 2 - a * (1 / 6 - a / 24)), -np.expm1(-safe) / safe)
    second = np.where(small, 1 / 2 - a * (1 / 6 - a * (1 / 24 - a / 120)), (1 - first) / safe)
    return first, second


@lru_cache(maxsize=512)
def _phi(a: float) -> tuple[float, float]:
    first, second = phi(np.array([a]))
    return float(first[0]), float(second[0])


class Stepper:
    """State of a stochastic transient: every array's value and, for the next step, its delivered drive and γ."""

    keeps = ("x", "counts", "drawn")
    stretch = 1  # windows are no longer than usual: steps are not solved in rows

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
        self.plan, self.inputs, self.step, self.noise = plan, dict(inputs), step, noise
        self.observers = observers
        self.collocation = Collocation(plan.backend, 1)
        self.batch = max([v.shape[0] for v in start.values()], default=1)
        free = {stage.name for stage in plan.stages}
        self.x = {n: plan.backend.array(start[n]) for n in free}
        self.still: dict[str, Array] = {}  # ΣG [S] of the cells, as far as it never changes
        self.moving: dict[str, Array] = {}  # and the rest of it, as it was at the last look
        self.restless: dict[str, list[Term]] = {}  # the cells that the rest belongs to
        self.kept: dict[tuple[str, float], Array] = {}  # strengths that are constant
        self.drive: dict[str, Array] = {}
        self.gamma: dict[str, Array] = {}
        self.counts = StepCounts(step_s=step)
        for observer in observers:
            observer.begin(plan, self.x)

    def window(self, begin: float, length: float) -> None:
        """March from begin to begin + length in equal steps, none longer than `step`; inputs are smooth inside."""
        count = max(1, math.ceil(length / self.step - 1e-9))
        h = length / count
        present = self.x | self._inputs(begin + 1e-9 * h)
        for stage in self.plan.stages:
            self.gamma[stage.name], self.drive[stage.name] = _drive(stage, present)
        for k in range(count):
            if (
                self.noise is not None
                and self.noise.level == "thermal"
                and (k == 0 or self.counts.steps % REFRESH == 0)
            ):
                self._look(self.x | self._inputs(begin + (k + 1e-9) * h))
            self._advance(begin + k * h, h)
            self.counts.steps += 1
        if not all(bool(np.isfinite(v).all()) for v in self.x.values()):
            raise Error(f"the transient diverges before {begin + length:.3g} s: the circuit may be unstable")
        for observer in self.observers:
            observer.window(begin + length)

    @property
    def drawn(self) -> dict[str, Any]:
        """Where the streams of noise stand."""
        return self.noise.drawn if self.noise else {}

    @drawn.setter
    def drawn(self, states: Mapping[str, Any]) -> None:
        if self.noise:
            self.noise.drawn = states

    def _inputs(self, time: float) -> dict[str, Array]:
        times, arrays = np.array([time]), self.plan.circuit.arrays
        return {
            name: input_at(self.plan.backend, value, arrays[name].shape, times, self.batch)[0]
            for name, value in self.inputs.items()
        }

    def _advance(self, begin: float, h: float) -> None:
        after = self._inputs(begin + h * (1 - 1e-9))
        before, self.x = self.x, {}
        for group in self.plan.groups:
            initial = {stage.name: before[stage.name] for stage in group.stages}
            normal = {stage.name: self._normal(initial[stage.name], stage) for stage in group.stages}
            if group.cyclic:
                for stage in group.stages:
                    held = self.gamma[stage.name], self.drive[stage.name]
                    after[stage.name] = self._move(stage, initial[stage.name], h, held, normal[stage.name])
            for stage in group.stages:
                end = _drive(stage, after)
                after[stage.name] = self._move(stage, initial[stage.name], h, end, normal[stage.name])
                if not group.cyclic:
                    self.gamma[stage.name], self.drive[stage.name] = end
            for stage in group.stages:
                if group.cyclic:
                    self.gamma[stage.name], self.drive[stage.name] = _drive(stage, after)
                self.x[stage.name] = after[stage.name]
            self._show(group, begin, h, after, initial)

    def _show(self, group: Group, begin: float, h: float, after: Signals, initial: Signals) -> None:
        element = Element(group, begin, h, np.array([begin + h]), _Shown(after), initial, self.collocation)
        for observer in self.observers:
            observer.element(element)

    def _move(self, stage: Stage, start: Array, h: float, end: tuple[Array, Array], normal: Array | None) -> Array:
        """One array over one step, its drive going from the present one to that of `end`."""
        ratio = h / stage.node.time_constants
        drive = self.drive[stage.name], end[1]
        if stage.node.is_tail:
            return _tail_step(start, ratio, *drive)
        if stage.node.is_root:
            x, gamma, rate = _root_step(stage, start, ratio, *drive)
        else:
            gamma = rate = (self.gamma[stage.name] + end[0]) / 2
            x = _linear_step(start, ratio, gamma, *drive)
        return x if normal is None else x + self._strength(stage, h, gamma, rate) * normal

    # --- noise ----------------------------------------------------------------------------------------

    def _normal(self, like: Array, stage: Stage) -> Array | None:
        if self.noise is None or stage.node.is_tail:
            return None
        backend = self.plan.backend
        drawn = backend.array(self.noise.normal(stage.name, like.shape, backend.dtype))
        return drawn if stage.node.exists is None else drawn * stage.node.exists

    def _strength(self, stage: Stage, h: float, gamma: Array, rate: Array) -> Array:
        """s of the module's equation, kept where nothing in it changes."""
        if stage.constant is None or stage.name in self.moving:
            return self._fresh_strength(stage, h, gamma, rate)
        key = stage.name, h
        if key not in self.kept:
            self.kept[key] = self._fresh_strength(stage, h, gamma, rate)
        return self.kept[key]

    def _fresh_strength(self, stage: Stage, h: float, gamma: Array, rate: Array) -> Array:
        """s; `rate` is the node's own decay: γ, but γ + γ′x for a root."""
        assert self.noise is not None
        backend, node = self.plan.backend, stage.node
        ratio = h / node.time_constants
        if self.noise.level != "thermal":
            spread = np.sqrt(-np.expm1(-2 * ratio * rate))
            return backend.array(float(self.noise.level) / stage.per_full_scale * spread)
        siemens = node.noise_conductance(stage.own(gamma), stage.load) + self.still[stage.name]
        if stage.name in self.moving:
            siemens = siemens + self.moving[stage.name]
        volts = np.sqrt(2 * BOLTZMANN * self.plan.circuit.temperature * node.time_constants) / node.capacitance
        return backend.array(volts / node.unit * np.sqrt(ratio * siemens * phi(2 * ratio * rate)[0]))

    def _look(self, x: Signals) -> None:
        """ΣG of the cells at the present state; the first look finds out which of them change."""
        circuit, backend = self.plan.circuit, self.plan.backend
        host = {name: backend.host(value).astype(float) for name, value in x.items()}
        for stage in self.plan.stages:
            name = stage.name
            if name not in self.still:
                found = {t.name: self._siemens(stage, t, host) for t in circuit.into(name)}
                moves = {t for t, c in found.items() if np.ndim(c) > len(stage.node.shape)}
                rest = sum((c for t, c in found.items() if t not in moves), start=np.zeros(()))
                self.still[name] = backend.array(rest)
                self.restless[name] = [t for t in circuit.into(name) if t.name in moves]
            if self.restless[name]:
                total = sum((self._siemens(stage, t, host) for t in self.restless[name]), start=np.zeros(()))
                self.moving[name] = backend.array(total)

    def _siemens(self, stage: Stage, term: Term, x: Signals) -> Array:
        """G [S] of a cell's noise at the capacitor."""
        return term.conductance(self.plan.circuit, x) * self.plan.backend.host(stage.noise_share(term))


def _drive(stage: Stage, x: Signals) -> tuple[Array, Array]:
    """γ (None for a root, which knows it when solved) and the delivered drive."""
    gamma = None if stage.node.is_root else stage.gamma(x)
    return gamma, stage.delivered(x, gamma)


def _linear_step(start: Array, ratio: Array, gamma: Array, before: Array, after: Array) -> Array:
    """x₁ of a node whose γ is known; ratio = h/τ."""
    first, second = phi(ratio * gamma)
    return start + ratio * (first * (before - gamma * start) + second * (after - before))


def _tail_step(start: Array, ratio: Array, before: Array, after: Array) -> Array:
    """T₁ of τ dT/dt = e^(d − T) − 1: e^T is a linear lag of e^d, here in the unit of e^d at the end of the step."""
    first, second = phi(ratio)
    held, pushed = np.exp(start - after), np.exp(before - after)
    return after + np.log(held + ratio * (first * (pushed - held) + second * (1 - pushed)))


def _root_step(stage: Stage, start: Array, ratio: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
    """x₁, γ and decay rate of a node that drives its own feedback; γ is the mean of both ends'.

    x₁ = E(γ)x₀ + (positive weights)·d with 0 < E < 1, so a root whose drive is not negative stays positive whatever
    the step. Newton on the mean: x₁ falls with γ, so it converges from above.
    """
    feedback = stage.node.feedback
    assert feedback is not None
    at_start = feedback.ratio(start)
    x = start
    for _ in range(30):
        gamma = (at_start + feedback.ratio(x)) / 2 + stage.standing
        miss = x - stage.offset - _linear_step(start - stage.offset, ratio, gamma, before, after)
        pull = ratio * phi(ratio * gamma)[0] * (start + x - 2 * stage.offset) / 4 * feedback.slope(x)
        step = miss / (1 + np.maximum(pull, 0))
        x = x - step
        if float(abs(step).max()) <= 4 * float(np.finfo(x.dtype).eps) * float(abs(x).max()):
            break
    middle = (start + x) / 2
    return x, gamma, gamma + feedback.slope(middle) * np.maximum(middle - stage.offset, 0)


class _Shown(Mapping[str, Array]):
    """One instant's signals as observers see them: (1, batch, *shape)."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def __getitem__(self, name: str) -> Array:
        return self.signals[name][None]

    def __iter__(self) -> Iterator[str]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def shortest_time_constant(plan: Plan, x: Signals) -> float:
    """min C/(γ g₀) [s] over all node units at x, for a root C/((γ + γ′x) g₀)."""
    shortest = math.inf
    for stage in plan.stages:
        if stage.node.is_tail:
            continue  # its own step is exact whatever its length
        if stage.node.is_root:
            own, feedback = x[stage.name], stage.node.feedback
            assert feedback is not None
            gamma = feedback.ratio(own) + feedback.slope(own) * own + stage.standing
        else:
            gamma = stage.gamma(x)
        shortest = min(shortest, float(np.min(plan.backend.host(stage.node.time_constants / gamma))))
    return shortest
