"""What a coupling of transistors costs and how it shakes its nodes, from the same factors as its current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .crossbar import Crossbar, rows_of
from .polynomials import Polynomial
from .power import Costs, Driven, Law
from .term import Array, Inline, Signals, View


@dataclass(frozen=True)
class MovingConductance(Crossbar):
    """ΣG_i = Σ_j |dI_ij/dv_j|, a crossbar of the shapes' slopes; matrices [A]."""

    def __call__(self, x: Signals) -> Array:
        return self.products(self.slopes_at(x))

    @property
    def inline(self) -> Inline | None:
        return None


@dataclass(frozen=True)
class ColumnLaw(Law):
    """heat = Σ_j |v_j| Σ_i |I_ij|, supply Σ_ij |I_ij|, with Σ_i |I_ij| = |x_j c_j(x_j)| a polynomial of each node.

    powers (n, P, in): those of c in steps of `step` [A per logical unit]; unit (P, in): U.
    """

    source: View
    lead: tuple[int, ...]
    powers: Array
    unit: Array
    step: int

    @classmethod
    def of(
        cls, source: View, lead: tuple[int, ...], shapes: Sequence[Polynomial], columns: Array, unit: Array
    ) -> ColumnLaw:
        """columns (P, r, in) [A]: what the units of a node carry, by shape; unit (P, in)."""
        degree = max(len(shape) for shape in shapes)
        powers = np.zeros((degree - 1, *unit.shape))
        for k in range(1, degree):
            each = [shape[k] if k < len(shape) else 0.0 for shape in shapes]
            powers[k - 1] = np.tensordot(columns, each, (1, 0)) * unit**k
        step = 1 if powers[1::2].any() else 2
        return cls(source, lead, np.ascontiguousarray(powers[::step]), unit, step)

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source.array,)

    def pair(self, x: Signals) -> tuple[Array, Array]:
        y = rows_of(self.source, x[self.source.array], self.lead, self.unit.shape[1])
        base = y * y if self.step == 2 else y
        c = base * self.powers[-1] if len(self.powers) > 1 else self.powers
        for power in self.powers[-2:0:-1]:
            c += power
            c *= base
        return y, c + self.powers[0] if len(self.powers) > 1 else c

    def flows(self, y: Array, c: Array) -> tuple[Array, Array]:
        amperes = abs(y * c)
        return amperes, amperes * abs(y)

    @property
    def costs(self) -> Costs:
        return Costs(Driven.CUDA, self.unit, 1.0, share=1.0)
