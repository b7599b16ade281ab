"""CUDA kernels of the meter: each array is read once where it is integrated, and once by each law that reads it at
every point. See `fused.py`, which launches them, and `emulator/kernels.py`.

One thread a node, blockIdx.y the sample; signals are (points, samples, nodes), times are `scale` × quadrature weights.
"""

from __future__ import annotations

from typing import Any

from ..circuits.cells.node import CUDA as LAWS
from ..circuits.cells.smooth import CUDA as SMOOTH
from ..emulator.kernels import THREADS, defines

INTEGRATE = r"""
// ∫x², ∫|x|, the way from element's end to element's end, and where it ends: of every node, added to what there is
extern "C" __global__ void integrate(
    const long long size, const int count, const REAL scale, const REAL* weights, const REAL* x, REAL* square,
    REAL* magnitude, REAL* travel, REAL* last)
{
    const long long j = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (j >= size) return;
    REAL squares = 0, sizes = 0, way = 0, before = last[j], value = before;
    for (int k = 0; k < count; ++k) {
#pragma unroll
        for (int q = 0; q < P; ++q) {
            value = x[((long long)k * P + q) * size + j];
            const REAL weighed = weights[q] * fabs(value);
            sizes += weighed;
            squares += weighed * fabs(value);
        }
        way += fabs(value - before);
        before = value;
    }
    square[j] += scale * squares;
    magnitude[j] += scale * sizes;
    travel[j] += way;
    last[j] = before;
}
"""

WEIGH = r"""
// Σ over nodes and points of a law's watts and amperes times each node's own weights, into joules (2, samples). y, c:
// of a node by its indices along four axes, steps 0 where all nodes along an axis share one; heat, supply, own: of one
// number or one a node, steps 0 or 1
extern "C" __global__ void weigh(
    const long long nodes, const long long samples, const int count, const double scale, const REAL* weights,
    const long long n1, const long long n2, const long long n3,
    const REAL* y_base, const long long y_point, const long long y0, const long long y1, const long long y2,
    const long long y3,
    const REAL* c_base, const long long c_point, const long long c0, const long long c1, const long long c2,
    const long long c3,
    const REAL* heat, const int heat_step, const REAL* supply, const int supply_step, const REAL* own_base,
    const int own_step, const REAL least, double* joules)
{
    __shared__ double sums[2][WARPS];
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const long long sample = blockIdx.y, j = at < nodes ? at : 0;
    const long long i3 = j % n3, i2 = j / n3 % n2, i1 = j / n3 / n2 % n1, i0 = j / n3 / n2 / n1;
    const REAL* const of_y = y_base + i0 * y0 + i1 * y1 + i2 * y2 + i3 * y3;
    const REAL* const of_c = c_base + i0 * c0 + i1 * c1 + i2 * c2 + i3 * c3;
    const REAL own = own_base[j * own_step];
    REAL heats = 0, supplies = 0;
    for (int k = 0; k < count; ++k) {
#pragma unroll
        for (int q = 0; q < P; ++q) {
            const long long line = ((long long)k * P + q) * samples + sample;
            const REAL y = of_y[line * y_point], c = of_c[line * c_point];
            REAL watts, amperes;
            LAW
            heats += weights[q] * watts;
            supplies += weights[q] * amperes;
        }
    }
    double of_node[2] = {heats * (double)heat[j * heat_step], supplies * (double)supply[j * supply_step]};
#pragma unroll
    for (int n = 0; n < 2; ++n) {
        double value = at < nodes ? of_node[n] : 0;
        for (int lane = 16; lane > 0; lane /= 2) value += __shfl_down_sync(0xffffffffu, value, lane);
        if ((threadIdx.x & 31) == 0) sums[n][threadIdx.x / 32] = value;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int n = 0; n < 2; ++n) {
        double total = 0;
        for (int warp = 0; warp < (blockDim.x + 31) / 32; ++warp) total += sums[n][warp];
        atomicAdd(joules + n * samples + sample, total * scale);
    }
}
"""


def integrate_source(dtype: Any, points: int) -> str:
    """Source of `integrate` for elements of so many points."""
    return defines(dtype) + f"#define P {points}\n" + INTEGRATE


def weigh_source(dtype: Any, points: int, law: str) -> str:
    """Source of `weigh` for a law: statements that set `watts` and `amperes` (`circuits.cells.power.Costs.cuda`)."""
    sizes = f"#define P {points}\n#define WARPS {THREADS // 32}\n#define LAW {law}\n"
    return defines(dtype) + sizes + SMOOTH + LAWS + WEIGH
