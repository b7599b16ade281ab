"""Sums of magnitudes over runs of nodes, Σ_(t in run) s_t |x_t|: on a GPU in one pass, whatever the order of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .arrays import module_of

Array = Any
THREADS = 256

SOURCE = r"""
// x: from one to the next of its axes outer, summed (two, the second n long), points and inner; signs (outer, summed,
// inner), or null; edges: where runs begin; out (outer, runs, points, inner)
extern "C" __global__ void magnitudes(
    const int count, const int runs, const int points, const int inner, const int n, const long long by_outer,
    const long long by_first, const long long by_second, const long long by_point, const long long by_inner,
    const int* edges, const REAL* x, const REAL* signs, REAL* out)
{
    const unsigned j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= (unsigned)count) return;
    const unsigned i = j % inner, line = j / inner, k = line % points, r = line / points, run = r % runs, a = r / runs;
    const REAL* const at = x + a * by_outer + k * by_point + i * by_inner;
    const long long first = (long long)a * edges[runs];
    REAL sum = 0;
#pragma unroll 8
    for (int t = edges[run]; t < edges[run + 1]; ++t) {
        const int t1 = t / n, t2 = t - t1 * n;
        const REAL size = fabs(at[t1 * by_first + t2 * by_second]);
        sum += signs ? size * signs[(first + t) * inner + i] : size;
    }
    out[j] = sum;
}
"""


def magnitudes(x: Array, axes: tuple[int, int, int], edges: Array, signs: Array | None = None) -> Array:
    """Σ |x| over runs, (outer, runs, points, inner), of x (*outer, *summed, points, *inner).

    axes: how many are outer, summed and inner; edges (runs + 1,): where runs of the summed nodes, counted through all
    their axes, begin, and how many there are; signs: of each |x|, in x's shape with one point.
    """
    if module_of(x) is not np:
        return launched(x, axes, edges, signs)
    outer, summed, inner = _parts(x.shape, axes)
    shape = math.prod(outer), math.prod(summed), -1, math.prod(inner)
    size = np.abs(x, out=np.empty(x.shape, x.dtype)).reshape(shape)
    if signs is not None:
        size *= signs.reshape(shape)
    return size if len(edges) == size.shape[1] + 1 else np.add.reduceat(size, edges[:-1], axis=1)


def launched(x: Array, axes: tuple[int, int, int], edges: Array, signs: Array | None) -> Array:
    """The same by one launch."""
    steps = [step // x.itemsize for step in x.strides]
    lengths, along = _parts(x.shape, axes), _parts(steps, axes)
    outer, summed, inner = (_together(*each) for each in zip(lengths, along, strict=True))
    xp, points = module_of(x), x.ndim - 1 - axes[2]
    if len(outer) > 1 or len(summed) > 2 or len(inner) > 1:
        return launched(xp.ascontiguousarray(x), axes, edges, signs)
    (count, by_outer), (width, by_inner) = (*outer, (1, 0))[0], (*inner, (1, 0))[0]
    (_, by_first), (n, by_second) = ((1, 0), (1, 0), *summed)[-2:]
    out = xp.empty((count, len(edges) - 1, x.shape[points], width), x.dtype)
    arguments = (
        np.int32(out.size), np.int32(out.shape[1]), np.int32(out.shape[2]), np.int32(width), np.int32(n),
        *map(np.int64, (by_outer, by_first, by_second, steps[points], by_inner)), edges, x,
        np.uint64(0) if signs is None else signs, out,
    )  # fmt: skip
    kernel(x.dtype.name)((-(-out.size // THREADS),), (THREADS,), arguments)
    return out


@lru_cache(maxsize=2)
def kernel(dtype: str) -> Any:
    """`SOURCE` for numbers of a type, ready to be launched."""
    import cupy

    return cupy.RawKernel(source(dtype), "magnitudes")


def source(dtype: str) -> str:
    """`SOURCE` for numbers of a type."""
    return f"#define REAL {'float' if dtype == 'float32' else 'double'}\n" + SOURCE


def _parts(each: Sequence[int], axes: tuple[int, int, int]) -> tuple[Sequence[int], ...]:
    """What belongs to axes outer, summed and inner."""
    outer, summed, inner = axes
    return each[:outer], each[outer : outer + summed], each[len(each) - inner :]


def _together(lengths: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """(Length, step) of axes, those that can be counted through as one."""
    found: list[tuple[int, int]] = []
    for n, step in zip(lengths, steps, strict=True):
        if found and found[-1][1] == n * step:
            found[-1] = (found[-1][0] * n, step)
        elif n > 1:
            found.append((n, step))
    return found
