"""What the meter keeps of an array while it relaxes: ∫x², ∫|x| and the way travelled, a few numbers a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Array = Any


@dataclass
class Integrals:
    """Of one array, per node, (batch, *shape), logical units and seconds.

    square ∫x², magnitude ∫|x|; travel Σ|Δx| from the end of one element to the end of the next; last: x at the latest
    element's end.
    """

    square: Array
    magnitude: Array
    travel: Array
    last: Array

    @classmethod
    def zero(cls, xp: Any, dtype: Any, shape: tuple[int, ...], start: Array | None) -> Integrals:
        """Nothing yet; `start` (batch, *shape) is where the array begins, zero if None."""
        square, magnitude, travel, last = (xp.zeros(shape, dtype=dtype) for _ in range(4))
        return cls(square, magnitude, travel, last if start is None else xp.asarray(start, dtype=dtype))

    def add(self, weights: Array, x: Array, ends: Array) -> None:
        """Elements in a row: weights (T,) in seconds, x (T, batch, *shape) at their points, `ends` at their ends."""
        self.travel += abs(ends[0] - self.last)
        if len(ends) > 1:
            self.travel += abs(ends[1:] - ends[:-1]).sum(axis=0)
        size = abs(x)
        self.magnitude += _weighted(weights, size)
        size *= size
        self.square += _weighted(weights, size)
        self.last = x[-1]


def _weighted(weights: Array, x: Array) -> Array:
    return (weights @ x.reshape(len(weights), -1)).reshape(x.shape[1:])
