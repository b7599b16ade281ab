"""Matrix products on a GPU by cuBLAS itself.

CuPy's own refuse to be recorded in a CUDA graph and choose TF32 for a whole process; these do neither, and cost the
processor less. Its library and its handles are used. Matrices are read, and written, where they lie, as long as their
rows or columns are neighbours in memory: heads side by side in a row of queries need no copy. Float32's are taken apart
where that pays and is asked for (`threefold.py`).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import threefold

Array = Any
TF32: ContextVar[bool] = ContextVar("TF32", default=False)
"""Whether float32 products may round their factors to 11 bits."""
THREEFOLD: ContextVar[int] = ContextVar("THREEFOLD", default=0)
"""From how many rows on float32 products are those of their factors' parts; 0: never."""
KINDS = {"float32": (0, 68, ctypes.c_float), "float64": (1, 70, ctypes.c_double)}  # data type, compute type, scalars
COMPUTE_TF32, DEFAULT_ALGORITHM = 77, -1
PLAIN, TRANSPOSED = 0, 1
ALIGNED, THREADS = 16, 128  # bytes, of matrices that are found by pointers

POINTERS = r"""
// Where the factors and the product of each pair of matrices lie: out (3, outer, inner), from the first ones at a, b, c
// and how many bytes apart the others are
extern "C" __global__ void pointers(
    const int count, const int inner, const unsigned long long a, const long long a_outer, const long long a_inner,
    const unsigned long long b, const long long b_outer, const long long b_inner, const unsigned long long c,
    const long long c_outer, const long long c_inner, unsigned long long* out)
{
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= count) return;
    const int n = k / inner, m = k - n * inner;
    out[k] = a + n * a_outer + m * a_inner;
    out[count + k] = b + n * b_outer + m * b_inner;
    out[2 * count + k] = c + n * c_outer + m * c_inner;
}
"""


@lru_cache(maxsize=1)
def _library() -> Any:
    import cupy

    _ = cupy.cuda.Device().cublas_handle  # loads it
    maps = Path("/proc/self/maps").read_text().splitlines()
    return ctypes.CDLL(next(line.split()[-1] for line in maps if "/libcublas.so" in line))


@lru_cache(maxsize=1)
def _pointers_kernel() -> Any:
    import cupy

    return cupy.RawKernel(POINTERS, "pointers")


def product(a: Array, b: Array, out: Array | None = None, scale: float = 1.0) -> Array:
    """scale a @ b of CuPy arrays (…, m, k) and (…, k, n) or (k, n); out (…, m, n): where to, else new memory."""
    import cupy

    if a.dtype != b.dtype or a.dtype.name not in KINDS or a.ndim < 2 or b.ndim < 2:
        found = cupy.matmul(a, b, out=out)
        if scale != 1.0:
            found *= scale
        return found
    if out is None and b.ndim == 2 and a.ndim > 2:
        return product(a.reshape(-1, a.shape[-1]), b, scale=scale).reshape(*a.shape[:-1], b.shape[-1])
    lead = a.shape[:-2] if a.shape[:-2] == b.shape[:-2] else cupy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    taken = in_parts(a, b) and threefold.quick(cupy.cuda.Device().id)
    into = _made(lead, a, b, taken or TF32.get()) if out is None else out
    if not into.size:
        return into
    a, b = (x if matrix(x) else cupy.ascontiguousarray(x) for x in (a, b))
    axes = stacked(lead, a, b, into)
    if taken and not axes and matrix(into, 1):
        first, second = (x[(0,) * (x.ndim - 2)] for x in (a, b))
        for part in threefold.spans(a.shape[-1]):
            taken_apart = threefold.parts(first[:, part]), threefold.parts(second[part].T, True).T
            _multiply(*taken_apart, into, axes, scale, rounded=True, onto=part.start > 0)
        return into
    if matrix(into, 1) and (len(axes) < 2 or (len(axes) == 2 and all(map(_aligned, (a, b, into))))):
        _multiply(a, b, into, axes, scale, rounded=TF32.get())
        return into
    a, b = (cupy.ascontiguousarray(cupy.broadcast_to(x, (*lead, *x.shape[-2:]))) for x in (a, b))
    into[...] = product(a, b, scale=scale)
    return into


