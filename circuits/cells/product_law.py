"""Power law of products: a device of conductance |K v_a| between ±v_b and the target's conveyor.

What a node of b sees is Σ_t s_t |x_a| over the targets t, s = κ g U_t [A], and gives both

    supply = Σ_b |x_b| Σ_t s_t |x_a|,        heat = delivered = Σ_b U_b x_b² Σ_t s_t |x_a|

Where each node of b meets one of `a` only (squares, gates), s is a weight of that node: `Paired`. Else the sum is a
contraction of |x_a| with what never changes, one matrix product for all points: `Contracted`. Targets with the same s,
such as all positions but the first that an attention weight is for, are added up before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import matmul
from ..magnitudes import magnitudes
from .power import Costs, Driven

if TYPE_CHECKING:
    from .power import Signals
    from .term import View

Array = Any
LONGEST = 8  # targets that are added up by one: more of them would keep fewer threads busy


def product_law(
    a: View,
    b: View,
    spec: str,
    scale: Array,
    unit: Array,
    signs: Array | None,
    errors: Array | None,
    results: Array | None = None,
) -> Driven:
    """Law of a product with contraction `spec`. scale: s, in the shape of the result's indices; unit: U of b; signs,
    errors, results: of a chip, in the shapes of a, of b and of the result."""
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
            turned = 1.0 if results is None else _arranged(results, out, of_b)
            weight = weight * (1 + _arranged(signs, of_a, of_b) * errors * turned)
        return Paired(a, b, axes, missing, weight * unit, np.ascontiguousarray(weight))
    sizes = dict(zip(out, scale.shape, strict=True)) | dict(zip(of_b, unit.shape, strict=True))
    laid = shared + summed + "." + free  # . for points and batch
    across = of_b[-1:] in rest  # neighbours in b are neighbours in the product
    found = shared + "." + free + rest if across else shared + rest + "." + free
    lengths = (math.prod(sizes[i] for i in part) for part in (shared, rest, summed))
    whole = tuple(lengths)
    factor = _arranged(scale, out, shared + rest + summed).reshape(whole)
    edges = _runs(factor)
    spoiled = factor if results is None else _arranged(scale * results, out, shared + rest + summed).reshape(whole)
    apart = edges if results is None else _runs(spoiled)
    return Contracted(
        a,
        b,
        axes=tuple(("." + of_a).index(i) for i in laid),
        counts=(len(shared), len(summed), len(free)),
        edges=edges,
        factor=np.ascontiguousarray(factor[..., edges[:-1]]),
        across=across,
        found=tuple(-1 if i == "." else sizes[i] for i in found),
        back=tuple(found.index(i) for i in "." + of_b),
        unit=unit,
        signs=None if signs is None else _arranged(signs[None], "." + of_a, laid),
        errors=errors,
        apart=apart,
        spoiled=np.ascontiguousarray(spoiled[..., apart[:-1]]),
    )


def _runs(factor: Array) -> Array:
    """Where runs of equal numbers along the last axis begin, and its length; LONGEST at most."""
    apart = (factor[..., 1:] != factor[..., :-1]).any(axis=(0, 1))
    edges = [0, *(1 + np.flatnonzero(apart)).tolist(), factor.shape[-1]]
    begins = [begin for a, b in pairwise(edges) for begin in range(a, b, LONGEST)]
    return np.array([*begins, factor.shape[-1]], np.int32)


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
    runs) of |x_a| summed over runs of targets.

    axes: a's into (shared, summed, points and batch, free); counts: how many are shared, summed and free; edges: of
    runs; apart, spoiled: edges and factor of the part that errs; found: lengths of the product's axes (shared, rest,
    points and batch, free), or where `across` (shared, points and batch, free, rest); back: of those into b's.
    """

    a: View
    b: View
    axes: tuple[int, ...]
    counts: tuple[int, int, int]
    edges: Array
    factor: Array
    across: bool
    found: tuple[int, ...]
    back: tuple[int, ...]
    unit: Array
    signs: Array | None
    errors: Array | None
    apart: Array
    spoiled: Array

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.a.array, self.b.array)

    @property
    def nodes(self) -> View:
        return self.b

    def pull(self, x: Signals) -> Array:
        a = self.a.of(x[self.a.array]).transpose(self.axes)
        current = self._summed(a, None, self.edges, self.factor)
        if self.errors is not None:
            current += self._summed(a, self.signs, self.apart, self.spoiled) * self.errors
        return current

    def _summed(self, a: Array, signs: Array | None, edges: Array, factor: Array) -> Array:
        size = magnitudes(a, self.counts, edges, signs)
        size = size.reshape(*size.shape[:2], -1)
        if self.across:
            out = matmul(size.swapaxes(1, 2), factor.swapaxes(1, 2))
        else:
            out = matmul(factor, size)
        return out.reshape(self.found).transpose(self.back)

    @property
    def costs(self) -> Costs:
        return Costs(self.CUDA, self.unit, 1.0, share=1.0)
