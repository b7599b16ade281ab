"""Output mirrors whose transistors differ: what a current becomes on its two ways out of a cell.

A saturated transistor carries, from weak to strong inversion (EKV; Enz, Krummenacher & Vittoz, AICSP 8, 1995)

    I = I_s ln²(1 + e^(V/2nV_T)),        so a copy whose threshold is Δ over its diode's carries
    M(I) = (1 + β) I_s ln²(1 + ε (e^√(I/I_s) − 1)),        ε = e^(−Δ/2nV_T),   β the copy's less the diode's

which is a gain of e^(−Δ/nV_T) in weak inversion and less of one above. One copy leaves straight, one is turned round by
a second mirror; half of their sum arrives in the node:  C(y) = ½ [M_s(y) + M_2(M_1(y))], or as they share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import module_of
from .mos.unequal import Unequal, exponent

Array = Any
LEAST = 1e-6  # √(I/I_s) where the slope of a copy is taken as at 0
CUDA = """
// the law of copies.py
__device__ __forceinline__ REAL copied(REAL y, REAL gain, REAL ratio, REAL knee) {
    const REAL found = log1p(ratio * expm1(sqrt(fmax(y, (REAL)0) / knee)));
    return gain * knee * found * found;
}
"""


@dataclass(frozen=True)
class Mirror:
    """One copy: gain 1 + β, ratio ε, both by node; knee I_s of the diode, by node or one, in the current's unit."""

    gain: Array
    ratio: Array
    knee: Array

    def of(self, y: Array) -> Array:
        """M(y), y >= 0."""
        xp = module_of(y)
        found = xp.log1p(self.ratio * xp.expm1(xp.sqrt(xp.maximum(y, 0) / self.knee)))
        return self.gain * self.knee * found * found

    def slope(self, y: Array) -> Array:
        """dM/dy; 0 under 0."""
        xp = module_of(y)
        q = xp.maximum(xp.sqrt(xp.maximum(y, 0) / self.knee), LEAST)
        up = xp.expm1(q)
        found = self.gain * xp.log1p(self.ratio * up) / q * self.ratio * (1 + up) / (1 + self.ratio * up)
        return found * (y >= 0)

    def spice(self, y: str, i: tuple[int, ...]) -> str:
        """Text of M at node i for an expression y."""
        gain, ratio, knee = (float(np.broadcast_to(v, np.shape(self.ratio))[i]) for v in vars(self).values())
        grown = f"exp(sqrt(max({y},0)/{knee:.12g}))-1"
        return f"{gain * knee:.12g}*ln(1+{ratio:.12g}*({grown}))*ln(1+{ratio:.12g}*({grown}))"


@dataclass(frozen=True)
class Copies:
    """Both ways out: straight, and by `first` and `second`. share: of the first way, where both are as designed."""

    straight: Mirror
    first: Mirror
    second: Mirror
    share: float = 0.5

    def of(self, y: Array) -> Array:
        """C(y)."""
        return self.share * self.straight.of(y) + (1 - self.share) * self.second.of(self.first.of(y))

    def slope(self, y: Array) -> Array:
        """dC/dy."""
        turned = self.second.slope(self.first.of(y)) * self.first.slope(y)
        return self.share * self.straight.slope(y) + (1 - self.share) * turned

    @property
    def values(self) -> tuple[Array, ...]:
        """What `law` takes, in order."""
        return tuple(
            value for mirror in (self.straight, self.first, self.second) for value in vars(mirror).values()
        )  # fmt: skip

    def law(self, y: str, first: int) -> str:
        """CUDA of C for an expression y; its values are v{first}, …"""
        a, b, c = (", ".join(f"v{first + 3 * k + n}" for n in range(3)) for k in range(3))
        share = f"(REAL){self.share!r}"
        return f"({share} * copied({y}, {a}) + (1 - {share}) * copied(copied({y}, {b}), {c}))"

    def spice(self, y: str, i: tuple[int, ...]) -> str:
        """Text of C at node i for an expression y."""
        turned = self.second.spice(f"({self.first.spice(y, i)})", i)
        return f"({self.share:g}*({self.straight.spice(y, i)})+{1 - self.share:g}*({turned}))"


def mirror_of(
    errors: Unequal, diode: str, copy: str, slope_factor: float, knee: Array, thermal_voltage: float
) -> Mirror:
    """A copy of a diode, by the errors of both."""
    shift = errors.shift[copy] - errors.shift[diode]
    return Mirror(
        (1 + errors.gain[copy]) / (1 + errors.gain[diode]), exponent(shift, slope_factor, thermal_voltage), knee
    )
