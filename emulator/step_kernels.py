"""CUDA kernel of steps in a row, one thread a node; see `fused_steps.py`, which launches it, and `stochastic.py`."""

from __future__ import annotations

from functools import lru_cache
from math import factorial
from typing import Any

import numpy as np

from .kernels import THREADS, Cells, head
from .normals import CUDA as NORMALS

STEPS = (
    f"#define THREADS {THREADS}\n"
    + r"""
#if SINGLE
#define ASM_REAL "+f"
#else
#define ASM_REAL "+d"
#endif

// φ₁ = (1 − e⁻ᵃ)/a and φ₂ = (1 − φ₁)/a for a ≥ 0; to 1 by the series of φ₂, which neither cancels nor divides
struct Phi {
    REAL first, second;
    __device__ __forceinline__ Phi(REAL a) {
        if (a < 1) {
            second = SERIES;
            first = 1 - a * second;
        } else {
            const REAL inverse = 1 / a;
            first = -expm1(-a) * inverse, second = (1 - first) * inverse;
        }
    }
};
// φ₁(2a) of φ₁(a): 1 − e⁻²ᵃ = (1 − e⁻ᵃ)(1 + e⁻ᵃ)
__device__ __forceinline__ REAL of_twice(REAL a, REAL first) { return first * (1 - a * first / 2); }

#if LAW == 3
__device__ __forceinline__ void inner_step(REAL& x, REAL ratio, REAL before, REAL after, REAL offset) { STEP }
#endif

// What is delivered at an instant, and the feedback there. asked: of the conveyor, as if it had no rail
struct Instant {
    REAL feedback, asked, past;
    __device__ __forceinline__ Instant() {}
    __device__ __forceinline__ Instant(const Node& node, const Currents& from, const Reads& read) {
        feedback = LAW == 2 ? (REAL)0 : from.feedback(read);
        asked = from.pushed(read), past = from.past(read);
#if LAW < 2
        past += (feedback + node.standing) * node.offset;
#endif
    }
    __device__ __forceinline__ REAL bound(const Node& node) const { return node.bound(asked, feedback); }
    __device__ __forceinline__ REAL beyond(const Node& node) const { return past_knee(asked, bound(node)); }
    __device__ __forceinline__ void bend(const Node& node) { asked = delivered(asked, bound(node)); }
    __device__ __forceinline__ REAL push() const { return asked + past; }
};

#if LAW < 2
// x₁ = decay x₀ + early d₀ + late d₁ + √(heat S) ξ at one γ; ratio: h/τ
struct Way {
    REAL decay, early, late, heat;
    __device__ __forceinline__ Way(REAL ratio, REAL gamma, REAL strength) {
        const REAL a = ratio * gamma;
        const Phi phi(a);
        decay = 1 - a * phi.first, early = ratio * (phi.first - phi.second), late = ratio * phi.second;
        heat = strength * of_twice(a, phi.first);
    }
};
#elif LAW == 2
// A root's step: x₁, its γ, and the rate at which it decays
struct Rooted {
    REAL x, gamma, rate;
    __device__ __forceinline__ Rooted(const Node& node, REAL start, REAL ratio, REAL before, REAL after) : x(start) {
        const REAL at_start = node.ratio(start), offset = node.offset, away = start - offset;
        for (int turn = 0; turn < 30; ++turn) {
            gamma = (at_start + node.ratio(x)) / 2 + node.standing;
            const Phi phi(ratio * gamma);
            const REAL miss = x - start - ratio * (phi.first * (before - gamma * away) + phi.second * (after - before));
            const REAL slope = feedback_slope(x, node.gain, node.least);
            const REAL pull = ratio * phi.first * (start + x - 2 * offset) / 4 * slope;
            const REAL moved = miss / (1 + fmax(pull, (REAL)0));
            x -= moved;
            if (fabs(moved) <= 4 * EPSILON * fabs(x)) break;
        }
        const REAL middle = (start + x) / 2;
        rate = gamma + feedback_slope(middle, node.gain, node.least) * fmax(middle - offset, (REAL)0);
    }
};
#endif

// Nothing is made of what was read before here: compilers would ask for it at once, or read it late
__device__ __forceinline__ void wait(Reads& all) {
#ifdef __CUDACC__
#pragma unroll
    for (int n = 0; n < SOURCES; ++n)
        if (READ(n)) asm volatile("" : ASM_REAL(all.of[n]));
#endif
}

// One node on its way. quiet: what stands of S beside the node's own γ, or λ; more: what moves of it; null where there
// is none: moving (looks, nodes), given (count, nodes); moves: whether there is any look
struct Walk {
    const Node& node;
    const Normals drawn;
    const int size, shaken;
    const bool moves;
    const REAL each, strength, quiet;
    Currents from;
    const REAL *const moving, *const given;
    REAL* const out;
    REAL x, more;
    Instant before;
#if LAW < 2
    Way way;
#endif
    // Steps `skip` to `stop` of those that share a counter, which begins with a look; draws: whether they do. Their
    // reads are on the way while their normals are worked out, and nothing of both waits for x
    __device__ __forceinline__ void take(
        long long octet, long long at, int done, int skip, int stop, bool draws)
    {
        Reads ahead[TOGETHER];
#pragma unroll
        for (int q = 0; q < TOGETHER; ++q, from.advance(1))
            if (q >= skip && q < stop) ahead[q] = from.reads(0);
        if (moves && !skip) {
            more = from.moving(done);
            if (moving) more += moving[(long long)(done / TOGETHER) * size];
        }
        REAL normal[TOGETHER] = {};
        if (draws) drawn.draw((unsigned long long)octet, normal);
        else if (given)
#pragma unroll
            for (int q = 0; q < TOGETHER; ++q)
                if (q >= skip && q < stop) normal[q] = given[at + (long long)q * size];
#pragma unroll
        for (int q = 0; q < TOGETHER; ++q)
            if (q >= skip && q < stop) wait(ahead[q]);
        Instant after[TOGETHER];
        REAL beyond = 0;
#pragma unroll
        for (int q = 0; q < TOGETHER; ++q) {
            if (q < skip || q >= stop) continue;
            after[q] = Instant(node, from, ahead[q]);
            beyond = fmax(beyond, after[q].beyond(node));
        }
        if (beyond > 0) {  // seldom, hence asked once for all
#pragma unroll
            for (int q = 0; q < TOGETHER; ++q)
                if (q >= skip && q < stop) after[q].bend(node);
        }
#if LAW < 2
        REAL shake = sqrt(way.heat * (before.feedback + quiet + more));
#endif
#pragma unroll
        for (int q = 0; q < TOGETHER; ++q) {
            if (q < skip || q >= stop) continue;
            const REAL early = before.push(), late = after[q].push();
#if LAW == 3
            inner_step(x, each, early, late, node.offset);
#elif LAW == 2
            const Rooted next(node, x, each, early, late);
            const REAL own = (shaken == 2 ? next.rate : next.gamma) - node.standing;
            x = next.x + sqrt(strength * Phi(2 * each * next.rate).first * (own + quiet + more)) * normal[q];
#else
#if CONTROLLED
            const REAL feedback = (before.feedback + after[q].feedback) / 2;
            way = Way(each, feedback + node.standing, strength);
            shake = sqrt(way.heat * (feedback + quiet + more));
#endif
            x = way.decay * x + (way.early * early + way.late * late + shake * normal[q]);
#endif
            out[at + (long long)q * size] = x;
            before = after[q];
        }
    }
};

// x after each of `count` steps, out (count, nodes). held: the drive of one instant is that of all. shaken: 0, 1 by
// devices, 2 by a given σ; power, scale, still: see `agitation.py`, steps from node to node. What moves is the sum of
// MOVING and of `moving` (looks, nodes), a row for each look in these steps, and stays in `seen` (nodes) from look to
// look; null where nothing does. given: normals (count, nodes), null to draw them here
extern "C" __global__ __launch_bounds__(THREADS, SINGLE ? 3 : 1) void steps(
    const int size, const int row, const int count, const int held, const REAL ratio, const REAL least,
    const REAL* __restrict__ start, const Drives drives, const Table table, const int shaken, const REAL power,
    const REAL* __restrict__ scale, const long long scale_step, const REAL* __restrict__ still,
    const long long still_step, const REAL* __restrict__ moving, REAL* __restrict__ seen,
    const REAL* __restrict__ given, const Keys keys, const long long begin, REAL* __restrict__ out, int* broken)
{
    const unsigned j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= (unsigned)size) return;
    const unsigned sample = j / (unsigned)row, i = j - sample * row;
    const int late = (int)(begin % TOGETHER);
    long long at = j - (long long)late * size;  // where the counter begins; nothing is read or written there
    const Node node(table, i, least);
    Currents from(drives, node, i, j, sample);
    if (held) from.stay();
    const REAL each = ratio * node.pace, strength = shaken ? power * each * scale[i * scale_step] : (REAL)0;
    Instant at_start(node, from, from.reads(0));
    at_start.bend(node);
    from.advance(1 - late);
    Walk walk = {
        node, Normals(keys, j), size, shaken, seen != 0, each, strength,
        shaken == 1 ? still[i * still_step] : node.standing, from, moving ? moving + j : moving, given, out, start[j],
        seen && late ? seen[j] : (REAL)0, at_start,
#if LAW < 2
        Way(each, at_start.feedback + node.standing, strength),
#endif
    };
    const bool draws = !given && strength != 0;  // a row's masked end has none
    long long octet = begin / TOGETHER;
    for (int done = -late; done < count; done += TOGETHER, ++octet, at += (long long)TOGETHER * size) {
#if LAW < 2  // where it pays to have the common case without conditions
        if (done >= 0 && count - done >= TOGETHER) {
            walk.take(octet, at, done, 0, TOGETHER, draws);
            continue;
        }
#endif
        walk.take(octet, at, done, done < 0 ? late : 0, count - done, draws);
    }
    if (seen) seen[j] = walk.more;
    if (!(fabs(walk.x) <= (REAL)1e30)) *broken = 1;
}
"""
)


def _series(dtype: Any) -> str:
    """φ₂ for 0 ≤ a < 1 in CUDA: Σ (−a)ⁿ/(n + 2)!, as far as the type sees it."""
    last = next(n for n in range(30) if 1 / factorial(n + 3) < np.finfo(dtype).eps / 8)
    text = f"(REAL){1 / factorial(last + 2)!r}"
    for n in range(last - 1, -1, -1):
        text = f"(REAL){1 / factorial(n + 2)!r} - a * ({text})"
    return text


@lru_cache(maxsize=8)
def steps_source(dtype: Any, law: int, cells: Cells, step: str = "") -> str:
    """Source of `steps`. law: as in `element_source`; step: of 3, from the cell."""
    series = f"#define SERIES ({_series(dtype)})\n"
    return head(dtype, law, cells) + series + f"#define STEP {' '.join(step.split())}\n" + NORMALS + STEPS
