"""What noise makes of a feed-forward circuit at rest, sampled without a matrix: one sweep in order a frequency.

    τ_i dδ_i/dt = Σ_j J_ij δ_j − λ_i δ_i + τ_i ξ_i,        ⟨ξ_i(t) ξ_i(t′)⟩ = Q_ii δ(t − t′)   (two-sided)

around the operating point, j before i; λ = γ, for a root γ + γ′·(x − offset). At an angular frequency ω every node has
(iωτ + λ) δ = Σ J δ + τ √Q n, solved in order, and the covariance is the integral of δ δ† over ω/2π from −∞ to ∞. With
ω = ω₀ tan θ the integrand is smooth and periodic in θ, and equidistant angles converge geometrically:

    (i sinθ ω₀τ_i + cosθ λ_i) δ_i = cosθ Σ_j J_ij δ_j + τ_i √(Q_ii ω₀/2F) n_i,      θ_k = −π/2 + π (k + s)/F

with n complex normal, ⟨|n|²⟩ = 2. The sum of δ over the F angles is Gaussian, its real and imaginary part are two
samples of the stationary fluctuation, and Σ |δ|²/2 is an estimate of its variance that has averaged over angles. The
shift s is uniform in 0 … 1 (stratified over the samples), so that means over samples are exact for any F.

ω₀ is the mean of λ/τ over all nodes (geometric). A lag of that rate needs one angle, n such lags in a row n + 1. Of a
lag of rate r ω₀ a sample of F angles has, instead of its variance (Poisson's kernel, ρ = (1 − r)/(1 + r), q = ρ^F),

    (1 − q²)/(1 − 2q cos 2π(s − F/2) + q²)   times it: (1 − q)/(1 + q) … (1 + q)/(1 − q), 1 on average over s.

A deep machine's output is slow, r ≈ 0.1: with 4 angles that is 0.4 … 2.6, with 16 it is 0.92 … 1.08. Shifts of P pairs
are stratified, so for a given seed the mean over them is that of P F angles: their variances then want q of P F, and
what is not linear in a sample's variance, such as a perplexity, wants q of F.

Beyond a rail's linear part the limiter's slope counts, but not that its bound follows γ of a driven feedback.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..circuits.errors import Error
from ..circuits.rows import by_rows
from .linearized import stage_intensity
from .operating_point import decay, residual_jvp
from .plan import Plan, Stage, let_go

Array = Any


class Fluctuation:
    """The circuit of `plan` linearised around its operating points x, (B, *shape) of every array.

    level: "thermal", or σ: every node's own stationary noise as a share of its full scale.
    pole [1/s]: ω₀. One complex row (`rows`) is one angle of one pair of samples: row p·F + k is angle k of pair p.
    """

    def __init__(
        self, plan: Plan, x: Mapping[str, Array], level: str | float, *, seed: int, frequencies: int, pairs: int
    ) -> None:
        for group in plan.groups:
            if group.cyclic:
                names = ", ".join(stage.name for stage in group.stages)
                raise Error(f"noise cannot pass the cycle {names!r}: use transient(noise=…), which samples cycles too")
        self.plan, self.x, self.seed = plan, x, seed
        self.decay = {stage.name: _stable_decay(plan, stage, x) for stage in plan.stages}
        self.pole = _mean_rate(plan, self.decay)
        self.strength = {stage.name: self._strength(stage, level) / math.sqrt(2 * frequencies) for stage in plan.stages}
        self.angle = _angles(frequencies, pairs, seed)
        self.reads = plan.circuit.all_needs()
        done = let_go(plan, [(stage,) for stage in plan.stages])
        self.done = dict(zip((stage.name for stage in plan.stages), done, strict=True))

    def _strength(self, stage: Stage, level: str | float) -> Array:
        """τ √(Q ω₀) in logical units; a given σ means Q = 2λσ²/τ, which leaves σ to a node alone."""
        tau = np.asarray(self.plan.backend.host(stage.node.time_constants), float)
        if level == "thermal":
            found = tau * np.sqrt(stage_intensity(self.plan, stage, self.x) * self.pole)
        else:
            node, host = self.plan.circuit.arrays[stage.name], self.plan.backend.host
            share = 0.0 if node.is_inner else float(level)  # as in the stepper: a tail has no noise of its own
            sigma = share * (self.plan.circuit.full_scale(stage.name) * node.present)[None]
            found = sigma * np.sqrt(2 * tau * self.pole * host(self.decay[stage.name]))
        return self.plan.backend.array(found)

    def sweep(self, point: int, rows: range) -> Iterator[tuple[Stage, Array]]:
        """(stage, δ (2, rows, *shape): real and imaginary parts in logical units) of every array in order, for noise
        around operating point `point`. What no later array reads is let go."""
        at = {name: value[_row(value, point)] for name, value in self.x.items()}
        moved: dict[str, Array] = {}
        for stage in self.plan.stages:
            moved[stage.name] = self._solved(stage, at, moved, point, rows)
            shape = stage.node.shape
            yield stage, moved[stage.name].reshape(2, len(rows), *shape)
            for name in self.done[stage.name]:
                del moved[name]

    def _solved(self, stage: Stage, x: dict[str, Array], moved: dict[str, Array], point: int, rows: range) -> Array:
        """δ of one array, (2·rows, *shape): real parts, then imaginary parts."""
        backend, node = self.plan.backend, stage.node
        count, ones = len(rows), (1,) * len(node.shape)
        angle = self.angle[rows.start : rows.stop].reshape(-1, *ones)
        strength, own = self.strength[stage.name], self.decay[stage.name]
        cosine, sine = backend.array(np.cos(angle)), backend.array(np.sin(angle) * self.pole)
        force = self._normal(stage, point, rows)
        force *= strength[_row(strength, point)]
        if not moved.keys().isdisjoint(self.reads[stage.name]):
            current = residual_jvp(stage, x, moved)
            force[:count] += cosine * current[:count]
            force[count:] += cosine * current[count:]
        return turned(backend.xp, force, cosine * own[_row(own, point)], sine * node.time_constants)

    def _normal(self, stage: Stage, point: int, rows: range) -> Array:
        """Standard normals (2·rows, *shape): a Philox stream for each array, point and row, however rows are cut."""
        backend, shape = self.plan.backend, stage.node.shape
        key = np.array([self.seed, zlib.crc32(stage.name.encode())], np.uint64)
        drawn = np.empty((2, len(rows), *shape), backend.dtype)

        def draw(part: slice) -> None:
            for k, row in enumerate(rows[part], part.start):
                stream = np.random.Philox(key=key, counter=np.array([0, row, point, 1], np.uint64))
                drawn[:, k] = np.random.Generator(stream).standard_normal((2, *shape), backend.dtype)

        by_rows(draw, (len(rows), drawn[:, 0].size))  # most of the work of a large machine
        return backend.array(drawn.reshape(-1, *shape))


def turned(xp: Any, force: Array, damped: Array, late: Array) -> Array:
    """force / (damped + i late), of complex rows whose real parts (rows, …) come before their imaginary ones."""
    count, size = len(force) // 2, damped * damped + late * late
    damped, late = damped / size, late / size
    real, imaginary = force[:count], force[count:]
    solved = xp.empty_like(force)
    solved[:count] = damped * real + late * imaginary
    solved[count:] = damped * imaginary - late * real
    return solved


def _row(value: Array, point: int) -> slice:
    """Row `point`, or the one row that all points share."""
    return slice(point, point + 1) if len(value) > 1 else slice(0, 1)


def _stable_decay(plan: Plan, stage: Stage, x: Mapping[str, Array]) -> Array:
    """λ of one array, (1 or B, …); Error where a node has none, since its fluctuation never becomes stationary."""
    found = plan.backend.xp.asarray(decay(stage, x), plan.backend.dtype)
    if found.ndim <= len(stage.node.shape):  # of no state
        found = found.reshape((1,) * (1 + len(stage.node.shape) - found.ndim) + found.shape)
    least = float(np.min(np.where(plan.circuit.arrays[stage.name].present, plan.backend.host(found), np.inf)))
    if not least > 0:
        raise Error(
            f"a node of {stage.name!r} has no decay (γ = {least:.3g}): its noise grows for ever; give it a ratio"
        )
    return found


def _mean_rate(plan: Plan, decays: Mapping[str, Array]) -> float:
    """Geometric mean over all nodes of λ/τ [1/s]."""
    total, count = 0.0, 0
    for stage in plan.stages:
        rate = plan.backend.host(decays[stage.name]) / plan.backend.host(stage.node.time_constants)
        nodes = plan.circuit.arrays[stage.name].count
        total += nodes * float(np.log(np.maximum(rate, np.finfo(float).tiny)).mean())
        count += nodes
    return math.exp(total / max(count, 1))


def _angles(frequencies: int, pairs: int, seed: int) -> Array:
    """θ of each row (pairs · frequencies,): the pairs' shifts are equidistant behind a common random one."""
    stream = np.random.Philox(key=np.array([seed, zlib.crc32(b"angles")], np.uint64))
    shift = (np.arange(pairs)[:, None] + np.random.Generator(stream).random()) / pairs
    return (np.pi * ((np.arange(frequencies) + shift) / frequencies - 0.5)).reshape(-1)
