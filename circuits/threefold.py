"""Float32 products of many rows on matrix units that round their factors to 11 bits (TF32): three for one.

    x = h + l,      h: x rounded to 11 bits,  l = x − h exactly, 13 bits
    a b ≈ l_a h_b + h_a l_b + h_a h_b        left out: l_a l_b, and 2 bits of l: 2⁻²² of |a| |b|

as one product of three times the length, the small parts first: [l h h]_a [h l h]_bᵀ (Ootomo & Yokota 2022). Sums are
kept in float32 but rounded towards 0 every few numbers, so the error grows with their length: some 1e-5 of a product's
rms over a thousand numbers, a few times that of float32's own. What is longer than `LONGEST` is therefore added up of
shorter products. Unlike rounded factors, of which a small change makes none or a step of 2⁻¹⁰, parts are smooth: a deep
machine comes to rest as near its operating point as in float32.

Taking apart reads and writes 28 bytes a number of either factor. Of many rows R what a number of the matrix costs is

    2R/F₁ in float32,    6R/F₃ + 28 bytes/B in parts        F FLOP/s, B bytes/s

so with an H200's 50 and 400 TFLOP/s and 4 TB/s parts pay from R = 280 on. Operating points, a product each of as many
rows as there are positions, are taken apart from less on: where a machine rests is to be found by the arithmetic that
it relaxes by.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

Array = Any
FEW, ROWS = 1 << 7, 1 << 14  # rows from which on products are taken apart in precision tf32x3, and under noise
COLUMNS, LENGTH = 512, 256  # of a product from which on three are faster than one, splitting included
LONGEST = 1 << 11  # numbers of a sum
QUICK = ("80", "90", "100", "103")  # compute capabilities whose matrix units are many times as fast as the others
THREADS = 256

PARTS = r"""
// The parts of numbers (rows, columns), `down` and `along` apart, side by side: (rows, 3 columns). second: in a product
extern "C" __global__ void parts(
    const int rows, const int columns, const long long down, const long long along, const int second,
    const float* from, float* out)
{
    const unsigned across = (columns + blockDim.x - 1) / blockDim.x, row = blockIdx.x / across;  // blocks of a row
    const unsigned column = (blockIdx.x - row * across) * blockDim.x + threadIdx.x;
    if (row >= (unsigned)rows || column >= (unsigned)columns) return;
    const float x = from[row * down + column * along];
    const float high = __int_as_float((__float_as_int(x) + 0x1000) & ~0x1FFF), low = x - high;
    float* const to = out + 3LL * row * columns + column;
    to[0] = second ? high : low, to[columns] = second ? low : high, to[2 * columns] = high;
}
"""


def pays(rows: int, length: int, columns: int, least: int) -> bool:
    """Whether a float32 product (rows, length) (length, columns) is to be taken as three, where those of `least` rows
    are."""
    return rows >= least and columns >= COLUMNS and length >= LENGTH


def spans(length: int) -> list[slice]:
    """What of a sum is summed at once."""
    return [slice(at, min(at + LONGEST, length)) for at in range(0, length, LONGEST)]


@lru_cache(maxsize=8)
def quick(device: int) -> bool:
    """Whether a GPU's matrix units are."""
    import cupy

    return cupy.cuda.Device(device).compute_capability in QUICK


def parts(x: Array, second: bool = False) -> Array:
    """The parts of a float32 matrix (rows, columns), side by side: (rows, 3 columns)."""
    import cupy
    import numpy as np

    rows, columns = x.shape
    out = cupy.empty((rows, 3 * columns), np.float32)
    down, along = (np.int64(stride // x.itemsize) for stride in x.strides)
    arguments = (np.int32(rows), np.int32(columns), down, along, np.int32(second), x, out)
    _kernel()((rows * -(-columns // THREADS),), (THREADS,), arguments)
    return out


@lru_cache(maxsize=1)
def _kernel() -> Any:
    import cupy

    return cupy.RawKernel(PARTS, "parts")
