"""The sums of a crossbar whose units are not linear: r matrix products instead of one.

    d_i = Σ_j Σ_r M_r,ij ψ_r(U_j x_j)        = one product of (K, r·in) shapes by an (r·in, out) matrix

A unit's gate depends on the volts that a logical unit is at either end, so M does too: neighbouring positions of equal
units share one matrix (of language models the first position has one, and all others another).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..arrays import matmul, module_of
from .polynomials import Polynomial, derivative, shaped
from .term import Array, Signals, View, made_of

Runs = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Crossbar:
    """lead: positions, the axes before the last of what is driven; runs: (first, one past the last, set) of positions
    of equal units; volts (P, in), or (1, in) of positions that are all alike: U of the driving nodes; matrices (sets,
    out, r·in); shapes: ψ_r, volts -> 1."""

    source: View
    lead: tuple[int, ...]
    runs: Runs
    volts: Array
    matrices: Array
    shapes: tuple[Polynomial, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source.array,)

    @property
    def sets(self) -> int:
        """How many matrices there are."""
        return len(self.matrices)

    def seen(self, x: Array) -> Array:
        """What the crossbar reads of a signal (K, *shape), (K, P, in)."""
        return rows_of(self.source, x, self.lead, self.volts.shape[1])

    def sums(self, x: Signals) -> Array:
        """d, (K, *lead, out). Couplings that read the same nodes share their shapes, as U is the nodes'."""
        name = self.source.array
        wish = self.source, self.lead, self.shapes
        return self.products(made_of(x, name, wish, lambda: shaped(self.shapes, self.seen(x[name]), self.volts)))

    def sums_along(self, x: Signals, moved: Array) -> Array:
        """Derivative of d along a move (K, *shape) of the source; one of the two K may be 1."""
        moved = self.seen(moved) * self.volts
        return self.products(self.slopes_at(x) * moved[:, :, None, :])

    def slopes_at(self, x: Signals) -> Array:
        """ψ_r′ [1/V] at each driving node, (K, P, r, in)."""
        return shaped(tuple(map(derivative, self.shapes)), self.seen(x[self.source.array]), self.volts)

    def products(self, shapes: Array) -> Array:
        """Σ of shapes (K, P, r, in) by the matrices: all positions by the one that most have, then the others."""
        (samples, positions, rank, width), out = shapes.shape, self.matrices.shape[1]
        most = max(range(self.sets), key=lambda s: sum(b - a for a, b, own in self.runs if own == s))
        found = matmul(shapes.reshape(-1, rank * width), self.matrices[most].T).reshape(samples, positions, out)
        for a, b, s in self.runs:
            if s != most:
                part = shapes[:, a:b].reshape(-1, rank * width)
                found[:, a:b] = matmul(part, self.matrices[s].T).reshape(samples, b - a, out)
        return found.reshape(samples, *self.lead, out)


def rows_of(view: View, x: Array, lead: tuple[int, ...], width: int) -> Array:
    """The viewed part of a signal (K, *shape) as (K, P, in), in all positions of `lead`."""
    part = view.of(x)
    part = part.reshape(len(part), *lead_of(part.shape[1:], width), width)
    if part.shape[1:-1] != lead:
        part = module_of(part).broadcast_to(part, (len(part), *lead, width))
    return part.reshape(len(part), math.prod(lead), width)


def lead_of(shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Axes in front of the trailing ones that together hold `width` nodes."""
    axis = len(shape) - 1
    held = shape[axis]
    while held < width and axis > 0:
        axis -= 1
        held *= shape[axis]
    if held != width:
        raise ValueError(f"a weight of {width} columns does not fit its source, {shape[-1]} along the last axis")
    return shape[:axis]
