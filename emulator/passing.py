"""What nodes at their rails pass back: the slope of the rail, between 1 and 0.

    R = limit(drive) − γ x        ∂R_i/∂x_j = limit′(drive_i) ∂drive_i/∂x_j        limit′ = 1 up to the knee, 0 beyond

A node that is held does not move with what drives it, so the gradient through it is nothing. Without that a loss keeps
pushing what is held further, to no effect but that more of its like get there: a chip that learns is lost. In the
machine it is a switch behind an adjoint node that the forward node's comparator opens; here each adjoint node that has
come to rest is taken times the slope, which follows from where the forward node stands, limit(drive) = γ (x − offset),
without what noise puts on it after it has come to rest.
On a cycle what arrives is taken times the slope while the cycle is solved, as it comes round again: a = s Σ(a …)/γ.

A chip that learns asks for less of a held node, too, which the slope does not tell: `Returning` passes whole what would
bring one back. The switch is a diode then: −a, which moves what drives a node, goes on where it points inwards.

Feedback that such a node's control drives is taken times the same slope: exact outside the knee.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits.adjoint import AdjointCircuit
from ..circuits.arrays import module_of
from ..circuits.backward import Part
from ..circuits.cells import Signals
from ..circuits.cells.node import KNEE
from ..circuits.cells.smooth import CUDA as SMOOTH
from ..circuits.cells.smooth import limited_slope
from .kernels import THREADS, blocks, defines
from .plan import Plan, Stage, summed

Array = Any
SLOPES = r"""
// limited_slope of each number
extern "C" __global__ void slopes(const int size, const REAL knee, const REAL* share, REAL* out)
{
    const unsigned j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j < (unsigned)size) out[j] = limited_slope(share[j], knee);
}
"""


class Passing:
    """Called on adjoint arrays as they come to rest, as `settle` does. x: where the forward machine rests, shaken or
    not; unshaken: where arrays rest that are."""

    def __init__(
        self, plan: Plan, made: AdjointCircuit, x: Mapping[str, Array], unshaken: Mapping[str, Array] | None = None
    ) -> None:
        self._brought = plan.backend.brought
        self._held: dict[str, tuple[Array, Array]] = {}
        for stage in plan.stages:
            if stage.name not in made.parts:
                continue
            own = plan.backend.brought((unshaken or x).get(stage.name, x[stage.name]))
            slope = rail_slope(plan, stage, x, own)
            if slope is not None:
                for part in made.parts[stage.name]:
                    self._held[part.name] = _columns(slope, part), _columns(own, part)

    def __call__(self, stage: Stage, seen: Mapping[str, Array]) -> Array:
        own = seen[stage.name]
        if stage.name not in self._held:
            return own
        slope, stands = map(self._brought, self._held[stage.name])
        return own * self.share(own, slope, stands)

    def on_cycle(self, stage: Stage, samples: slice) -> Stage:
        if stage.name not in self._held:
            return stage
        slope, stands = (self._brought(value)[samples] for value in self._held[stage.name])
        return HeldStage(**vars(stage), passing=self, slope=slope, stands=stands)

    def share(self, a: Array, slope: Array, x: Array) -> Array:
        """Of adjoint nodes a, or of what drives them, what goes on, x being where the forward nodes stand."""
        return slope


class Returning(Passing):
    """The same, for a chip that learns."""

    def share(self, a: Array, slope: Array, x: Array) -> Array:
        return module_of(a).where(a * x < 0, slope, 1)


@dataclass(frozen=True, kw_only=True)
class HeldStage(Stage):
    """An adjoint array on a cycle: what is delivered to it is less by the slopes (K, *shape) of its forward nodes'
    rails, which stand at `stands`."""

    passing: Passing
    slope: Array
    stands: Array

    def passed(self, drive: Array | None, x: Signals, gamma: Array) -> Array:
        whole = super().passed(drive, x, gamma)
        return whole * self.passing.share(whole, self.slope, self.stands)

    def delivered_jvp(self, x: Signals, dx: Signals, gamma: Array) -> Array:
        whole = super().passed(self.drive(x) if self.conveyed else None, x, gamma)
        share = self.passing.share(whole, self.slope, self.stands)
        return super().delivered_jvp(x, dx, gamma) * share


def _columns(values: Array, part: Part) -> Array:
    """What of a forward array an adjoint one stands for, in the latter's shape."""
    return values[..., part.start : part.stop].reshape(-1, *part.shape)


def rail_slope(plan: Plan, stage: Stage, x: Mapping[str, Array], own: Array) -> Array | None:
    """limit′ (K, *shape) of an array's nodes that rest at `own` while they read x; None where it is 1 for all, as far
    as that is known."""
    if stage.node.rail is None or not stage.conveyed:
        return None
    share = _share(stage, x, own)
    if plan.backend.fused:
        share = plan.backend.xp.ascontiguousarray(share, plan.backend.dtype)
        arguments = (np.int32(share.size), plan.backend.dtype(KNEE), share, share)
        plan.backend.kernel(defines(plan.backend.dtype) + SMOOTH + SLOPES, "slopes")(
            blocks(share.size), (THREADS,), arguments
        )
        return share
    return limited_slope(share, KNEE) if bool((share > 1 - KNEE).any()) else None


def _share(stage: Stage, x: Mapping[str, Array], own: Array) -> Array:
    """|limit(drive)| over its bound."""
    node = stage.node
    away = own if isinstance(stage.offset, float) else own - stage.offset
    if not node.is_root and not stage.direct:
        return abs(away) / node.limits(1.0)[1]  # type: ignore[index]
    gamma = node.feedback.ratio(own) + stage.standing if node.is_root else stage.gamma(x)  # type: ignore[union-attr]
    delivered = gamma * away - (summed(stage.direct, x) if stage.direct else 0.0)
    return abs(delivered) / node.bound(delivered, stage.own(gamma))