def _made(lead: Sequence[int], a: Array, b: Array, rounded: bool) -> Array:
    """New memory for a product. Matrix units want rows that begin at multiples of 16 bytes: many rows may therefore lie
    further apart than they are long."""
    import cupy

    rows, columns, step = a.shape[-2], b.shape[-1], ALIGNED // a.itemsize
    wide = -(-columns // step) * step if rounded and rows >= (THREEFOLD.get() or threefold.ROWS) else columns
    return cupy.empty((*lead, rows, wide), a.dtype)[..., :columns]


def in_parts(a: Array, b: Array) -> bool:
    """Whether a product a @ b is that of parts, if the GPU's matrix units are quick."""
    least = 0 if TF32.get() else THREEFOLD.get()
    asked = least > 0 and a.dtype.name == b.dtype.name == "float32"
    return asked and threefold.pays(a.shape[-2], a.shape[-1], b.shape[-1], least)


def matrix(x: Array, ways: int = 2) -> tuple[int, int] | None:
    """(numbers from row to row, PLAIN) of matrices (…, m, n) whose rows are neighbours in memory, (from column to
    column, TRANSPOSED) of those whose columns are, unless `ways` is 1; None of others."""
    rows, columns = x.shape[-2:]
    by_row, by_column = (stride // x.itemsize for stride in x.strides[-2:])
    if (by_column == 1 or columns == 1) and (by_row >= columns or rows == 1):
        return (columns if rows == 1 else by_row), PLAIN
    if ways == 2 and (by_row == 1 or rows == 1) and by_column >= rows:
        return by_column, TRANSPOSED
    return None


def stacked(lead: Sequence[int], *arrays: Array) -> list[tuple[int, ...]]:
    """Axes of stacks of matrices whose leading shapes broadcast to `lead`: (length, bytes from one to the next of each
    array), those that can be counted through together as one."""
    steps = []
    for x in arrays:
        own = (1,) * (len(lead) + 2 - x.ndim) + x.shape[:-2]
        far = (0,) * (len(lead) + 2 - x.ndim) + x.strides[:-2]
        steps.append([0 if n == 1 else step for n, step in zip(own, far, strict=True)])
    axes: list[tuple[int, ...]] = []
    for n, *step in zip(lead, *steps, strict=True):
        if axes and axes[-1][1:] == tuple(n * each for each in step):
            axes[-1] = (axes[-1][0] * n, *step)
        elif n > 1:
            axes.append((n, *step))
    return axes


def _aligned(x: Array) -> bool:
    """Whether every matrix, and every row or column of one, begins where the GPU reads fastest."""
    found = matrix(x)
    assert found is not None
    return all(step % ALIGNED == 0 for step in (x.data.ptr, found[0] * x.itemsize, *x.strides[:-2]))


def _multiply(
    a: Array, b: Array, out: Array, axes: list[tuple[int, ...]], scale: float, *, rounded: bool, onto: bool = False
) -> None:
    """By the call that counts through so many axes of matrices: none, one, or two; rounded: factors to 11 bits; onto:
    added to what is there."""
    import cupy

    (lda, op_a), (ldb, op_b), (ldc, _) = (matrix(x) or (0, 0) for x in (a, b, out))
    data, compute, scalar = KINDS[a.dtype.name]
    if compute == 68 and rounded:
        compute = COMPUTE_TF32
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    one, before = ctypes.byref(scalar(scale)), ctypes.byref(scalar(onto))
    library, handle = _library(), ctypes.c_void_p(cupy.cuda.Device().cublas_handle)
    library.cublasSetStream_v2(handle, ctypes.c_void_p(cupy.cuda.get_current_stream().ptr))
    sizes, how = (op_b, op_a, n, m, k, one), (compute, DEFAULT_ALGORITHM)  # in columns, as cuBLAS counts: outᵀ = bᵀ aᵀ
    at = [ctypes.c_void_p(x.data.ptr) for x in (a, b, out)]
    if not axes:
        status = library.cublasGemmEx(
            handle, *sizes, at[1], data, ldb, at[0], data, lda, before, at[2], data, ldc, *how
        )  # fmt: skip
    elif len(axes) == 1:
        count = axes[0][0]
        to_a, to_b, to_c = (ctypes.c_longlong(step // a.itemsize) for step in axes[0][1:])
        status = library.cublasGemmStridedBatchedEx(
            handle, *sizes, at[1], data, ldb, to_b, at[0], data, lda, to_a, before, at[2], data, ldc, to_c, count, *how
        )  # fmt: skip
    else:
        found = _pointers((a, b, out), axes)  # held until the launch is under way
        at = [ctypes.c_void_p(row.data.ptr) for row in found]
        status = library.cublasGemmBatchedEx(
            handle, *sizes, at[1], data, ldb, at[0], data, lda, before, at[2], data, ldc, found.shape[1], *how
        )  # fmt: skip
    if status:
        raise RuntimeError(f"cuBLAS failed with status {status} on a product of {a.shape} and {b.shape}")


def _pointers(arrays: Sequence[Array], axes: list[tuple[int, ...]]) -> Array:
    """Addresses (3, count) of the matrices of three stacks, on the device."""
    import cupy
    import numpy as np

    (outer, *far), (inner, *near) = axes
    count = math.prod((outer, inner))
    found = cupy.empty((3, count), np.uint64)
    places = [
        number
        for x, apart, step in zip(arrays, far, near, strict=True)
        for number in (np.uint64(x.data.ptr), np.int64(apart), np.int64(step))
    ]
    arguments = (np.int32(count), np.int32(inner), *places, found)
    _pointers_kernel()((-(-count // THREADS),), (THREADS,), arguments)
    return found
