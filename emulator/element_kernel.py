"""CUDA kernel of elements in a row, one thread a node; see `fused.py`, which launches it, and `kernels.py`."""

from __future__ import annotations

from typing import Any

from .kernels import RAISE, THREADS, Cells, head

MOST = 32  # elements in a row
PLACES = 65  # from one point to the next, where the last time outside is looked for

WATCH = r"""
// How far from rest (`settling.py`): a band of 1 / (per · bands) around `target`; ends: whether to look how fast nodes
// still are, and how far off; found: see `Found.seen`
struct Aim {
    const REAL *target, *per; long long per_sample, per_node; double bands; long long ends;
    const REAL *nodes, *dense; double *found;
};

// Last place in an element, 1 at its start to 2 at its end, at which |x - aim| share > 1; 0: nowhere. What is no number
// is outside. x: start and points; dense: (P, PLACES, P + 1) from them to places from one of them to the next, between
// which the crossing is found by halving
__device__ __forceinline__ REAL last_outside(
    const REAL before, const REAL* x, const REAL aim, const REAL share, const REAL* nodes, const REAL* dense)
{
    int last = fabs(before - aim) * share <= 1 ? -1 : 0;
#pragma unroll
    for (int q = 0; q < P; ++q) last = fabs(x[q] - aim) * share <= 1 ? last : q + 1;
    if (last < 0) return 0;
    if (last == P) return 2;
    const REAL *weights = dense + last * PLACES * (P + 1), begin = nodes[last], gap = nodes[last + 1] - begin;
    int outside = 0, inside = PLACES - 1;
    while (inside - outside > 1) {
        const int place = (outside + inside) / 2;
        REAL value = weights[place * (P + 1)] * before;
#pragma unroll
        for (int q = 0; q < P; ++q) value += weights[place * (P + 1) + 1 + q] * x[q];
        if (fabs(value - aim) * share <= 1) inside = place;
        else outside = place;
    }
    return 1 + begin + gap * outside / (PLACES - 1);
}
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
        m[k][k] = inverse;
    }
#pragma unroll
    for (int i = P - 1; i >= 0; --i) {
#pragma unroll
        for (int j = i + 1; j < P; ++j) b[i] -= m[i][j] * b[j];
        b[i] *= m[i][i];
    }
}

#if LAW == 1 && SINGLE && P <= 6
#define TOGETHER 3  // blocks on a multiprocessor: in the 80 registers that are then left, p x p just fits
#else
#define TOGETHER 1
#endif

extern "C" __global__ __launch_bounds__(32 * WARPS, TOGETHER) void element(
    const int size, const int row, const int count, const REAL ratio, const REAL least, const REAL* start,
    const Drives drives, const Table table, const Small matrices, REAL* out, REAL* end, double* squares, const Aim aim)
{
    __shared__ REAL sums[WARPS][SQUARES * MOST];  // of each warp: far fewer additions meet in one place
    REAL* const own_sums = sums[threadIdx.x / 32];
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    const bool here = at < (unsigned)size;
    const unsigned j = here ? at : 0, sample = j / (unsigned)row, i = j - sample * row;
    const Node node(table, i, least);
    const Currents from(drives, node, i, j, sample);
    const REAL gain = node.gain, standing = node.standing, offset = node.offset;
    REAL target = 0, per = 0;
    if (aim.target && here) {
        target = aim.target[j];
        per = aim.per[sample * aim.per_sample + i * aim.per_node] * (REAL)aim.bands;
    }
    const unsigned leader = at & ~31u, samples = (unsigned)size / (unsigned)row;
    const bool together = leader / (unsigned)row == min(leader + 31u, (unsigned)size - 1) / (unsigned)row;
    const REAL scale = here ? node.scale : (REAL)0;
    REAL before = start[j];
    for (int k = 0; k < count; ++k) {
        REAL d[P], x[P];
#if LAW == 1
        REAL g[P];
#endif
#pragma unroll
        for (int q = 0; q < P; ++q) {
            const Reads read = from.reads((long long)k * P + q);
            const REAL feedback = from.feedback(read);
            REAL push = from.pushed(read);
            push = delivered(push, node.bound(push, feedback)) + from.past(read);
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
            REAL rate[P], slope[P], m[P][P], step[P], moved = 0, largest = (REAL)GRAIN;
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
        if (aim.target) {
            const REAL place = here ? last_outside(before, x, target, per, aim.nodes, aim.dense) : (REAL)0;
            raise(place, together, aim.found + k * (samples + 2) + (together ? leader / (unsigned)row : sample));
            if (aim.ends && k == count - 1) {
                REAL moves;  // |C dv/dt| / g
#if LAW == 0
                moves = d[P - 1] / (node.own + standing) - x[P - 1];
#elif LAW == 1
                moves = d[P - 1] / g[P - 1] - x[P - 1];
#elif LAW == 2
                moves = d[P - 1] / (node.ratio(x[P - 1]) + standing) - (x[P - 1] - offset);
#else
                REAL rate[P], slope[P];
                const int q = P - 1;
                PULL
                moves = rate[q];
#endif
                double* const at_end = aim.found + k * (samples + 2) + samples;
                raise(fabs(moves) * per, true, at_end);
                raise(fabs(x[P - 1] - target) * per, true, at_end + 1);
            }
        }
        before = x[P - 1];
    }
    if (here) end[j] = before;
    if (!squares) return;
    __syncthreads();
    for (int n = threadIdx.x; n < SQUARES * count; n += blockDim.x) {
        double total = 0;
        for (int warp = 0; warp < (blockDim.x + 31) / 32; ++warp) total += sums[warp][n];
        atomicAdd(squares + n, total);
    }
}
"""


def element_source(
    dtype: Any, points: int, law: int, cells: Cells, pull: str = "", guess: str = "", grain: float = 0.0
) -> str:
    """Source of `element`. law: 0 one constant γ, 1 γ of each node and time, 2 a root node, 3 any other node that bends
    its own equation; pull, guess, grain: of the latter two, from the cell."""
    own = f"#define PULL {{ {' '.join(pull.split())} }}\n#define GUESS ({guess or '0'})\n#define GRAIN {grain!r}\n"
    sizes = f"#define P {points}\n#define MOST {MOST}\n#define WARPS {THREADS // 32}\n#define PLACES {PLACES}\n"
    return head(dtype, law, cells) + sizes + own + RAISE + WATCH + ELEMENT
