"""Node unit: a capacitor, its feedback conductance, and the conveyor that delivers the current (DESIGN §1).

    C dv/dt = limit(I; g(v)·V_rail) − g(v)·v + g·offset

with I the sum of the term's currents. In logical units x = v/U, with g₀ the node's reference conductance:

    (C/g₀) dx/dt = limit(d; γ·R) − γ·x          d = I / g₀U,   γ = g(v)/g₀,   R = V_rail/U

Feedback. γ = ratio, constant; or driven by another node (the control port of a MOS resistor, which cuts off and
never goes negative): γ = floor + ramp(K x_c − floor, floor/2). The control's offset is floor/K, so from 1.5 × floor
on γ is exactly K·x_c: g_min's bias on roots and divisions is taken out by the offset, not by the mapping.

Rails. The conveyor's bias is a replica of the feedback device at V_rail: it can deliver at most g(v)·V_rail, so
|v| ≤ V_rail whatever the drive, without wind-up, and the node's own equation stays linear in v. The limiter is
exactly linear up to (1 − knee)·V_rail and twice differentiable everywhere.

Noise: 4kT·g(v) of the feedback, one-sided [A²/Hz]; plus the ΣG of the terms. A passive RC gives kT/C.
Mismatch: `offset`, a static voltage the node settles off by. Dissipation g(v)·v²; supply: the conveyor's bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .smooth import limit, limit_slope, ramp, ramp_slope

if TYPE_CHECKING:
    from ..technology import Technology

Array = Any
KNEE = 0.1  # half-width of the rail's knee, as a share of the rail


@dataclass(frozen=True)
class Feedback:
    """Feedback driven by the array `control` (its own name: a root node). gain K per logical unit of the control.

    control's shape and gain broadcast to the node's shape from the left: (P, 1) for (P, d), (P, H, 1) for (P, H, d).
    """

    control: str
    gain: Array = 1.0
    floor: float = 0.02

    def ratio(self, control: Array) -> Array:
        """γ of the control's logical value."""
        return self.floor + ramp(self.gain * control - self.floor, self.floor / 2)

    def slope(self, control: Array) -> Array:
        """dγ/dx_c."""
        return self.gain * ramp_slope(self.gain * control - self.floor, self.floor / 2)

    def settled_root(self, drive: Array, standing: Array = 0.0, offset: Array = 0.0) -> Array:
        """x with (γ(x) + standing)(x − offset) = drive, for a node that drives its own feedback: sqrt(d/K), or d/floor
        under the knee."""
        xp = drive.__array_namespace__()
        least = self.floor + standing
        x = offset + xp.where(drive > 0, xp.sqrt(xp.maximum(drive, 0) / self.gain), drive / least)
        for _ in range(8):
            gamma = self.ratio(x) + standing
            away = x - offset
            x = x - (gamma * away - drive) / (gamma + self.slope(x) * away)
        return x


@dataclass(frozen=True)
class NodeArray:
    """An array of node units of one kind.

    name, shape: activations it carries, (positions, width) or (heads, positions, positions), …
    unit: volts per logical unit U, broadcastable to shape.
    capacitance [F], conductance g₀ [S], ratio: constant feedback as a share of g₀, broadcastable to shape.
    rail [V]: None for the ideal node. full_scale [V]: the settled range calibration gave; errors are shares of it.
    input_resistance r_x [Ω] of the conveyor: its couplings see Σ|G| r_x of loading.
    offset [V]: static, broadcastable. exists: bool mask of nodes that are there (None: all).
    layer: label under which energy and error are reported and elements are chosen together.
    clamped: an input, its voltage prescribed by the run.
    """

    name: str
    shape: tuple[int, ...]
    unit: Array = 1.0
    capacitance: float = 49e-15
    conductance: float = 32.26e-6
    ratio: Array = 1.0
    feedback: Feedback | None = None
    rail: float | None = 0.5
    full_scale: Array = 1 / 3
    input_resistance: float = 0.0
    offset: Array = 0.0
    exists: Array | None = None
    layer: str = ""
    clamped: bool = False

    @property
    def time_constant(self) -> float:
        """C/g₀ in seconds."""
        return self.capacitance / self.conductance

    @property
    def count(self) -> int:
        """Nodes that exist."""
        return int(np.prod(self.shape)) if self.exists is None else int(np.count_nonzero(self.exists))

    def area(self, technology: Technology) -> float:
        """Silicon [m²] of capacitors and feedback; 0 for inputs, whose nodes belong to the converters."""
        return 0.0 if self.clamped else self.count * technology.node.area

    @property
    def is_root(self) -> bool:
        """Whether the node's own voltage drives its feedback."""
        return self.feedback is not None and self.feedback.control == self.name

    def gamma(self, x: Array) -> Array:
        """γ given the control's logical value (K, …); the constant ratio where there is no control."""
        return self.ratio if self.feedback is None else self.feedback.ratio(x)

    def limits(self, gamma: Array) -> tuple[Array, Array] | None:
        """Largest drive (towards minus, towards plus) the conveyor delivers at γ; None without rails."""
        if self.rail is None:
            return None
        reach = self.rail / self.unit
        if self.is_root:
            assert self.feedback is not None
            return self.feedback.floor * reach, self.feedback.gain * reach * reach
        return gamma * reach, gamma * reach

    def delivered(self, drive: Array, gamma: Array) -> Array:
        """limit(drive): what reaches the capacitor."""
        bounds = self.limits(gamma)
        if bounds is None:
            return drive
        if not self.is_root:
            return limit(drive, bounds[1], KNEE)
        return limit(drive, np.where(drive > 0, bounds[1], bounds[0]), KNEE)

    def delivered_slope(self, drive: Array, gamma: Array) -> Array:
        """d delivered / d drive at fixed γ."""
        bounds = self.limits(gamma)
        if bounds is None:
            return 1.0
        bound = np.where(drive > 0, bounds[1], bounds[0]) if self.is_root else bounds[1]
        return limit_slope(drive, bound, KNEE)

    def saturated(self, drive: Array, gamma: Array) -> Array:
        """Mask of nodes whose drive is beyond the linear part of the rail."""
        bounds = self.limits(gamma)
        if bounds is None:
            return np.zeros(np.shape(drive), bool)
        bound = np.where(drive > 0, bounds[1], bounds[0]) if self.is_root else bounds[1]
        return abs(drive) > (1 - KNEE) * bound
