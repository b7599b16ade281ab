"""Functions of one variable in tables so fine that a straight line in between is the function, read without a search.

A model of 10⁸ weights asks for each unit's control voltage and factors. Steps that are equal in x are found by a
division, those that are equal within each octave of x by the bits of x: the leading bits of a floating-point number,
taken as a whole number, count octaves and equal parts of them. A line over a step h is off by at most h²/8 |f″|.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
PARTS = 9  # an octave has 2⁹ steps: in weak inversion a voltage within 2e-8 V of its logarithm
OCTAVES = 40


@dataclass(frozen=True)
class Even:
    """f(x), of any trailing axes, in equal steps from `start` on; beyond the ends the last lines go on."""

    start: float
    step: float
    values: Array
    rises: Array

    @classmethod
    def of(cls, f: Callable[[Array], Array], start: float, stop: float, steps: int) -> Even:
        """f (…) -> (…, trailing axes), asked at the ends of all steps."""
        values = np.asarray(f(np.linspace(start, stop, steps + 1)))
        return cls(start, (stop - start) / steps, values[:-1], np.diff(values, axis=0))

    def __call__(self, x: Array) -> Array:
        return self.tangent(x)[0]

    def tangent(self, x: Array) -> tuple[Array, Array]:
        """(f, rise of f over this step)."""
        place = (np.asarray(x, float) - self.start) / self.step
        k = np.clip(place, 0, len(self.values) - 1).astype(np.intp)
        share = np.reshape(place - k, np.shape(place) + (1,) * (self.values.ndim - 1))
        rise = np.take(self.rises, k, axis=0)
        return np.take(self.values, k, axis=0) + rise * share, rise


@dataclass(frozen=True)
class Octaves:
    """f(x) of 0 <= x <= most as lines a + b x: 2⁹ in each of 40 octaves, and one from 0 up to them.

    first: where the octaves begin, counted in steps.
    """

    first: int
    intercepts: Array
    slopes: Array

    @classmethod
    def of(cls, f: Callable[[Array], Array], most: float) -> Octaves:
        """f (…) -> (…), asked at the ends of all steps up to `most`."""
        last = int(_counted(np.array([most]))[0]) + 1
        first = last - (OCTAVES << PARTS)
        ends = np.append(0.0, (np.arange(first, last + 1) << (52 - PARTS)).view(np.float64))
        ends = np.minimum(ends, most)
        values, length = np.asarray(f(ends)), np.diff(ends)
        slopes = np.divide(np.diff(values), length, out=np.zeros(length.shape), where=length > 0)
        return cls(first, values[:-1] - slopes * ends[:-1], slopes)

    def __call__(self, x: Array) -> Array:
        x = np.asarray(x, float)
        k = np.clip(_counted(x) - (self.first - 1), 0, len(self.slopes) - 1)
        return np.take(self.intercepts, k) + np.take(self.slopes, k) * x


def _counted(x: Array) -> Array:
    """How many steps x, positive, lies above the smallest number; those of 0 and what is next to it are few."""
    return np.ascontiguousarray(x).view(np.int64).reshape(np.shape(x)) >> (52 - PARTS)
