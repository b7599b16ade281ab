"""Passes over large matrices, some rows at a time on every core: none makes a copy of the whole in another type.

What a pass returns depends on how rows are cut, not on how many cores there are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

Array = Any
Found = TypeVar("Found")
TOGETHER = 1 << 17  # numbers worked on at a time: they stay in the cache
FEW = 1 << 20  # numbers of a matrix that is not worth a thread


def by_rows(work: Callable[[slice], Found], shape: tuple[int, ...]) -> list[Found]:
    """work(rows) for successive slices that together are all rows of an array of `shape`, in order."""
    width = math.prod(shape[1:])
    step = max(1, TOGETHER // max(1, width))
    parts = [slice(begin, min(begin + step, shape[0])) for begin in range(0, shape[0], step)]
    if shape[0] * width < FEW or len(parts) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(work, parts))


def once(array: Array) -> Array:
    """An array without what it repeats along axes that it is broadcast over."""
    return array[tuple(slice(None) if stride else slice(0, 1) for stride in array.strides)]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def distinct(x: Array) -> tuple[Array, Array]:
    """(distinct rows (k, n) of x (…, n), which of them each row is): positions mostly share their units."""
    rows = x.reshape(-1, x.shape[-1])
    first: dict[bytes, int] = {}
    which = [first.setdefault(row.tobytes(), len(first)) for row in rows]
    return rows[np.unique(which, return_index=True)[1]], np.array(which)


def row_peaks(matrix: Array, scales: Array) -> Array:
    """max_j |matrix_ij| scale_j of each row i, (k, rows) for each of scales (k, columns)."""

    def peaks(rows: slice) -> Array:
        w = np.abs(matrix[rows], dtype=float)
        return np.stack([(w * scale).max(axis=1) for scale in scales])

    return np.concatenate(by_rows(peaks, matrix.shape), axis=1)
