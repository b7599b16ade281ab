"""Cells that sum over rows, on a GPU: one kernel a cell, a warp a row, where array operations would pass many times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.cells.term import Rows, View
from ..circuits.circuit import Circuit
from . import kernels

Array = Any

ROWS = r"""
// Row by row, of what a cell states as `Rows`. table: (address, numbers from instant to instant) of each read, then
// (address, numbers from row to row, from column to column) of each value and of the share
struct RowTable { long long at[2 * READS + 3 * (VALUES + 1)]; };
#define R(n) __ldg((const REAL*)table.at[2 * (n)] + table.at[2 * (n) + 1] * instant + within + column)
#define VALUE(k, column) (((const REAL*)table.at[k])[table.at[(k) + 1] * node + table.at[(k) + 2] * (column)])
#define V(n) VALUE(2 * READS + 3 * (n), column)

extern "C" __global__ void rows(
    const int count, const int nodes, const int width, const RowTable table, const REAL leak, REAL* out)
{
    const unsigned lanes = min(blockDim.x, 32u), thread = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned row = thread / lanes, lane = thread - row * lanes;
    if (row >= (unsigned)count) return;  // a warp as one
    const unsigned instant = row / (unsigned)nodes, node = row - instant * nodes;
    const long long within = (long long)node * width;
    REAL sum = 0;
#if LOGARITHM
    REAL top = ABSENT;
#pragma unroll 4
    for (int column = lane; column < width; column += lanes) top = fmax(top, LAW_OF_ROW);
    for (int far = lanes / 2; far > 0; far /= 2) top = fmax(top, __shfl_xor_sync(0xffffffffu, top, far));
#pragma unroll 4
    for (int column = lane; column < width; column += lanes) {
        const REAL z = LAW_OF_ROW;
        sum += exp(z - top) + (z > ABSENT / 2 ? leak : (REAL)0);
    }
#else
#pragma unroll 4
    for (int column = lane; column < width; column += lanes) sum += LAW_OF_ROW;
#endif
    for (int far = lanes / 2; far > 0; far /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, far);
    if (lane != 0) return;
    sum *= VALUE(2 * READS + 3 * VALUES, 0);
#if LOGARITHM
    sum = log(sum) + top;
#endif
    out[row] = sum;
}
"""


def rows_source(dtype: Any, rows: Rows) -> str:
    """Source of `rows`."""
    law = kernels.renamed(rows.law, 0, 0)
    sizes = f"#define READS {len(rows.reads)}\n#define VALUES {len(rows.values)}\n"
    kind = f"#define LOGARITHM {int(rows.logarithm)}\n#define ABSENT ((REAL){rows.absent!r})\n"
    return kernels.defines(dtype) + sizes + kind + f"#define LAW_OF_ROW ({law})\n" + ROWS


class FusedRows:
    """A cell's `Rows`, ready: what the kernel reads of them on the device. shape: of the nodes that it drives."""

    def __init__(self, rows: Rows, circuit: Circuit, shape: tuple[int, ...], backend: Any) -> None:
        self.rows, self.shape, self.backend = rows, shape, backend
        self.nodes = math.prod(shape)
        of_view = _shape(rows.reads[0], circuit)
        self.width = math.prod(of_view) // self.nodes
        self._values = [self._placed(value, of_view) for value in rows.values]
        share = backend.array(rows.share)
        whole = share.reshape(1) if share.size == 1 else backend.spread(share, shape).reshape(-1)
        self._values.append((whole, int(share.size > 1), 0))
        self._kernel = backend.kernel(rows_source(backend.dtype, rows), "rows")

    def _placed(self, value: Array, of_view: tuple[int, ...]) -> tuple[Array, int, int]:
        """(the value on the device, numbers from row to row, from column to column)."""
        array = self.backend.array(value)
        if array.size == 1:
            return array.reshape(1), 0, 0
        if array.shape == (self.width,):
            return array, 0, 1
        return self.backend.spread(array, of_view), self.width, 1

    def drive(self, x: Mapping[str, Array]) -> Array:
        """As `Term.drive`."""
        xp, address = self.backend.xp, self.backend.address
        read = [xp.ascontiguousarray(view.of(x[view.array])) for view in self.rows.reads]
        instants = max(len(values) for values in read)
        row = self.nodes * self.width
        out = xp.empty((instants, *self.shape), self.backend.dtype)
        table = [(address(values), row if len(values) > 1 else 0) for values in read]
        numbers = [number for pair in table for number in pair]
        numbers += [number for value, down, along in self._values for number in (address(value), down, along)]
        count, lanes = instants * self.nodes, 32
        arguments = (
            np.int32(count), np.int32(self.nodes), np.int32(self.width), kernels.struct(numbers),
            out.dtype.type(self.rows.leak), out,
        )  # fmt: skip
        self._kernel(kernels.blocks(lanes * count), (kernels.THREADS,), arguments)
        return out


def _shape(view: View, circuit: Circuit) -> tuple[int, ...]:
    """Of a view of one instant."""
    nodes = np.empty((1, *circuit.arrays[view.array].shape), bool)
    found: tuple[int, ...] = view.of(nodes).shape[1:]
    return found
