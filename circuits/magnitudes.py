"""Sums of magnitudes over runs of nodes, Σ_(t in run) s_t |x_t|: on a GPU in one pass, whatever the order of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from .arrays import module_of

Array = Any
THREADS = 256
BYTES = 16  # that a thread reads at once

SOURCE = r"""
template <int N> struct alignas(N * sizeof(REAL)) Pack { REAL of[N]; };

// Of N neighbours in x and out, SIGNED or not: what is not has several reads under way
template <int N, bool SIGNED> static __device__ __forceinline__ void sum(
    const REAL* at, const long long by_first, const long long by_second, const int n, int second, const int count,
    const REAL* sign, const int inner, REAL* out)
{
    Pack<N> total = {};
#pragma unroll 8
    for (int t = 0; t < count; ++t) {
        const Pack<N> value = *(const Pack<N>*)at;
#pragma unroll
        for (int v = 0; v < N; ++v) total.of[v] += SIGNED ? fabs(value.of[v]) * sign[v] : fabs(value.of[v]);
        if (SIGNED) sign += inner;
        at += by_second;
        if (++second == n) second = 0, at += by_first - n * by_second;
    }
    *(Pack<N>*)out = total;
}

// x: from one to the next of its axes outer, summed (two, the second n long), points and inner; signs (outer, summed,
// inner), or null; edges: where runs begin; out (outer, runs, points, inner), `chunks` blocks for each run; packed:
// PACK neighbours can be read at once
extern "C" __global__ void magnitudes(
    const int chunks, const int packed, const int runs, const int points, const int inner, const int n,
    const long long by_outer, const long long by_first, const long long by_second, const long long by_point,
    const long long by_inner, const int* edges, const REAL* x, const REAL* signs, REAL* out)
{
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, row = thread / THREADS / chunks;
    const unsigned a = row / runs, run = row - a * runs, j = (thread - row * chunks * THREADS) * (packed ? PACK : 1);
    if (j >= (unsigned)(points * inner)) return;
    const unsigned k = j / inner, i = j - k * inner;
    const int begin = edges[run], count = edges[run + 1] - begin, first = begin / n, second = begin - first * n;
    const REAL* const at = x + a * by_outer + k * by_point + i * by_inner + first * by_first + second * by_second;
    const REAL* const sign = signs ? signs + ((long long)a * edges[runs] + begin) * inner + i : 0;
    REAL* const to = out + (long long)row * points * inner + j;
    if (sign && packed) sum<PACK, true>(at, by_first, by_second, n, second, count, sign, inner, to);
    else if (sign) sum<1, true>(at, by_first, by_second, n, second, count, sign, inner, to);
    else if (packed) sum<PACK, false>(at, by_first, by_second, n, second, count, sign, inner, to);
    else sum<1, false>(at, by_first, by_second, n, second, count, sign, inner, to);
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
    if len(edges) == size.shape[1] + 1:
        return size
    out = np.empty((len(size), len(edges) - 1, *size.shape[2:]), x.dtype)
    for run, (begin, end) in enumerate(pairwise(edges.tolist())):  # many times faster than reduceat
        size[:, begin:end].sum(axis=1, out=out[:, run])
    return out


def launched(x: Array, axes: tuple[int, int, int], edges: Array, signs: Array | None) -> Array:
    """The same by one launch."""
    steps = [step // x.itemsize for step in x.strides]
    parts = zip(_parts(x.shape, axes), _parts(steps, axes), strict=True)
    outer, summed, inner = (_together(*each) for each in parts)
    if len(outer) > 1 or len(summed) > 2 or len(inner) > 1:
        return launched(module_of(x).ascontiguousarray(x), axes, edges, signs)
    points, by_point = x.shape[-1 - axes[2]], steps[-1 - axes[2]]
    (count, by_outer), (width, by_inner) = (*outer, (1, 0))[0], (*inner, (1, 0))[0]
    (_, by_first), (n, by_second) = ((1, 0), (1, 0), *summed)[-2:]
    along, pack = (by_outer, by_first, by_second, by_point, by_inner), BYTES // x.itemsize
    packed = by_inner == 1 and not any(step % pack for step in (width, *along[:-1])) and _address(x) % BYTES == 0
    chunks = -(-points * width // (THREADS * (pack if packed else 1)))
    out = module_of(x).empty((count, len(edges) - 1, points, width), x.dtype)
    sizes = (chunks, packed, out.shape[1], points, width, n)
    arguments = (
        *map(np.int32, sizes), *map(np.int64, along), edges, x, np.uint64(0) if signs is None else signs, out,
    )  # fmt: skip
    kernel(x.dtype.name)((count * out.shape[1] * chunks,), (THREADS,), arguments)
    return out


def _address(x: Array) -> int:
    return int(x.data.ptr if hasattr(x.data, "ptr") else x.ctypes.data)


@lru_cache(maxsize=2)
def kernel(dtype: str) -> Any:
    """`SOURCE` for numbers of a type, ready to be launched."""
    import cupy

    return cupy.RawKernel(source(dtype), "magnitudes")


def source(dtype: str) -> str:
    """`SOURCE` for numbers of a type."""
    real, size = ("float", 4) if dtype == "float32" else ("double", 8)
    return f"#define REAL {real}\n#define PACK {BYTES // size}\n#define THREADS {THREADS}\n" + SOURCE


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
