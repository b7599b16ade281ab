"""CUDA kernel of steps in a row, one thread a node; see `fused_steps.py`, which launches it, and `stochastic.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .kernels import Cells, head
from .normals import CUDA as NORMALS
from .steps import REFRESH

STEPS = (
    f"#define REFRESH {REFRESH}\n"
    + r"""
// φ₁ = (1 − e⁻ᵃ)/a and φ₂ = (1 − φ₁)/a for a ≥ 0; by their series where the difference would cancel
__device__ __forceinline__ REAL first_phi(REAL a) {
    return a < (REAL)0.02 ? 1 - a * ((REAL)(1 / 2.) - a * ((REAL)(1 / 6.) - a / 24)) : -expm1(-a) / a;
}
__device__ __forceinline__ REAL second_phi(REAL a, REAL first) {
    return a < (REAL)0.02 ? (REAL)(1 / 2.) - a * ((REAL)(1 / 6.) - a * ((REAL)(1 / 24.) - a / 120)) : (1 - first) / a;
}
__device__ __forceinline__ REAL stepped(REAL x, REAL ratio, REAL gamma, REAL before, REAL after) {
    const REAL first = first_phi(ratio * gamma);
    return x + ratio * (first * (before - gamma * x) + second_phi(ratio * gamma, first) * (after - before));
}

// What is delivered at an instant, and the feedback there
struct Instant {
    REAL feedback, push;
    __device__ __forceinline__ Instant(const Node& node, const Currents& from, long long point) {
#if LAW == 2
        feedback = 0;
#else
        feedback = from.feedback(point);
#endif
        push = from.pushed(point);
        push = delivered(push, node.bound(push, feedback)) + from.past(point);
#if LAW < 2
        push += (feedback + node.standing) * node.offset;
#endif
    }
};

// x after each of `count` steps, out (count, nodes). held: the drive of one instant is that of all. shaken: 0, 1 by
// devices, 2 by a given σ; power, scale, still: see `agitation.py`, steps from node to node; moving (looks, nodes), the
// first of them the look before where `begin` is not one; given: normals (count, nodes), null to draw them here
extern "C" __global__ void steps(
    const int size, const int row, const int count, const int held, const REAL ratio, const REAL least,
    const REAL* __restrict__ start, const Drives drives, const Table table, const int shaken, const REAL power,
    const REAL* __restrict__ scale, const long long scale_step, const REAL* __restrict__ still,
    const long long still_step, const REAL* __restrict__ moving, const REAL* __restrict__ given,
    const unsigned long long seed, const unsigned long long name, const long long begin, REAL* __restrict__ out,
    int* broken)
{
    const unsigned j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= (unsigned)size) return;
    const unsigned sample = j / (unsigned)row, i = j - sample * row;
    const Node node(table, i, least);
    const Currents from(drives, node, i, j, sample);
    const REAL gain = node.gain, standing = node.standing, offset = node.offset, each = ratio * node.pace;
    const REAL strength = shaken ? power * each * scale[i * scale_step] : (REAL)0;
    const REAL quiet = shaken == 1 ? still[i * still_step] : (REAL)0;
    const int late = (int)(begin % REFRESH);
    Normals drawn(seed, name, j);
    Instant before(node, from, 0), after(node, from, held ? 0 : 1);
    REAL x = start[j], gamma = 0, first = 0, second = 0, heat = 0;
    for (int k = 0; k < count; ++k) {
        const Instant next(node, from, held ? 0 : k + 1 < count ? k + 2 : count);  // on its way meanwhile
#if LAW == 3
        if (k == 0) first = first_phi(each), second = second_phi(each, first);
        const REAL left = exp(x - after.push), pushed = exp(before.push - after.push);
        x = after.push + log(left + each * (first * (pushed - left) + second * (1 - pushed)));
#else
#if LAW == 2
        const REAL at_start = node.ratio(x), x0 = x;
        for (int turn = 0; turn < 30; ++turn) {
            gamma = (at_start + node.ratio(x)) / 2 + standing;
            const REAL miss = x - offset - stepped(x0 - offset, each, gamma, before.push, after.push);
            const REAL slope = feedback_slope(x, gain, least);
            const REAL pull = each * first_phi(each * gamma) * (x0 + x - 2 * offset) / 4 * slope;
            const REAL moved = miss / (1 + fmax(pull, (REAL)0));
            x -= moved;
            if (fabs(moved) <= 4 * EPSILON * fabs(x)) break;
        }
        const REAL middle = (x0 + x) / 2;
        const REAL rate = gamma + feedback_slope(middle, gain, least) * fmax(middle - offset, (REAL)0);
        heat = strength * first_phi(2 * each * rate);
#else
        if (k == 0 || drives.of[2].at) {
            gamma = (before.feedback + after.feedback) / 2 + standing;
            first = first_phi(each * gamma), second = second_phi(each * gamma, first);
            heat = strength * first_phi(2 * each * gamma);
        }
        const REAL rate = gamma;
        x += each * (first * (before.push - gamma * x) + second * (after.push - before.push));
#endif
        if (shaken) {
            const REAL quiver = shaken == 2 ? rate : gamma - standing + quiet;
            const REAL more = moving ? moving[(long long)((late + k) / REFRESH) * size + j] : (REAL)0;
            const REAL normal = given ? given[(long long)k * size + j] : (REAL)drawn.at(begin + k);
            x += sqrt(heat * (quiver + more)) * normal;
        }
#endif
        out[(long long)k * size + j] = x;
        before = after, after = next;
    }
    if (!(fabs(x) <= (REAL)1e30)) *broken = 1;
}
"""
)


@lru_cache(maxsize=8)
def steps_source(dtype: Any, law: int, cells: Cells) -> str:
    """Source of `steps`. law: as in `element_source`; 3 is a tail."""
    return head(dtype, law, cells) + NORMALS + STEPS
