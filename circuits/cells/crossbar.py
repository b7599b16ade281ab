"""The sums of a crossbar whose units are not linear: r matrix products instead of one.

    d_i = Σ_j Σ_r M_r,ij ψ_r(U_j x_j)        = one product of (K, r·in) shapes by an (r·in, out) matrix

A unit's gate depends on the volts that a logical unit is at either end, so M does too: neighbouring positions of equal
units share one matrix (of language models the first position has one, and all others another).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..arrays import matmul, module_of
from .polynomials import Polynomial, derivative, shaped
from .term import Array, Signals, View

Runs = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Crossbar:
    """lead: positions, the axes before the last of what is driven; runs: (first, one past the last, set) of positions
    of equal units; volts (sets, in): U of the driving nodes; matrices (sets, out, r·in); shapes: ψ_r, volts -> 1."""

    source: View
    lead: tuple[int, ...]
    runs: Runs
    volts: Array
    matrices: Array
    shapes: tuple[Polynomial, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source.array,)

    def seen(self, x: Array) -> Array:
        """What the crossbar reads of a signal (K, *shape), (K, P, in)."""
        return rows_of(self.source, x, self.lead, self.volts.shape[1])

    def sums(self, x: Signals) -> Array:
        """d, (K, *lead, out)."""
        seen = self.seen(x[self.source.array])
        return self._products(shaped(self.shapes, seen[:, a:b], self.volts[s]) for a, b, s in self.runs)

    def sums_along(self, x: Signals, moved: Array) -> Array:
        """Derivative of d along a move (K, *shape) of the source; one of the two K may be 1."""
        seen, moved = self.seen(x[self.source.array]), self.seen(moved)
        slopes = tuple(derivative(shape) for shape in self.shapes)
        return self._products(
            shaped(slopes, seen[:, a:b], self.volts[s]) * (moved[:, a:b] * self.volts[s])[:, :, None, :]
            for a, b, s in self.runs
        )

    def _products(self, parts: Iterable[Array]) -> Array:
        """Σ of each run's shapes (K, positions, r, in) by its matrix, side by side."""
        out: Array = None
        for (a, b, s), part in zip(self.runs, parts, strict=True):
            samples, positions, rank, width = part.shape
            flat = part.reshape(samples * positions, rank * width)
            found = matmul(flat, self.matrices[s].T).reshape(samples, positions, -1)
            if len(self.runs) == 1:
                return found.reshape(samples, *self.lead, -1)
            if out is None:
                shape = (samples, self.runs[-1][1], found.shape[-1])
                out = module_of(found).empty_like(found, shape=shape, order="C")
            out[:, a:b] = found
        return out.reshape(len(out), *self.lead, -1)


def rows_of(view: View, x: Array, lead: tuple[int, ...], width: int) -> Array:
    """The viewed part of a signal (K, *shape) as (K, P, in), in all positions of `lead`."""
    part = view.of(x)
    part = part.reshape(len(part), *lead_of(part.shape[1:], width), width)
    if part.shape[1:-1] != lead:
        part = module_of(part).broadcast_to(part, (len(part), *lead, width))
    return part.reshape(len(part), -1, width)


def lead_of(shape: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Axes in front of the trailing ones that together hold `width` nodes."""
    axis = len(shape) - 1
    held = shape[axis]
    while held < width and axis > 0:
        axis -= 1
        held *= shape[axis]
    if held != width:
        raise ValueError(f"a weight of {width} columns does not fit nodes of shape {shape}")
    return shape[:axis]
