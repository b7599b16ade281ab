"""CUDA kernels compiled for the processor, one thread after another: their arithmetic is tested without a GPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHIM = """
#include <cmath>
#define __CUDA_ARCH__ 900
using std::copysign; using std::exp; using std::expm1; using std::fabs; using std::fmax; using std::fmin;
using std::log; using std::log1p; using std::sqrt;
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __constant__
#define __launch_bounds__(...)
struct Index { unsigned x, y; };
static Index blockIdx, threadIdx, blockDim = {1, 1};
static inline void __syncthreads() {}
template <class T> static inline T __ldg(const T* at) { return *at; }
static inline double __shfl_down_sync(unsigned, double, int) { return 0; }
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int) { return value; }
static inline void atomicAdd(double* into, double value) { *into += value; }
static inline void atomicAdd(unsigned long long* into, unsigned long long value) { *into += value; }
static inline void atomicMax(long long* into, long long value) { if (value > *into) *into = value; }
static inline int __reduce_max_sync(unsigned, int value) { return value; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline int __float_as_int(float x) { int bits; __builtin_memcpy(&bits, &x, 4); return bits; }
static inline float __int_as_float(int bits) { float x; __builtin_memcpy(&x, &bits, 4); return x; }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
static inline double __longlong_as_double(long long bits) { double x; __builtin_memcpy(&x, &bits, 8); return x; }
static inline long long __double_as_longlong(double x) { long long bits; __builtin_memcpy(&bits, &x, 8); return bits; }
"""
LAUNCH = """
extern "C" void launch(unsigned blocks, unsigned lines, {parameters}) {{
    for (blockIdx.y = 0; blockIdx.y < lines; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {kernel}({names});
}}
"""


ALONE = threading.Lock()  # a kernel's indices are static


class HostKernel:
    """Called as a `cupy.RawKernel` is, on NumPy arrays; every thread is a block of its own."""

    def __init__(self, source: str, name: str) -> None:
        library, self._kinds = _library(source, name)
        self._launch = library.launch

    def compile(self) -> None:
        """It is already."""

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        blocks, lines = (*grid, 1)[:2]
        with ALONE:
            self._launch(ctypes.c_uint(blocks * block[0]), ctypes.c_uint(lines), *map(_passed, arguments, self._kinds))


def _passed(value: Any, kind: str) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.names:  # a struct, by value
        return _struct(value.dtype["at"].base.str[1:], value.nbytes).from_buffer_copy(value.tobytes())
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    of_type = {"int32": ctypes.c_int, "int64": ctypes.c_longlong, "uint64": ctypes.c_void_p}
    of_type |= {"float32": ctypes.c_float, "float64": ctypes.c_double}
    plain = value.item()
    return of_type[value.dtype.name](plain)


@cache
def _struct(kind: str, size: int) -> Any:
    number = {"f4": ctypes.c_float, "f8": ctypes.c_double, "i8": ctypes.c_longlong}[kind]
    return type("Struct", (ctypes.Structure,), {"_fields_": [("at", number * (size // ctypes.sizeof(number)))]})


@cache
def _library(source: str, name: str) -> tuple[ctypes.CDLL, list[str]]:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is missing: apt-get install g++ to test the GPU's kernels on the processor")
    head = source[source.index(f"void {name}(") :]
    parameters = " ".join(head[head.index("(") + 1 : head.index(")")].split())
    names = ", ".join(part.split()[-1].lstrip("*") for part in parameters.split(","))
    text = SHIM + source + LAUNCH.format(kernel=name, parameters=parameters, names=names)
    with tempfile.TemporaryDirectory() as folder:  # what is loaded no longer needs its file
        written, built = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
        written.write_text(text)
        # C++14: later standards' <cmath> takes three times as long to read as all else takes
        command = [compiler, "-std=c++14", "-O1", "-shared", "-fPIC", "-o", str(built), str(written)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(built)), [part.strip() for part in parameters.split(",")]


def eleven_bits(x: np.ndarray) -> np.ndarray:
    """Rounded as the matrix units of TF32 read it, in float64."""
    mantissa, exponent = np.frexp(x.astype(float))
    return np.ldexp(np.round(mantissa * 2.0**11), exponent - 11)
