"""`noise_shares`: what part of one read number's variance each cell makes, through the adjoint circuit.

    y = Σ c_i x_i of the output,    σ²_y = ∫ dω/2π Σ_i |a_i|² τ_i² Q_i,    (iωτ_i + λ_i) a_i = Σ_j J_ji a_j + c_i

a is one sweep a frequency through the adjoint circuit (`circuits/adjoint.py`), whose nodes have the lags of their
forward nodes here; frequencies as in `fluctuation.py`, ω = ω₀ tan θ. With b = a / cos θ and F equidistant angles

    (i sinθ ω₀τ + cosθ λ) b = cosθ Jᵀ b + c,        σ²_y = (ω₀/2F) Σ_θ Σ_i |b_i|² τ_i² Q_i

Nothing is sampled, and as Q_i is a sum over the cells at node i, so is σ²_y: the other way round than `noise`, which
sweeps forward and finds every node's variance, but not whence it came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits import checks
from ..circuits.adjoint import AdjointCircuit, adjoint
from ..circuits.cells import feedback_of
from ..circuits.chip import Chip, circuit_of
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..circuits.losses import GRADIENT
from .fluctuation import turned
from .linearized import intensities
from .operating_point import decay, residual_jvp, solve_operating_point
from .plan import Stage
from .prepare import prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any


@dataclass(frozen=True)
class NoiseShares:
    """variance: of y, logical units squared; parts: each term's and each node array's own (`feedback of ARRAY`, with
    its conveyor) part of it; of one operating point."""

    circuit: Circuit
    variance: float
    parts: dict[str, float]

    @property
    def rms(self) -> float:
        """σ_y in logical units."""
        return math.sqrt(self.variance)

    def by(self, key: str) -> dict[str, float]:
        """Shares of 1, the largest first, by "part", "kind" of cell or "layer"."""
        table: dict[str, float] = {}
        for part, value in self.parts.items():
            label = part if key == "part" else self._kind(part) if key == "kind" else self._layer(part)
            table[label] = table.get(label, 0.0) + value / self.variance
        return dict(sorted(table.items(), key=lambda item: -item[1]))

    def plot(self) -> Figure:
        """Shares by kind and layer; see `pictures.plot_noise_shares`."""
        from .pictures import plot_noise_shares

        return plot_noise_shares(self)

    def _kind(self, part: str) -> str:
        return self.circuit.terms[part].kind if part in self.circuit.terms else "node"

    def _layer(self, part: str) -> str:
        term = self.circuit.terms.get(part)
        return self.circuit.arrays[part.removeprefix(feedback_of("")) if term is None else term.target].layer


def noise_shares(
    machine: Circuit | Chip, inputs: Mapping[str, Any], read: Array, *, frequencies: int = 32
) -> NoiseShares:
    """Thermal noise of y = Σ read · output at the machine's operating point, and each cell's share of its variance.

    inputs: one value of each clamped array, (*shape). read: c, in the output's shape: 1 at a logit, or 1 and −1 at two
    whose difference matters. frequencies: angles, an even number; errors fall geometrically with it.
    float64, on the processor.
    Raises Error for cycles, and for conveyors with r_x, which the adjoint leaves out.
    """
    circuit = circuit_of(machine)
    if checks.whole("frequencies", frequencies, 2, 10**6) % 2:
        raise Error(f"frequencies is {frequencies}: use an even number, half of them are the others mirrored")
    if any(node.input_resistance for node in circuit.arrays.values()):
        raise Error(f"conveyors of {circuit.name!r} have an r_x, which no adjoint has: map it with input_resistance=0")
    made = adjoint(circuit, loss="given")
    plan = prepare(machine, precision="float64")
    if any(group.cyclic for group in plan.groups):
        raise Error(f"{circuit.name!r} has a cycle, which no noise analysis passes: use transient(noise=…)")
    x = solve_operating_point(plan, inputs)
    strength = {stage.name: intensities(plan, stage, x) for stage in plan.stages}
    sweep = _Sweep(made, x, read, circuit)
    pole = sweep.pole
    angles = np.pi * (np.arange(frequencies // 2) + 0.5) / frequencies
    parts: dict[str, float] = {}
    for angle in angles:
        for name, power in sweep.powers(angle):
            node = circuit.arrays[name]
            if node.clamped:
                continue
            weight = power * node.time_constants**2 * pole / frequencies  # both halves of the angles: 2 · ω₀/2F
            for part, q in strength[name].items():
                parts[part] = parts.get(part, 0.0) + float(np.sum(weight * q))
    return NoiseShares(circuit, sum(parts.values()), parts)


class _Sweep:
    """The adjoint circuit around the state that forward voltages x put it into."""

    def __init__(self, made: AdjointCircuit, x: Mapping[str, Array], read: Array, forward: Circuit) -> None:
        self.made, self.forward = made, forward
        shape = forward.arrays[str(forward.output)].shape
        self.read = checks.values("read", read).astype(float)
        checks.fits("read", self.read, shape)
        self.plan = prepare(made, precision="float64")
        held = {name: x[name][:1] for name in made.holds()} | {GRADIENT: np.broadcast_to(self.read, shape)}
        self.x = solve_operating_point(self.plan, held)
        self.reads = made.all_needs()
        self.late = {stage.name: self._lag(stage) for stage in self.plan.stages}
        self.decay = {stage.name: decay(stage, self.x) for stage in self.plan.stages}
        self.pole = self._mean_rate()

    def _lag(self, stage: Stage) -> Array:
        """τ: the forward node's; Σ p a has that of the softmax's tail; what only the adjoint has follows at once."""
        if stage.name in self._standing():
            return stage.node.time_constants
        tail = self.made.tails.get(stage.name, "")
        return self.forward.arrays[tail].time_constants if tail else 0.0

    def _standing(self) -> set[str]:
        return {part.name for parts in self.made.parts.values() for part in parts}

    def _mean_rate(self) -> float:
        """Geometric mean of λ/τ over the nodes that have a τ [1/s]."""
        logs = []
        for name in self._standing():
            shape = self.made.arrays[name].shape
            logs.append(np.broadcast_to(np.log(self.decay[name] / self.late[name]), (1, *shape)).mean())
        return math.exp(float(np.mean(logs)))

    def powers(self, angle: float) -> Any:
        """(forward array, |b|² of each of its nodes) at one angle."""
        moved: dict[str, Array] = {}
        cosine, sine = math.cos(angle), math.sin(angle) * self.pole
        wide = {name: np.broadcast_to(value, (2, *value.shape[1:])) for name, value in self.x.items()}
        target = self.made.parts[str(self.forward.output)][0].name
        for stage in self.plan.stages:
            force = np.zeros((2, *stage.node.shape))
            if stage.name == target:
                force[0] = self.read
            if not moved.keys().isdisjoint(self.reads[stage.name]):
                force += cosine * residual_jvp(stage, wide, moved)
            elif stage.name != target:
                continue  # nothing that moves reaches it: a slope, a probability
            moved[stage.name] = turned(np, force, cosine * self.decay[stage.name], sine * self.late[stage.name])
        squares = {name: (value * value).sum(axis=0, keepdims=True) for name, value in moved.items()}
        for name in self.made.parts:
            yield name, self.made.of(name, squares, self.forward.arrays[name].shape)[0]
