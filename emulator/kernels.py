"""CUDA kernels of the GPU backend: what array operations would read and write many times is done in one pass.

The laws come from the cells (`NodeArray.cuda_law`, `smooth.CUDA`); here is what the solver does with them, node by
node, one thread a node. Sources are compiled for a type, a number of points and a law, once a process.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..circuits.cells.node import KNEE
from ..circuits.cells.smooth import CUDA as SMOOTH

Array = Any
THREADS = 256

# What is one number, or one a node, is handed over as (address, stride) pairs in a table; rows in this order:
ROWS = ("bias", "attenuation", "exists", "reach", "offset", "standing", "pace", "own", "gain", "scale")
ABSENT = {"bias": 0.0, "attenuation": 1.0, "exists": 1.0, "reach": 1e30, "offset": 0.0, "standing": 0.0, "pace": 1.0,
          "own": 1.0, "gain": 1.0, "scale": 1.0}  # fmt: skip

ELEMENT = r"""
// Small matrices in `matrices`: A (P, P), tail (2, P + 1), between: dense (P, P + 1) and sparse (P, P), and for a
// constant γ M (P, P) and m (P).
#define A_AT 0
#define TAIL_AT (P * P)
#define DENSE_AT (TAIL_AT + 2 * (P + 1))
#define SPARSE_AT (DENSE_AT + P * (P + 1))
#define GAIN_AT (SPARSE_AT + P * P)
#define MEMORY_AT (GAIN_AT + P * P)
#define SMALL (MEMORY_AT + P)

__device__ __forceinline__ void add_up(double value, double* into) {
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_down_sync(0xffffffffu, value, lane);
    if ((threadIdx.x & 31) == 0) atomicAdd(into, value);
}

// (I + M) x = b by elimination without pivots: Radau's A with positive γ needs none
__device__ __forceinline__ void eliminate(REAL m[P][P], REAL b[P]) {
#pragma unroll
    for (int k = 0; k < P; ++k) {
        const REAL inverse = 1 / m[k][k];
#pragma unroll
        for (int i = k + 1; i < P; ++i) {
            const REAL share = m[i][k] * inverse;
#pragma unroll
            for (int j = k + 1; j < P; ++j) m[i][j] -= share * m[k][j];
            b[i] -= share * b[k];
        }
    }
#pragma unroll
    for (int i = P - 1; i >= 0; --i) {
#pragma unroll
        for (int j = i + 1; j < P; ++j) b[i] -= m[i][j] * b[j];
        b[i] /= m[i][i];
    }
}

