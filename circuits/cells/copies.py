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
__device__ __forceinline__ REAL diode(REAL y, REAL knee) {
    return expm1(sqrt(fmax(y, (REAL)0) / knee));
}
__device__ __forceinline__ REAL copied(REAL grown, REAL gain, REAL ratio, REAL knee) {
    const REAL found = log1p(ratio * grown);
    return gain * knee * found * found;
}
__device__ __forceinline__ REAL copies(REAL y, REAL share, REAL gain, REAL ratio, REAL knee,
                                       REAL first, REAL first_ratio,
                                       REAL second, REAL second_ratio, REAL second_knee) {
    const REAL grown = diode(y, knee), turned = diode(copied(grown, first, first_ratio, knee), second_knee);
    return share * copied(grown, gain, ratio, knee) + (1 - share) * copied(turned, second, second_ratio, second_knee);
}
"""


@dataclass(frozen=True)
class Mirror:
    """One copy: gain 1 + β, ratio ε, both by node; knee I_s of the diode, by node or one, in the current's unit."""

    gain: Array
    ratio: Array
    knee: Array

    def diode(self, y: Array) -> Array:
        """e^√(y/I_s) − 1, y >= 0: what stands at the diode."""
        xp = module_of(y)
        return xp.expm1(xp.sqrt(xp.maximum(y, 0) / self.knee))

    def copied(self, grown: Array) -> Array:
        """The copy's current, of `diode`."""
        found = module_of(grown).log1p(self.ratio * grown)
        return self.gain * self.knee * found * found

    def of(self, y: Array) -> Array:
        """M(y), y >= 0."""
        return self.copied(self.diode(y))

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
    """Both ways out: straight, and by `first` and `second`; straight and first are copies of one diode. share: of the
    first way, where both are as designed."""

    straight: Mirror
    first: Mirror
    second: Mirror
    share: float = 0.5

    def of(self, y: Array) -> Array:
        """C(y)."""
        grown = self.straight.diode(y)
        turned = self.second.of(self.first.copied(grown))
        return self.share * self.straight.copied(grown) + (1 - self.share) * turned

    def slope(self, y: Array) -> Array:
        """dC/dy."""
        turned = self.second.slope(self.first.of(y)) * self.first.slope(y)
        return self.share * self.straight.slope(y) + (1 - self.share) * turned

    @property
    def values(self) -> tuple[Array, ...]:
        """What `law` takes, in order."""
        return (*vars(self.straight).values(), self.first.gain, self.first.ratio, *vars(self.second).values())

    def law(self, y: str, first: int) -> str:
        """CUDA of C for an expression y; its values are v{first}, …"""
        values = ", ".join(f"v{first + n}" for n in range(len(self.values)))
        return f"copies({y}, (REAL){self.share!r}, {values})"

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
