"""CUDA kernel of the meter: all that is integrated in the elements of a group, in one launch. See `fused.py`, which
launches it, and `emulator/kernels.py`.

A thread goes through some neighbouring columns of a run of rows (`columns.py`) of one sample, reads them 16 bytes at a
time, and adds to sums that are its own, so nothing is summed in an order that changes. blockIdx.y is the sample; blocks
of THREADS threads work on one job each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits.cells.node import CUDA as LAWS
from ..circuits.cells.smooth import CUDA as SMOOTH
from ..emulator.kernels import THREADS, defines

JOB = ("block", "kind", "runs", "width", "place", "sums", "last", "edges")
LAW_OF_JOB = ("sums", "own", "own_step")
PLACE = ("y", "before", "packed", "n2", "n3", "y_point", "y_row", "y1", "y2", "y3")
PLACE_OF_LAW = ("c", "c_point", "c_row", "c1", "c2", "c3")
AXES = 3  # that a column's indices are told along
MOVING = 480  # numbers that are handed over by value, in 4 KB
BYTES = 16  # that a thread reads at once

WEIGH = r"""
// What a job has of each law: sums (2, samples, runs, width) of amperes and watts; own: `least`, then a number of each
// node or, with own_step 0, of all
struct LawOfJob { long long OF_LAW_OF_JOB; };

// What never changes of a job. block: its first; kind: what is integrated; place: where in `Moving` its Place begins,
// which a PlaceOfLaw for each law follows; sums (3, samples, runs, width) of |y|, y² and |Δy|; last: where y ended;
// edges: of its runs
struct Job { long long OF_JOB; LawOfJob laws[MOST]; };

// Where it reads: nodes y, steps of a sample's point, of a row and along a column's axes, of which the last two are n2
// and n3 long; before: where y began, or null; packed: PACK neighbours can be read at once
struct Place { long long OF_PLACE; };
struct PlaceOfLaw { long long OF_PLACE_OF_LAW; };
struct Moving { long long at[MOVING]; };  // by value
struct Weights { REAL at[P]; };  // of an element's points, all positive
struct Elements { long long samples, sample; int count, ends; REAL scale; };

template <int N> struct alignas(N * sizeof(REAL)) Pack { REAL of[N]; };
template <int N> static __device__ __forceinline__ Pack<N> read(const REAL* at) { return *(const Pack<N>*)at; }
template <int N> static __device__ __forceinline__ void add(REAL* at, const REAL* more, REAL scale) {
    Pack<N> sum = read<N>(at);
#pragma unroll
    for (int v = 0; v < N; ++v) sum.of[v] += scale * more[v];
    *(Pack<N>*)at = sum;
}
template <class T> static __device__ __forceinline__ T placed(const Moving& moving, int first) {
    T found;
#pragma unroll
    for (int i = 0; i < (int)(sizeof(T) / 8); ++i) ((long long*)&found)[i] = moving.at[first + i];
    return found;
}

// What jobs of a kind integrate: ITSELF, |y| and y², and LAWS, amperes and watts at a node and point; ALONE: bit n
// where c of law n is y
template <int KIND> struct Kind;
KINDS

