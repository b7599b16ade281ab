"""Power law of passive couplings: what they cost beyond Σ|G| v² at both ends."""

from __future__ import annotations

from dataclasses import dataclass

from ..arrays import matmul
from .power import Costs, Law
from .term import Array, Signals, View


@dataclass(frozen=True)
class Loaded(Law):
    """What passive couplings cost beyond Σ|G| v² at both ends: the cross term, B_j = Σ_i G_ij v_i at each driver.

    heat −2 Σ_j v_j B_j,   delivered −Σ_j v_j B_j,   supply Σ_j |v_j Σ_i|G_ij| − B_j|
    """

    source: View
    target: str
    weight: Array
    elementwise: bool
    back: Array
    amperes: Array
    unit: Array

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source.array, self.target)

    def pair(self, x: Signals) -> tuple[Array, Array]:
        v = self.source.of(x[self.source.array])
        v = v.reshape(len(v), *self.unit.shape)
        held = x[self.target] * self.back
        cross = held * self.weight if self.elementwise else matmul(held.reshape(-1, len(self.weight)), self.weight)
        return v, cross.reshape(v.shape)

    def flows(self, y: Array, c: Array) -> tuple[Array, Array]:
        return abs(y * (self.amperes * self.unit) - c), y * c

    @property
    def costs(self) -> Costs:
        own = self.amperes * self.unit
        return Costs("amperes = fabs(y * own - c); watts = y * c;", -2.0, 1 / self.unit, share=0.5, own=own)
