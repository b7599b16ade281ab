"""CUDA kernels that look at how far from rest nodes are; see `gauge.py`, which launches them, and `kernels.py`."""

from __future__ import annotations

from typing import Any

from .kernels import head

EACH = 4  # nodes that a thread looks at

WATCH = r"""
#define LINES 128
// The largest of numbers that are not negative, whose bits ascend too, into *most, which began as 0; what is no number
// counts as beyond all. take_most: of a warp, all of it in one place
__device__ __forceinline__ void take_own(REAL value, REAL* most) {
    if (value != value) value = (REAL)1e30;
    if (REAL_AS_BITS(value) > *(volatile BITS*)most) atomicMax((BITS*)most, REAL_AS_BITS(value));
}
__device__ __forceinline__ void take_most(REAL value, REAL* most) {
    if (value != value) value = (REAL)1e30;
#if SINGLE && __CUDA_ARCH__ >= 800
    value = __int_as_float(__reduce_max_sync(0xffffffffu, __float_as_int(value)));
#else
    for (int lane = 16; lane > 0; lane /= 2) value = fmax(value, __shfl_down_sync(0xffffffffu, value, lane));
#endif
    if ((threadIdx.x & 31) == 0) take_own(value, most);
}

// max |values − target| per over nodes, for each point and sample: out (points, samples)
extern "C" __global__ void farthest(
    const long long size, const long long row, const int points, const REAL* values, const REAL* target,
    const REAL* per, const long long per_sample, const long long per_node, REAL* out)
{
    // a block looks at EACH nodes a thread of one sample, blockIdx.y, and keeps its own maxima until the end
    __shared__ REAL most[LINES];
    const long long samples = size / row, sample = blockIdx.y;
    const long long first = blockIdx.x * (long long)blockDim.x * EACH + threadIdx.x;
    REAL aim[EACH], share[EACH];
#pragma unroll
    for (int n = 0; n < EACH; ++n) {
        const long long i = first + n * (long long)blockDim.x;
        aim[n] = i < row ? target[sample * row + i] : (REAL)0;
        share[n] = i < row ? per[sample * per_sample + i * per_node] : (REAL)0;
    }
    for (int begin = 0; begin < points; begin += LINES) {
        const int lines = points - begin < LINES ? points - begin : LINES;
        for (int k = threadIdx.x; k < lines; k += blockDim.x) most[k] = 0;
        __syncthreads();
        for (int k = 0; k < lines; ++k) {
            const REAL* line = values + (begin + k) * size + sample * row;
            REAL away = 0;
#pragma unroll
            for (int n = 0; n < EACH; ++n) {
                const long long i = first + n * (long long)blockDim.x;
                const REAL off = i < row ? fabs(line[i] - aim[n]) * share[n] : (REAL)0;
                away = off <= away ? away : off;  // what is no number stays
            }
            take_most(away, most + k);
        }
        __syncthreads();
        for (int k = threadIdx.x; k < lines; k += blockDim.x) take_own(most[k], out + (begin + k) * samples + sample);
        __syncthreads();
    }
}

// The same of polynomials at `count` places between two points, for nodes of one sample that are further than 1 away
// at the first of them: out (cases, count). A case is a line of the table: nodes, start, points, step from one point to
// the next, weights (count, P + 1), target, per and its step
extern "C" __global__ void farthest_between(const int count, const long long* table, REAL* out)
{
    const long long* line = table + 8 * blockIdx.y;
    const long long row = line[0], step = line[3], i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (blockIdx.x * (long long)blockDim.x >= row) return;
    const long long j = i < row ? i : 0;
    const REAL *start = (const REAL*)line[1], *points = (const REAL*)line[2], *weights = (const REAL*)line[4];
    REAL x[P + 1];
    x[0] = start[j];
#pragma unroll
    for (int q = 0; q < P; ++q) x[q + 1] = points[q * step + j];
    const REAL aim = ((const REAL*)line[5])[j];
    const REAL share = i < row ? ((const REAL*)line[6])[j * line[7]] : (REAL)0;
    bool late = false;
    for (int k = 0; k < count; ++k) {
        REAL value = 0;
#pragma unroll
        for (int q = 0; q <= P; ++q) value += weights[k * (P + 1) + q] * x[q];
        const REAL away = fabs(value - aim) * share;
        if (k == 0) {
            late = !(away <= 1);
            if (!__any_sync(0xffffffffu, late)) return;
        }
        take_most(late ? away : (REAL)0, out + blockIdx.y * count + k);
    }
}

// max |dx/ds| scale / (γ pace) per over nodes at the end of an element, s from 0 to 1 in it: out (1)
extern "C" __global__ void fastest(
    const long long size, const long long row, const REAL least, const REAL scale, const REAL* start,
    const REAL* points, const REAL* control, const long long inner, const long long* table, const REAL* weights,
    const REAL* per, const long long per_sample, const long long per_node, REAL* out)
{
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const bool here = at < size;
    const long long j = here ? at : 0, i = j % row;
    const Node node(table, i, least);
    const Drives from = {0, 0, control, 0, 0, size / inner, inner};
    REAL slope = weights[0] * start[j];
#pragma unroll
    for (int q = 0; q < P; ++q) slope += weights[q + 1] * points[q * size + j];
#if LAW == 2
    const REAL feedback = node.ratio(points[(P - 1) * size + j]);
#else
    const REAL feedback = from.feedback(node, 0, j);
#endif
    const REAL away = fabs(slope) * scale / ((feedback + node.standing) * node.pace);
    take_most(here ? away * per[(j / row) * per_sample + i * per_node] : (REAL)0, out);
}
"""


def watch_source(dtype: Any, points: int, law: int) -> str:
    """Source of `farthest`, `farthest_between` and `fastest`."""
    return head(dtype, law) + f"#define P {points}\n#define EACH {EACH}\n" + WATCH