// N columns of a run
template <int KIND, int N> static __device__ __forceinline__ void go_through(
    const Job& job, const Place& place, const Moving& moving, int column, int run, const Elements& e,
    const Weights& w)
{
    typedef Kind<KIND> Its;
    const int* const edges = (const int*)job.edges;
    const int n2 = place.n2, n3 = place.n3, i1 = column / (n2 * n3), i2 = column / n3 % n2, i3 = column % n3;
    const int first = edges[run], rows = edges[run + 1] - first, width = job.width;
    const REAL* y_at = (const REAL*)place.y + e.sample * place.y_point + first * place.y_row + i1 * place.y1
        + i2 * place.y2 + i3 * place.y3;
    const long long y_step = e.samples * place.y_point, y_back = place.y_row - e.count * P * y_step;
    const REAL *c_at[Its::LAWS + 1], *own[Its::LAWS + 1];
    long long c_step[Its::LAWS + 1], c_back[Its::LAWS + 1];
    bool one[Its::LAWS + 1];
#pragma unroll
    for (int n = 0; n < Its::LAWS; ++n) {
        const PlaceOfLaw law = placed<PlaceOfLaw>(
            moving, job.place + sizeof(Place) / 8 + n * (sizeof(PlaceOfLaw) / 8));
        c_at[n] = (const REAL*)law.c + e.sample * law.c_point + first * law.c_row + i1 * law.c1 + i2 * law.c2
            + i3 * law.c3;
        c_step[n] = e.samples * law.c_point, c_back[n] = law.c_row - e.count * P * c_step[n], one[n] = !law.c3;
        own[n] = (const REAL*)job.laws[n].own;
    }
    long long node = (long long)first * width + column;
    const long long nodes = (long long)edges[job.runs] * width;
    const REAL* const before = place.before ? (const REAL*)place.before + e.sample * nodes : 0;
    REAL* const last = Its::ITSELF && e.ends ? (REAL*)job.last + e.sample * nodes : 0;
    REAL size[N] = {}, square[N] = {}, way[N] = {}, amperes[Its::LAWS + 1][N] = {}, watts[Its::LAWS + 1][N] = {};
    for (int row = 0; row < rows; ++row, node += width, y_at += y_back) {
        Pack<N> from = {};
        if (before) from = read<N>(before + node);
        REAL number[Its::LAWS + 1][N];
#pragma unroll
        for (int n = 0; n < Its::LAWS; ++n)
#pragma unroll
            for (int v = 0; v < N; ++v) number[n][v] = own[n][1 + (node + v) * job.laws[n].own_step];
        for (int k = 0; k < e.count; ++k) {
            Pack<N> y[P];
#pragma unroll
            for (int q = 0; q < P; ++q, y_at += y_step) y[q] = read<N>(y_at);
#pragma unroll
            for (int n = 0; n < Its::LAWS; ++n) {
                Pack<N> c[P];
                if (!(Its::ALONE >> n & 1)) {
#pragma unroll
                    for (int q = 0; q < P; ++q, c_at[n] += c_step[n]) {
                        if (!one[n]) c[q] = read<N>(c_at[n]);
                        else for (int v = 0; v < N; ++v) c[q].of[v] = *c_at[n];
                    }
                }
#pragma unroll
                for (int v = 0; v < N; ++v) {
#pragma unroll
                    for (int q = 0; q < P; ++q) {
                        REAL its_amperes, its_watts;
                        const REAL its = Its::ALONE >> n & 1 ? y[q].of[v] : c[q].of[v];
                        Its::flow(n, y[q].of[v], its, number[n][v], own[n][0], its_amperes, its_watts);
                        amperes[n][v] += w.at[q] * its_amperes;
                        watts[n][v] += w.at[q] * its_watts;
                    }
                }
            }
            if (!Its::ITSELF) continue;
#pragma unroll
            for (int v = 0; v < N; ++v) {
#pragma unroll
                for (int q = 0; q < P; ++q) {
                    const REAL weighed = w.at[q] * y[q].of[v];
                    size[v] += fabs(weighed);
                    square[v] += weighed * y[q].of[v];
                }
                way[v] += fabs(y[P - 1].of[v] - from.of[v]);
            }
            from = y[P - 1];
        }
        if (last) *(Pack<N>*)(last + node) = from;
#pragma unroll
        for (int n = 0; n < Its::LAWS; ++n) c_at[n] += c_back[n];
    }
    const long long sum = (e.sample * job.runs + run) * width + column, flow = e.samples * job.runs * width;
    if (Its::ITSELF) {
        REAL* const sums = (REAL*)job.sums + sum;
        add<N>(sums, size, e.scale);
        add<N>(sums + flow, square, e.scale);
        if (before) add<N>(sums + 2 * flow, way, 1);
    }
#pragma unroll
    for (int n = 0; n < Its::LAWS; ++n) {
        REAL* const sums = (REAL*)job.laws[n].sums + sum;
        add<N>(sums, amperes[n], e.scale);
        add<N>(sums + flow, watts[n], e.scale);
    }
}

