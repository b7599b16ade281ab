"""The array module of an array: NumPy, or the GPU's that works alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = Any
PIECE = 1 << 15  # numbers of an array: a handful of such pieces stay in a processor's cache


def module_of(x: Array) -> Any:
    """numpy, or the module whose array x is (cupy)."""
    if isinstance(x, np.ndarray | np.generic | float | int):
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def on_host(x: Array) -> Array:
    """The array as NumPy's, once the work queued on the current stream is done."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def real(value: Array) -> Array:
    """Numbers in floating point: what is worked out in whole ones, such as a chip's errors, would be rounded away.

    >>> real(1), real([1, 2])
    (1.0, array([1., 2.]))
    """
    if isinstance(value, int | np.integer):
        return float(value)
    value = np.asarray(value) if isinstance(value, list | tuple) else value
    return value.astype(float) if isinstance(value, np.ndarray) and value.dtype.kind in "biu" else value


def pieces(*arrays: Array, row: int | None = None) -> Iterator[tuple[Array, ...]]:
    """Contiguous arrays of one size side by side, a piece at a time on a processor, whole on a GPU; what is written
    into a piece is in its array. Single numbers come with every piece. Pieces are flat, or whole rows of so many
    numbers.

    >>> [a.tolist() for a, _ in pieces(np.ones((2, 2)), np.array(3.0))]
    [[1.0, 1.0, 1.0, 1.0]]
    >>> [a.tolist() for (a,) in pieces(np.ones((1, 2, 2)), row=2)]
    [[[1.0, 1.0], [1.0, 1.0]]]
    """
    shape = (-1,) if row is None else (-1, row)
    flat = [each.reshape(shape) if getattr(each, "ndim", 0) else each for each in arrays]
    size = max(len(each) if getattr(each, "ndim", 0) else 1 for each in flat)
    step = max(1, PIECE // (row or 1) if module_of(flat[0]) is np else size)
    for begin in range(0, size, step):
        yield tuple(each[begin : begin + step] if getattr(each, "ndim", 0) else each for each in flat)


def matmul(a: Array, b: Array, out: Array | None = None, scale: float = 1.0) -> Array:
    """scale a @ b: (…, m, k) and (…, k, n) or (k, n); out (…, m, n): where to, else new memory."""
    if module_of(a) is np:
        found = np.matmul(a, b, out=out)
        if scale != 1.0:
            found *= scale
        return found
    from .cublas import product

    return product(a, b, out, scale)
