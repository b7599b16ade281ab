"""CUDA kernels of the GPU backend: what array operations would read and write many times is done in one pass.

The laws come from the cells (`smooth.CUDA`, `node.CUDA`, `NodeArray.cuda_law`); here is what the solver does with them,
one thread a node. Sources are compiled for a type, a number of points and a law, once a process.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..circuits.cells.node import CUDA as LAWS
from ..circuits.cells.smooth import CUDA as SMOOTH

Array = Any
THREADS = 256
MOST = 32  # elements in a row

# What is one number, or one a node, is handed over as (address, stride) pairs in a table; rows in this order, with what
# stands for what is not there:
ABSENT = {"bias": 0.0, "attenuation": 1.0, "exists": 1.0, "reach": 1e30, "offset": 0.0, "standing": 0.0, "pace": 1.0,
          "own": 1.0, "gain": 1.0, "scale": 1.0}  # fmt: skip

NODE = r"""
// What one node is: numbers of its own from the table of (address, stride)
struct Node {
    REAL bias, share, exists, reach, offset, standing, pace, own, gain, scale, least;
    __device__ __forceinline__ Node(const long long* table, long long i, REAL floor) {
#define OF(k) (((const REAL*)table[2 * (k)])[table[2 * (k) + 1] * i])
        bias = OF(0), exists = OF(2), share = OF(1) * exists, reach = OF(3), offset = OF(4), standing = OF(5);
        pace = OF(6), own = OF(7), gain = OF(8), scale = OF(9), least = floor;
    }
    __device__ __forceinline__ REAL ratio(REAL control) const { return feedback_ratio(control, gain, least); }
    __device__ __forceinline__ REAL bound(REAL push, REAL feedback) const {
#if LAW == 2
        return root_bound(push, reach, gain, least);
#else
        return feedback * reach;
#endif
    }
};

// Where currents and controls are read: null, or at a point `step` numbers after the one before it
struct Drives {
    const REAL *drive, *direct, *control;
    long long drive_step, direct_step, control_step, inner;
    __device__ __forceinline__ REAL pushed(const Node& node, long long point, long long j) const {
        return (node.bias + (drive ? drive[point * drive_step + j] : (REAL)0)) * node.share;
    }
    __device__ __forceinline__ REAL past(const Node& node, long long point, long long j) const {
        return direct ? node.exists * direct[point * direct_step + j] : (REAL)0;
    }
    __device__ __forceinline__ REAL feedback(const Node& node, long long point, long long j) const {
        return control ? node.ratio(control[point * control_step + j / inner]) : node.own;
    }
};
"""

ELEMENT = r"""
// Small matrices in `matrices`: A (P, P), tail (2, P + 1), between: dense (P, P + 1) and sparse (P, P), and for a
// constant γ M (P, P) and m (P).
#define A_AT 0
#define TAIL_AT (P * P)
#define DENSE_AT (TAIL_AT + 2 * (P + 1))
#define SPARSE_AT (DENSE_AT + P * (P + 1))
#define GAIN_AT (SPARSE_AT + P * P)
#define MEMORY_AT (GAIN_AT + P * P)
struct Small { REAL at[MEMORY_AT + P]; };  // by value: read from the constant bank