template <int KIND> static __device__ __forceinline__ void columns(
    const Job& job, const Moving& moving, int column, int run, const Elements& e,
    const Weights& w)
{
    const Place place = placed<Place>(moving, job.place);
    if (place.packed) go_through<KIND, PACK>(job, place, moving, column, run, e, w);
    else for (int n = 0; n < PACK && column + n < job.width; ++n)
        go_through<KIND, 1>(job, place, moving, column + n, run, e, w);
}

extern "C" __global__ __launch_bounds__(THREADS, 3) void weigh(
    const long long samples, const int count, const REAL scale, const int ends, const Weights w,
    const long long* jobs, const int* job_of_block, const Moving moving)
{
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const Job& job = ((const Job*)jobs)[job_of_block[at / THREADS]];
    const int thread = at - job.block * THREADS, packs = (job.width + PACK - 1) / PACK;
    const int run = thread / packs, column = (thread - run * packs) * PACK;
    if (run >= job.runs) return;
    const Elements e = {samples, blockIdx.y, count, ends, scale};
    switch (job.kind) { CASES }
}
"""
KIND = """template <> struct Kind<{number}> {{
    static const bool ITSELF = {itself};
    static const int LAWS = {laws}, ALONE = {alone};
    static __device__ __forceinline__ void flow(
        int n, REAL y, REAL c, REAL own, REAL least, REAL& amperes, REAL& watts)
    {{
        switch (n) {{ {flows} }}
    }}
}};
"""


@dataclass(frozen=True)
class Kind:
    """What jobs of a kind integrate: y itself or not, and laws, each its statements that set `watts` and `amperes`
    (`circuits.cells.power.Costs.cuda`) and whether its c is y."""

    itself: bool
    laws: tuple[tuple[str, bool], ...]

    def source(self, number: int) -> str:
        flows = " ".join(f"case {n}: {{ {text} break; }}" for n, (text, _) in enumerate(self.laws))
        alone = sum(alone << n for n, (_, alone) in enumerate(self.laws))
        itself = str(self.itself).lower()
        return KIND.format(number=number, itself=itself, laws=len(self.laws), alone=alone, flows=flows)


def pack(dtype: Any) -> int:
    """Columns that a thread goes through."""
    return BYTES // int(np.dtype(dtype).itemsize)


def most_laws(kinds: Sequence[Kind]) -> int:
    """That a job has room for."""
    return max(1, *(len(kind.laws) for kind in kinds))


def weigh_source(dtype: Any, points: int, kinds: Sequence[Kind]) -> str:
    """Source of `weigh` for elements of so many points and jobs of kinds 0, 1, …"""
    sizes = {
        "P": points,
        "PACK": pack(dtype),
        "THREADS": THREADS,
        "MOVING": MOVING,
        "MOST": most_laws(kinds),
        "OF_JOB": ", ".join(JOB),
        "OF_LAW_OF_JOB": ", ".join(LAW_OF_JOB),
        "OF_PLACE": ", ".join(PLACE),
        "OF_PLACE_OF_LAW": ", ".join(PLACE_OF_LAW),
        "CASES": " ".join(f"case {n}: columns<{n}>(job, moving, column, run, e, w); break;" for n in range(len(kinds))),
    }
    head = defines(dtype) + "".join(f"#define {name} {value}\n" for name, value in sizes.items())
    return head + SMOOTH + LAWS + WEIGH.replace("KINDS", "".join(kind.source(n) for n, kind in enumerate(kinds)))
