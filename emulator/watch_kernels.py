"""CUDA kernels that look at how far from rest nodes are; see `gauge.py`, which launches them, and `kernels.py`."""

from __future__ import annotations

from typing import Any

from .kernels import head

WATCH = r"""
// Raise *most to a number that is not negative, whose bits ascend too; take_most: to the largest of a warp
__device__ __forceinline__ void take_own(REAL value, REAL* most) {
    if (REAL_AS_BITS(value) > *(volatile BITS*)most) atomicMax((BITS*)most, REAL_AS_BITS(value));
}
__device__ __forceinline__ void take_most(REAL value, REAL* most) {
#if SINGLE && __CUDA_ARCH__ >= 800
    value = __int_as_float(__reduce_max_sync(0xffffffffu, __float_as_int(value)));
#else
    for (int lane = 16; lane > 0; lane /= 2) value = fmax(value, __shfl_down_sync(0xffffffffu, value, lane));
#endif
    if ((threadIdx.x & 31) == 0) take_own(value, most);
}

// The last place, in lengths of an element from the first one's start, at which |x - aim| share > 1; -1: nowhere. What
// is no number is outside. dense: (P, PLACES, P + 1) from start and points to places from one point to the next
__device__ __forceinline__ REAL last_place(
    const int count, const long long size, const REAL* initial, const REAL* points, const REAL aim, const REAL share,
    const REAL* nodes, const REAL* dense)
{
    for (int k = count - 1; k >= 0; --k) {
        REAL x[P + 1];
        x[0] = k ? points[((long long)k * P - 1) * size] : *initial;
#pragma unroll
        for (int q = 0; q < P; ++q) x[q + 1] = points[((long long)k * P + q) * size];
        int last = -1;
#pragma unroll
        for (int q = 0; q <= P; ++q) last = fabs(x[q] - aim) * share <= 1 ? last : q;
        if (last < 0) continue;
        if (last == P) return (REAL)(k + 1);
        const REAL *weights = dense + last * PLACES * (P + 1), begin = nodes[last], gap = nodes[last + 1] - begin;
        for (int place = PLACES - 1; place > 0; --place) {
            REAL value = 0;
#pragma unroll
            for (int q = 0; q <= P; ++q) value += weights[place * (P + 1) + q] * x[q];
            if (!(fabs(value - aim) * share <= 1)) return k + begin + gap * place / (PLACES - 1);
        }
        return k + begin;
    }
    return -1;
}

// Raise last[sample] to the latest time at which any node of a sample, blockIdx.y, is outside. Elements of `length`
// begin at `begin`; all are outside at their end, if last[sample] is that already
extern "C" __global__ void outside(
    const long long size, const long long row, const int count, const REAL begin, const REAL length,
    const REAL* initial, const REAL* points, const REAL* target, const REAL* per, const long long per_sample,
    const long long per_node, const REAL* nodes, const REAL* dense, REAL* last)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x, sample = blockIdx.y;
    const REAL end = begin + length * count;
    if (!__any_sync(0xffffffffu, *(volatile REAL*)(last + sample) < end)) return;
    const bool here = i < row;
    const long long j = sample * row + (here ? i : 0);
    const REAL share = here ? per[sample * per_sample + i * per_node] : (REAL)0;
    const REAL place = last_place(count, size, initial + j, points + j, target[j], share, nodes, dense);
    const REAL time = !here || place < 0 ? (REAL)0 : place >= count ? end : begin + length * place;
    take_most(time, last + sample);
}

// Raise *speed to max |dx/ds| scale / (γ pace) per over nodes at the end of an element, s from 0 to 1 in it
extern "C" __global__ void fastest(
    const long long size, const long long row, const REAL least, const REAL scale, const REAL* start,
    const REAL* points, const REAL* control, const long long inner, const long long* table, const REAL* weights,
    const REAL* per, const long long per_sample, const long long per_node, REAL* speed)
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
    const REAL moves = away * per[(j / row) * per_sample + i * per_node];
    take_most(!here ? (REAL)0 : moves == moves ? moves : (REAL)1e30, speed);
}
"""


def watch_source(dtype: Any, points: int, law: int, places: int) -> str:
    """Source of `outside` and `fastest`. places: between two points, where the last time outside is looked for."""
    return head(dtype, law) + f"#define P {points}\n#define PLACES {places}\n" + WATCH