// Σ over a warp
__device__ __forceinline__ void add_up(REAL value, REAL* into) {
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_down_sync(0xffffffffu, value, lane);
    if ((threadIdx.x & 31) == 0) *into = value;
}
#if LAW == 2
#define SQUARES (2 + P)
#else
#define SQUARES 2
#endif

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
    const long long size, const long long row, const int count, const REAL ratio, const REAL least,
    const REAL* start, const REAL* drive, const long long drive_step, const REAL* direct, const long long direct_step,
    const REAL* control, const long long inner, const long long* table, const Small matrices, REAL* out,
    double* squares)
{
    __shared__ REAL sums[WARPS][SQUARES * MOST];  // of each warp: far fewer additions meet in one place
    REAL* const own_sums = sums[threadIdx.x / 32];
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const bool here = at < size;
    const long long j = here ? at : 0;
    const Node node(table, j % row, least);
    const Drives from = {drive, direct, control, drive_step, direct_step, size / inner, inner};
    const REAL gain = node.gain, standing = node.standing, offset = node.offset;
    const REAL scale = here ? node.scale : (REAL)0;
    REAL before = start[j];
    for (int k = 0; k < count; ++k) {
        REAL d[P], x[P];
#if LAW == 1
        REAL g[P];
#endif
#pragma unroll
        for (int q = 0; q < P; ++q) {
            const long long point = (long long)k * P + q;
#if LAW == 0
            const REAL feedback = node.own;
#else
            const REAL feedback = from.feedback(node, point, j);
#endif
            REAL push = from.pushed(node, point, j);
            push = delivered(push, node.bound(push, feedback)) + from.past(node, point, j);
#if LAW < 2
            push += (feedback + standing) * offset;
#endif
#if LAW == 1
            g[q] = (feedback + standing) * node.pace;
            push *= node.pace;
#endif
            d[q] = push;
        }
#if LAW == 0
#pragma unroll
        for (int q = 0; q < P; ++q) {
            REAL sum = matrices.at[MEMORY_AT + q] * before;
#pragma unroll
            for (int r = 0; r < P; ++r) sum += matrices.at[GAIN_AT + q * P + r] * d[r];
            x[q] = sum;
        }
#elif LAW == 1
        REAL m[P][P];
#pragma unroll
        for (int q = 0; q < P; ++q) {
            REAL sum = 0;
#pragma unroll
            for (int r = 0; r < P; ++r) {
                const REAL a = ratio * matrices.at[A_AT + q * P + r];
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
                    const REAL a = ratio * node.pace * matrices.at[A_AT + q * P + r];
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
                top[n] = matrices.at[TAIL_AT + n * (P + 1)] * before;
#pragma unroll
                for (int q = 0; q < P; ++q) top[n] += matrices.at[TAIL_AT + n * (P + 1) + 1 + q] * x[q];
                top[n] *= scale;
                add_up(top[n] * top[n], own_sums + n * count + k);
            }
#if LAW == 2
            REAL loss[P];
#pragma unroll
            for (int q = 0; q < P; ++q) loss[q] = x[q] * node.ratio(x[q]);
#pragma unroll
            for (int n = 0; n < P; ++n) {
                REAL middle = matrices.at[DENSE_AT + n * (P + 1)] * before, smooth = 0;
#pragma unroll
                for (int q = 0; q < P; ++q) {
                    middle += matrices.at[DENSE_AT + n * (P + 1) + 1 + q] * x[q];
                    smooth += matrices.at[SPARSE_AT + n * P + q] * loss[q];
                }
                const REAL missed = (middle * node.ratio(middle) - smooth) * scale;
                add_up(missed * missed, own_sums + (2 + n) * count + k);
            }
#endif
        }
        before = x[P - 1];
    }
    if (!squares) return;
    __syncthreads();
    for (int n = threadIdx.x; n < SQUARES * count; n += blockDim.x) {
        double total = 0;
        for (int warp = 0; warp < (blockDim.x + 31) / 32; ++warp) total += sums[warp][n];
        atomicAdd(squares + n, total);
    }
}
"""

REST = r"""
// Where nodes rest while those they read stand still, and how many are beyond the linear part of their rail
extern "C" __global__ void rest(
    const long long size, const long long row, const REAL least, const REAL* drive, const long long drive_step,
    const REAL* direct, const long long direct_step, const REAL* control, const long long inner,
    const long long* table, const int limited, REAL* out, unsigned long long* beyond)
{
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const bool here = at < size;
    const long long j = here ? at : 0;
    const Node node(table, j % row, least);
    const Drives from = {drive, direct, control, drive_step, direct_step, size / inner, inner};
    const REAL feedback = from.feedback(node, 0, j), asked = from.pushed(node, 0, j);
    const REAL bound = node.bound(asked, feedback);
    const REAL push = delivered(asked, bound) + from.past(node, 0, j);
#if LAW == 2
    const REAL x = settled_root(push, node.gain, least, node.standing, node.offset);
#else
    const REAL gamma = feedback + node.standing;
    const REAL x = (push + gamma * node.offset) / gamma;
#endif
    if (here) out[j] = x;
    if (limited && here && saturated(asked, bound)) atomicAdd(beyond, 1ull);
}
"""


@lru_cache(maxsize=4)
def defines(dtype: Any) -> str:
    """The type that a kernel computes in."""
    single = np.dtype(dtype) == np.float32
    real, bits, cast = ("float", "int", "__float_as_int") if single else ("double", "long long", "__double_as_longlong")
    epsilon = float(np.finfo(dtype).eps)
    names = {"SINGLE": int(single), "REAL": real, "BITS": bits, "REAL_AS_BITS": cast, "EPSILON": f"((REAL){epsilon!r})"}
    return "".join(f"#define {name} {value}\n" for name, value in names.items())


def element_source(dtype: Any, points: int, law: int, pull: str = "", guess: str = "") -> str:
    """Source of `element`. law: 0 one constant γ, 1 γ of each node and time, 2 a root node, 3 any other node that bends
    its own equation; pull, guess: of the latter two, from the cell."""
    own = f"#define PULL {{ {' '.join(pull.split())} }}\n#define GUESS ({guess or '0'})\n"
    sizes = f"#define P {points}\n#define MOST {MOST}\n#define WARPS {THREADS // 32}\n"
    return head(dtype, law) + sizes + own + ELEMENT


def rest_source(dtype: Any, law: int) -> str:
    """Source of `rest`."""
    return head(dtype, law) + REST


def head(dtype: Any, law: int) -> str:
    """What all kernels that know nodes begin with."""
    return defines(dtype) + f"#define LAW {law}\n" + SMOOTH + LAWS + NODE


@lru_cache(maxsize=64)
def compiled(source: str, name: str) -> Any:
    """A kernel ready to be launched."""
    import cupy

    return cupy.RawKernel(source, name, options=("-std=c++14",))