extern "C" __global__ void element(
    const long long size, const long long row, const int count, const REAL ratio, const REAL floor_,
    const REAL* start, const REAL* drive, const long long drive_step, const REAL* direct, const long long direct_step,
    const REAL* control, const long long inner, const long long* table, const REAL* matrices, REAL* out,
    double* squares)
{
    __shared__ REAL small[SMALL];
    for (int n = threadIdx.x; n < SMALL; n += blockDim.x) small[n] = matrices[n];
    __syncthreads();
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const bool here = at < size;
    const long long j = here ? at : 0, i = j % row;
#define OF(k) (((const REAL*)table[2 * (k)])[table[2 * (k) + 1] * i])
    const REAL bias = OF(0), share = OF(1) * OF(2), exists = OF(2), reach = OF(3), offset = OF(4), standing = OF(5);
    const REAL pace = OF(6), constant = OF(7), gain = OF(8), scale = here ? OF(9) : (REAL)0;
    REAL before = start[j];
    for (int k = 0; k < count; ++k) {
        REAL d[P], x[P];
#if LAW == 1
        REAL g[P];
#endif
#pragma unroll
        for (int q = 0; q < P; ++q) {
            const long long point = (long long)k * P + q;
            REAL push = bias + (drive ? drive[point * drive_step + j] : (REAL)0);
            push *= share;
#if LAW == 2
            push = limit(push, push > 0 ? gain * reach * reach : floor_ * reach, (REAL)KNEE);
#else
            const REAL own = control
                ? floor_ + ramp(gain * control[point * (size / inner) + j / inner] - floor_, floor_ / 2) : constant;
            push = limit(push, own * reach, (REAL)KNEE);
#endif
            if (direct) push += exists * direct[point * direct_step + j];
#if LAW < 2
            push += (own + standing) * offset;
#endif
#if LAW == 1
            g[q] = (own + standing) * pace;
            push *= pace;
#endif
            d[q] = push;
        }
#if LAW == 0
#pragma unroll
        for (int q = 0; q < P; ++q) {
            REAL sum = small[MEMORY_AT + q] * before;
#pragma unroll
            for (int r = 0; r < P; ++r) sum += small[GAIN_AT + q * P + r] * d[r];
            x[q] = sum;
        }
#elif LAW == 1
        REAL m[P][P];
#pragma unroll
        for (int q = 0; q < P; ++q) {
            REAL sum = 0;
#pragma unroll
            for (int r = 0; r < P; ++r) {
                const REAL a = ratio * small[A_AT + q * P + r];
                m[q][r] = a * g[r] + (q == r ? 1 : 0);
                sum += a * d[r];
            }
            x[q] = before + sum;
        }
        eliminate(m, x);
#else
#pragma unroll
        for (int q = 0; q < P; ++q) x[q] = GUESS;
        for (int turn = 0; turn < 40; ++turn) {
            REAL rate[P], slope[P], m[P][P], step[P], moved = 0, largest = (REAL)1e-30;
#pragma unroll
            for (int q = 0; q < P; ++q) PULL
#pragma unroll
            for (int q = 0; q < P; ++q) {
                step[q] = x[q] - before;
#pragma unroll
                for (int r = 0; r < P; ++r) {
                    const REAL a = ratio * pace * small[A_AT + q * P + r];
                    m[q][r] = a * slope[r] + (q == r ? 1 : 0);
                    step[q] -= a * rate[r];
                }
            }
            eliminate(m, step);
#pragma unroll
            for (int q = 0; q < P; ++q) {
                x[q] -= step[q];
                moved = fmax(moved, fabs(step[q]));
                largest = fmax(largest, fabs(x[q]));
            }
            if (moved <= 50 * EPSILON * largest) break;
        }
#endif
        if (here)
#pragma unroll
            for (int q = 0; q < P; ++q) out[((long long)k * P + q) * size + j] = x[q];
        if (squares) {
            REAL top[2];
#pragma unroll
            for (int n = 0; n < 2; ++n) {
                top[n] = small[TAIL_AT + n * (P + 1)] * before;
#pragma unroll
                for (int q = 0; q < P; ++q) top[n] += small[TAIL_AT + n * (P + 1) + 1 + q] * x[q];
                top[n] *= scale;
                add_up((double)top[n] * top[n], squares + n * count + k);
            }
#if LAW == 2
            REAL loss[P];
#pragma unroll
            for (int q = 0; q < P; ++q) loss[q] = x[q] * (floor_ + ramp(gain * x[q] - floor_, floor_ / 2));
#pragma unroll
            for (int n = 0; n < P; ++n) {
                REAL middle = small[DENSE_AT + n * (P + 1)] * before, smooth = 0;
#pragma unroll
                for (int q = 0; q < P; ++q) {
                    middle += small[DENSE_AT + n * (P + 1) + 1 + q] * x[q];
                    smooth += small[SPARSE_AT + n * P + q] * loss[q];
                }
                const REAL missed =
                    (middle * (floor_ + ramp(gain * middle - floor_, floor_ / 2)) - smooth) * scale;
                add_up((double)missed * missed, squares + (2 + n) * count + k);
            }
#endif
        }
        before = x[P - 1];
    }
}
"""

FARTHEST = r"""
// max |values − target| per over nodes, for each point and sample: out (points, samples), which must be 0 before
extern "C" __global__ void farthest(
    const long long row, const long long samples, const REAL* values, const REAL* target, const REAL* per,
    const long long per_sample, const long long per_node, REAL* out)
{
    const long long line = blockIdx.y, sample = line % samples;
    REAL most = 0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < row; i += gridDim.x * (long long)blockDim.x) {
        const REAL off = fabs(values[line * row + i] - target[sample * row + i]);
        const REAL away = off * per[sample * per_sample + i * per_node];
        most = away > most || away != away ? (away != away ? (REAL)1e30 : away) : most;
    }
    for (int lane = 16; lane > 0; lane /= 2) most = fmax(most, __shfl_down_sync(0xffffffffu, most, lane));
    if ((threadIdx.x & 31) == 0) atomicMax((BITS*)(out + line), REAL_AS_BITS(most));  // bits of positive numbers ascend
}
"""


def defines(dtype: Any) -> str:
    """The type that a kernel computes in."""
    single = np.dtype(dtype) == np.float32
    real, bits, cast = ("float", "int", "__float_as_int") if single else ("double", "long long", "__double_as_longlong")
    epsilon = float(np.finfo(dtype).eps)
    return (
        f"#define REAL {real}\n#define BITS {bits}\n#define REAL_AS_BITS {cast}\n#define EPSILON ((REAL){epsilon!r})\n"
    )


def element_source(dtype: Any, points: int, law: int, pull: str = "", guess: str = "") -> str:
    """Source of `element`. law: 0 one constant γ, 1 γ of each node and time, 2 a root node, 3 any other node that bends
    its own equation; pull, guess: of the latter two, from the cell."""
    return (
        defines(dtype)
        + f"#define P {points}\n#define LAW {law}\n#define KNEE {KNEE}\n"
        + f"#define PULL {{ {' '.join(pull.split())} }}\n#define GUESS ({guess or '0'})\n"
        + SMOOTH
        + ELEMENT
    )


@lru_cache(maxsize=64)
def compiled(source: str, name: str) -> Any:
    """A kernel ready to be launched."""
    import cupy

    return cupy.RawKernel(source, name, options=("-std=c++14",))


def farthest(values: Array, target: Array, per: Array) -> Array:
    """max |values − target|·per over the nodes: values (K, batch, *shape), target (batch, *shape) -> (K, batch)."""
    import cupy

    lines, samples = values.shape[:2]
    row = values[0, 0].size
    of_sample = per.ndim == target.ndim
    if per.size > 1:
        per = cupy.broadcast_to(per, target.shape if of_sample else target.shape[1:])
    strides = (row if of_sample else 0, 1 if per.size > 1 else 0)
    out = cupy.zeros((lines, samples), values.dtype)
    blocks = max(1, min(-(-row // (4 * THREADS)), 264))
    kernel = compiled(defines(values.dtype) + FARTHEST, "farthest")
    arrays = (cupy.ascontiguousarray(a) for a in (values, target, per))
    sizes = (np.int64(n) for n in (row, samples))
    kernel((blocks, lines * samples), (THREADS,), (*sizes, *arrays, *(np.int64(n) for n in strides), out))
    return out
