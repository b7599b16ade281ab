"""Logarithms of sums of exponentials on a GPU, a warp a row: what array operations would read and write five times."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.cells.term import LogSum
from ..circuits.circuit import Circuit
from . import kernels
from .backend import Backend

Array = Any
SOURCE = r"""
struct Table { long long at[2 * (VALUES + 1)]; };
#define OF(k, i) (((const REAL*)table.at[2 * (k)])[table.at[2 * (k) + 1] * (i)])
#define V(k) OF(k, i)

// out (rows) = top + ln share Σ e^(z − top) over the `width` numbers of each row, `lanes` threads a row. A sample has
// `each` numbers, which are the numbers `index` of its `apart` in `from`; null: its numbers in order
extern "C" __global__ void log_sum(
    const long long rows, const int width, const int lanes, const long long each, const long long apart,
    const REAL* __restrict__ from, const int* __restrict__ index, const Table table, REAL* __restrict__ out)
{
    const long long at = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / lanes;
    const int lane = threadIdx.x % lanes;
    if (at >= rows) return;
    const long long begin = at * width, sample = begin / each, first = begin - sample * each;
    REAL top = (REAL)-1e37, sum = 0;
    for (int turn = 0; turn < 2; ++turn) {
        REAL found = turn ? (REAL)0 : top;
        for (int n = lane; n < width; n += lanes) {
            const long long i = first + n;
            const REAL r0 = __ldg(from + sample * apart + (index ? index[i] : i));
            const REAL z = LAW;
            found = turn ? found + exp(z - top) : fmax(found, z);
        }
        for (int other = lanes / 2; other > 0; other /= 2) {
            const REAL theirs = __shfl_xor_sync(0xffffffffu, found, other);
            found = turn ? found + theirs : fmax(found, theirs);
        }
        if (turn) sum = found;
        else top = found;
    }
    if (lane == 0) out[at] = top + log(sum * OF(VALUES, first / width));
}
"""


class FusedLogSum:
    """A cell's `drive` by a kernel."""

    def __init__(self, cell: LogSum, circuit: Circuit, backend: Backend) -> None:
        self.backend, self.array = backend, cell.read.array
        shape = circuit.arrays[self.array].shape
        self.apart = math.prod(shape)
        index = cell.read.of(np.arange(self.apart).reshape(1, *shape))[0]
        self.shape, self.index = index.shape, None
        if not np.array_equal(index.reshape(-1), np.arange(self.apart)):
            self.index = backend.xp.asarray(np.ascontiguousarray(index.reshape(-1), np.int32))
        self.values = [kernels.spread(backend, value, self.shape) for value in cell.values]
        self.values.append(kernels.spread(backend, cell.share, (*self.shape[:-1], 1)))
        self.table = kernels.tabled(backend, self.values)
        law = re.sub(r"\bv(\d)\b", r"V(\1)", cell.law)
        source = f"#define LAW {law}\n#define VALUES {len(cell.values)}\n" + SOURCE
        self.kernel = backend.kernel(kernels.defines(backend.dtype) + source, "log_sum")
        self.lanes = 32 if backend.kind == "cupy" else 1

    def drive(self, x: Mapping[str, Array]) -> Array:
        """As `Term.drive`."""
        xp, values = self.backend.xp, self.backend.xp.ascontiguousarray(x[self.array])
        out = xp.empty((len(values), *self.shape[:-1], 1), values.dtype)
        index = kernels.NOTHING if self.index is None else self.index
        arguments = (
            np.int64(out.size), np.int32(self.shape[-1]), np.int32(self.lanes), np.int64(math.prod(self.shape)),
            np.int64(self.apart), values, index, self.table, out,
        )  # fmt: skip
        self.kernel(kernels.blocks(out.size * self.lanes), (kernels.THREADS,), arguments)
        return out
