"""CUDA kernels compiled for the processor, one thread after another, so that their arithmetic is tested without a GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHIM = """
#include <cmath>
using std::copysign; using std::exp; using std::fabs; using std::fmax; using std::fmin;
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
struct Index { unsigned x, y; };
static Index blockIdx, threadIdx, blockDim = {1, 1}, gridDim;
static inline void __syncthreads() {}
static inline double __shfl_down_sync(unsigned, double, int) { return 0; }
static inline void atomicAdd(double* into, double value) { *into += value; }
"""
LAUNCH = """
extern "C" void launch(unsigned blocks, {parameters}) {{
    gridDim = {{blocks, 1}};
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) element({names});
}}
"""


class HostKernel:
    """Called as a `cupy.RawKernel` is, on NumPy arrays; every thread is a block of its own."""

    def __init__(self, source: str) -> None:
        self._launch = _library(source).launch

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        self._launch(ctypes.c_uint(grid[0] * block[0]), *(_passed(a) for a in arguments))


def _passed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    of_type = {"int32": ctypes.c_int, "int64": ctypes.c_longlong, "uint64": ctypes.c_void_p}
    of_type |= {"float32": ctypes.c_float, "float64": ctypes.c_double}
    plain = value.item()
    return of_type[value.dtype.name](plain)


@cache
def _library(source: str) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is missing: apt-get install g++ to test the GPU's kernels on the processor")
    head = source[source.index("void element(") :]
    parameters = " ".join(head[head.index("(") + 1 : head.index(")")].split())
    names = ", ".join(part.split()[-1].lstrip("*") for part in parameters.split(","))
    folder = Path(tempfile.mkdtemp())
    text = SHIM + source + LAUNCH.format(parameters=parameters, names=names)
    (folder / "kernel.cpp").write_text(text.replace("#pragma unroll", ""))
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(folder / "kernel.so"), str(folder / "kernel.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "kernel.so"))
