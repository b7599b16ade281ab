"""Matrix products on a GPU by cuBLAS itself.

CuPy's own refuse to be recorded in a CUDA graph and choose TF32 for a whole process; these do neither, and cost the
processor less. Its library and its handles are used.
"""

from __future__ import annotations

import ctypes
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

Array = Any
TF32: ContextVar[bool] = ContextVar("TF32", default=False)
"""Whether float32 products may round their factors to 11 bits."""
KINDS = {"float32": (0, 68, ctypes.c_float), "float64": (1, 70, ctypes.c_double)}  # data type, compute type, scalars
COMPUTE_TF32, DEFAULT_ALGORITHM = 77, -1
PLAIN, TRANSPOSED = 0, 1


@lru_cache(maxsize=1)
def _library() -> Any:
    import cupy

    _ = cupy.cuda.Device().cublas_handle  # loads it
    maps = Path("/proc/self/maps").read_text().splitlines()
    return ctypes.CDLL(next(line.split()[-1] for line in maps if "/libcublas.so" in line))


def product(a: Array, b: Array) -> Array:
    """a @ b of CuPy arrays (…, m, k) and (…, k, n) or (k, n)."""
    import cupy

    if a.dtype != b.dtype or a.dtype.name not in KINDS or a.ndim < 2 or b.ndim < 2:
        return a @ b
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if b.ndim == 2 and a.ndim > 2:
        return product(a.reshape(-1, k), b).reshape(*a.shape[:-1], n)
    lead = a.shape[:-2] if a.shape[:-2] == b.shape[:-2] else cupy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = cupy.empty((*lead, m, n), a.dtype)
    if not out.size:
        return out
    (a, lda, op_a, step_a), (b, ldb, op_b, step_b) = (_laid_out(x, lead) for x in (a, b))
    data, compute, scalar = KINDS[a.dtype.name]
    if compute == 68 and TF32.get():
        compute = COMPUTE_TF32
    one, zero = scalar(1.0), scalar(0.0)
    library, handle = _library(), ctypes.c_void_p(cupy.cuda.Device().cublas_handle)
    library.cublasSetStream_v2(handle, ctypes.c_void_p(cupy.cuda.get_current_stream().ptr))
    # in columns, as cuBLAS counts: outᵀ (n, m) = bᵀ aᵀ
    sizes, factors = (op_b, op_a, n, m, k, ctypes.byref(one)), (_pointer(b), data, ldb)
    if out.ndim == 2:
        status = library.cublasGemmEx(
            handle, *sizes, *factors, _pointer(a), data, lda, ctypes.byref(zero), _pointer(out), data, n, compute,
            DEFAULT_ALGORITHM,
        )  # fmt: skip
    else:
        status = library.cublasGemmStridedBatchedEx(
            handle, *sizes, *factors, ctypes.c_longlong(step_b), _pointer(a), data, lda, ctypes.c_longlong(step_a),
            ctypes.byref(zero), _pointer(out), data, n, ctypes.c_longlong(m * n), out.size // (m * n), compute,
            DEFAULT_ALGORITHM,
        )  # fmt: skip
    if status:
        raise RuntimeError(f"cuBLAS failed with status {status} on a product of {a.shape} and {b.shape}")
    return out


def _laid_out(x: Array, lead: tuple[int, ...]) -> tuple[Array, int, int, int]:
    """(x as it can be used, distance of its rows or columns, which of them, distance of its matrices)."""
    import cupy

    if x.ndim > 2 or lead:
        x = cupy.ascontiguousarray(cupy.broadcast_to(x, (*lead, *x.shape[-2:])))
    rows, columns = x.shape[-2:]
    by_row, by_column = (stride // x.itemsize for stride in x.strides[-2:])
    if x.ndim == 2:
        if (by_row == 1 or rows == 1) and by_column >= rows and columns > 1:
            return x, by_column, TRANSPOSED, 0
        if not ((by_column == 1 or columns == 1) and by_row >= columns):
            x = cupy.ascontiguousarray(x)
            by_row = columns
    return x, max(by_row, columns), PLAIN, rows * columns


def _pointer(x: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.data.ptr)
