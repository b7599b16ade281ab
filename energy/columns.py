"""Nodes that cost the same are added up before they are weighed: positions share their units and couplings.

    Σ_n w_n ∫f_n dt = Σ_runs Σ_c w_c ∫ Σ_(rows of the run) f_rc dt

Rows run along an array's first axis, columns along all others. A run is rows one after another whose weights are equal
column by column: of a language model's machine the first position, and all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

Array = Any
Slab = tuple[slice, slice]  # points and rows
WHOLE: Slab = (slice(None), slice(None))
FEW = 4  # runs up to which a product with a row each costs little more than one with one
EQUAL = 1e-9  # of weights, relative: they were worked out row by row


@dataclass(frozen=True, eq=False)
class Columns:
    """Nodes of an array as rows × width; edges: where runs of rows begin, and the number of rows."""

    rows: int
    width: int
    edges: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], weights: Iterable[Array]) -> Columns:
        """Of nodes of a shape, with all weights (broadcastable to it) that will ever be asked for."""
        rows, width = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
        apart = np.zeros(max(0, rows - 1), bool)
        for weight in weights:
            if np.size(weight) > 1:
                each = np.broadcast_to(weight, shape).reshape(rows, width)
                apart |= (abs(np.diff(each, axis=0)) > EQUAL * abs(each[1:])).any(axis=1)
        return cls(rows, width, (0, *(1 + np.flatnonzero(apart)).tolist(), rows))

    @classmethod
    def joined(cls, several: Sequence[Columns], longest: int) -> Columns:
        """Runs of rows that are in one run of each, `longest` at most: for nodes that are read together."""
        rows, width = several[0].rows, several[0].width
        edges = sorted({edge for columns in several for edge in columns.edges})
        begins = (begin for a, b in pairwise(edges) for begin in range(a, b, longest))
        return cls(rows, width, (*begins, rows))

    @property
    def runs(self) -> int:
        return len(self.edges) - 1

    @property
    def sums(self) -> tuple[int, int]:
        """Shape of what is summed: (runs, width)."""
        return self.runs, self.width

    def first(self, weight: Array) -> Array:
        """A weight of each run and column, (runs, width), from one of each node; one number stays one."""
        if np.size(weight) == 1:
            return np.asarray(weight, float).reshape(1, 1)
        return np.asarray(weight, float).reshape(self.rows, self.width)[list(self.edges[:-1])]

    def spread(self, sums: Array, shape: tuple[int, ...]) -> Array:
        """Sums (batch, runs, width) as integrals of nodes (batch, *shape): each run's in its first row."""
        out = np.zeros((len(sums), self.rows, self.width))
        out[:, list(self.edges[:-1])] = sums
        return out.reshape(len(sums), *shape)

    def integral(self, values: Array, times: Times, at: Slab = WHOLE, rate: Array | None = None) -> Array:
        """∫ of values (batch, T, rows, width), points and rows those of a slab: (batch, runs, width).

        Where runs are few, rows and points are summed in one product, and a rate of each row (batch, T, rows) is in its
        matrix.
        """
        batch = len(values)
        if self.runs <= FEW:
            matrix = times.matrix(self)[:, *at]
            matrix = matrix if rate is None else matrix * rate[:, None]
            return matrix.reshape(*matrix.shape[:-2], -1) @ values.reshape(batch, -1, self.width)
        values = values if rate is None else values * rate[..., None]
        nodes = np.zeros((batch, self.rows, self.width), values.dtype)
        nodes[:, at[1]] = (times.weights[at[0]] @ values.reshape(*values.shape[:2], -1)).reshape(batch, -1, self.width)
        return nodes if self.runs == self.rows else np.add.reduceat(nodes, self.edges[:-1], axis=1)

    @cached_property
    def member(self) -> Array:
        """Which rows are in each run, (runs, rows)."""
        begins, ends = (np.array(edges)[:, None] for edges in (self.edges[:-1], self.edges[1:]))
        row = np.arange(self.rows)
        return ((row >= begins) & (row < ends)).astype(np.float32)


class Times:
    """Quadrature weights (T,) of points, and what columns make of them."""

    def __init__(self, weights: Array) -> None:
        self.weights = weights
        self._matrices: dict[tuple[int, ...], Array] = {}

    def matrix(self, columns: Columns) -> Array:
        """(runs, T, rows): a point's weight where the row is in the run."""
        if columns.edges not in self._matrices:
            self._matrices[columns.edges] = self.weights[:, None] * columns.member[:, None, :]
        return self._matrices[columns.edges]


def slabs(shape: tuple[int, ...], most: int) -> Iterator[Slab]:
    """Points and rows of values (batch, T, rows, …) in parts of about `most` numbers."""
    row = shape[0] * math.prod(shape[3:])
    rows = min(shape[2], max(1, most // row))
    points = max(1, most // (row * shape[2]))
    for point in range(0, shape[1], points):
        for first in range(0, shape[2], rows):
            yield slice(point, point + points), slice(first, first + rows)
