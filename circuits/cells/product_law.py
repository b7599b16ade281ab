"""Power law of products: a device of conductance |K v_a| between ±v_b and the target's conveyor.

What a node of b sees is Σ_t s_t |x_a| over the targets t, s = κ g U_t [A], and gives both

    supply = Σ_b |x_b| Σ_t s_t |x_a|,        heat = delivered = Σ_b U_b x_b² Σ_t s_t |x_a|

Where each node of b meets one of `a` only (squares, gates), s is a weight of that node: `Paired`. Else the sum is a
contraction of |x_a| with what never changes, one matrix product for all points: `Contracted`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import matmul, module_of
from .power import Costs, Driven

if TYPE_CHECKING:
    from .power import Signals
    from .term import View

Array = Any


def product_law(
    a: View, b: View, spec: str, scale: Array, unit: Array, signs: Array | None, errors: Array | None
) -> Driven:
    """Law of a product with contraction `spec`. scale: s, in the shape of the result's indices; unit: U of b; signs,
    errors: of a chip, in the shapes of a and b."""
    inputs, out = spec.split("->")
    of_a, of_b = inputs.split(",")
    shared = "".join(i for i in of_a if i in out and i in of_b)
    free = "".join(i for i in of_a if i not in out)
    summed = "".join(i for i in of_a if i in out and i not in of_b)
    rest = "".join(i for i in out if i not in of_a)
    if not summed:
        axes = tuple(of_a.index(i) for i in of_b if i in of_a)
        missing = tuple(k for k, i in enumerate(of_b) if i not in of_a)
        weight = np.broadcast_to(_arranged(scale, out, of_b), unit.shape)
        if signs is not None and errors is not None:
            weight = weight * (1 + _arranged(signs, of_a, of_b) * errors)
        return Paired(a, b, axes, missing, weight * unit, np.ascontiguousarray(weight))
    sizes = dict(zip(out, scale.shape, strict=True)) | dict(zip(of_b, unit.shape, strict=True))
    laid, found = shared + summed + "." + free, shared + rest + "." + free  # . for points and batch
    lengths = (math.prod(sizes[i] for i in part) for part in (shared, rest, summed))
    return Contracted(
        a,
        b,
        axes=tuple(("." + of_a).index(i) for i in laid),
        factor=np.ascontiguousarray(_arranged(scale, out, shared + rest + summed)).reshape(tuple(lengths)),
        lead=tuple(sizes[i] for i in shared + rest),
        tail=tuple(sizes[i] for i in free),
        back=tuple(found.index(i) for i in "." + of_b),
        unit=unit,
        signs=None if signs is None else _arranged(signs[None], "." + of_a, laid),
        errors=errors,
    )


def _arranged(x: Array, have: str, want: str) -> Array:
    """x with its indices in another order, of length 1 where it has none."""
    moved = x.transpose([have.index(i) for i in want if i in have])
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if i in have else 1 for i in want])


@dataclass(frozen=True)
class Paired(Driven):
    """heat = Σ H |x_a| x_b², supply = Σ A |x_a x_b|. axes, missing: a's indices in the order of b's, and which
    of those it lacks."""

    a: View
    b: View
    axes: tuple[int, ...]
    missing: tuple[int, ...]
    heat: Array
    supply: Array

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.a.array, self.b.array)

    @property
    def nodes(self) -> View:
        return self.b

    @property
    def alone(self) -> bool:
        return self.a == self.b and self.axes == tuple(range(len(self.axes))) and not self.missing

    def pull(self, x: Signals) -> Array:
        a = self.a.of(x[self.a.array]).transpose(0, *(1 + axis for axis in self.axes))
        for axis in self.missing:
            a = a[(slice(None),) * (1 + axis) + (None,)]
        return a

    @property
    def costs(self) -> Costs:
        return Costs(self.CUDA, self.heat, self.supply, share=1.0)


@dataclass(frozen=True)
class Contracted(Driven):
    """heat = Σ U c x_b², supply = Σ c |x_b|, c = Σ_t s_t |x_a| by one batched product with `factor` (shared, rest,
    summed).

    axes: a's into (shared, summed, points and batch, free); back: of the result, (shared, rest, points and batch,
    free), into b's. lead, tail: lengths of its indices before and after points and batch.
    """

    a: View
    b: View
    axes: tuple[int, ...]
    factor: Array
    lead: tuple[int, ...]
    tail: tuple[int, ...]
    back: tuple[int, ...]
    unit: Array
    signs: Array | None
    errors: Array | None

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.a.array, self.b.array)

    @property
    def nodes(self) -> View:
        return self.b

    def pull(self, x: Signals) -> Array:
        a = self.a.of(x[self.a.array]).transpose(self.axes)
        xp = module_of(a)
        size = xp.abs(a, out=xp.empty(a.shape, a.dtype))
        current = self._summed(size)
        if self.errors is not None:
            size *= self.signs
            current += self._summed(size) * self.errors
        return current

    def _summed(self, size: Array) -> Array:
        shared, _, summed = self.factor.shape
        out = matmul(self.factor, size.reshape(shared, summed, -1))
        return out.reshape(*self.lead, -1, *self.tail).transpose(self.back)

    @property
    def costs(self) -> Costs:
        return Costs(self.CUDA, self.unit, 1.0, share=1.0)
