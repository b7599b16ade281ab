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

// Where a thread reads an array: at its points one after another, then in the next row; `one`: all columns are one
struct Walk {
    const REAL* at;
    long long step, back;
    bool one;
    template <int N> __device__ __forceinline__ void read_points(Pack<N>* into) {
#pragma unroll
        for (int q = 0; q < P; ++q, at += step) {
            if (!one) into[q] = read<N>(at);
            else for (int v = 0; v < N; ++v) into[q].of[v] = *at;
        }
    }
};
struct Start { int row, i1, i2, i3; };  // of a thread
static __device__ __forceinline__ Walk walk(
    const Start& s, const Elements& e, long long at, long long point, long long row, long long by1, long long by2,
    long long by3, bool one)
{
    const long long step = e.samples * point, first = e.sample * point + s.row * row + s.i1 * by1 + s.i2 * by2;
    const Walk found = {(const REAL*)at + first + s.i3 * by3, step, row - e.count * P * step, one};
    return found;
}

// What a thread adds up of N columns: of nodes themselves, and of a law
template <int N> struct Itself {
    REAL size[N], square[N], way[N];
    __device__ __forceinline__ void add_points(const Pack<N>* y, const Pack<N>& from, const Weights& w) {
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
    }
};
template <int N> struct Flows {
    REAL amperes[N], watts[N];
    template <class Its> __device__ __forceinline__ void add_points(
        int n, const Pack<N>* y, const Pack<N>* c, const Pack<N>& own, REAL least, const Weights& w)
    {
#pragma unroll
        for (int v = 0; v < N; ++v) {
#pragma unroll
            for (int q = 0; q < P; ++q) {
                REAL its_amperes, its_watts;
                Its::flow(n, y[q].of[v], c[q].of[v], own.of[v], least, its_amperes, its_watts);
                amperes[v] += w.at[q] * its_amperes;
                watts[v] += w.at[q] * its_watts;
            }
        }
    }
};

// N columns of a run
template <int KIND, int N> static __device__ __forceinline__ void go_through(
    const Job& job, const Place& place, const Moving& moving, int column, int run, const Elements& e,
    const Weights& w)
{
    typedef Kind<KIND> Its;
    const int* const edges = (const int*)job.edges;
    const int n2 = place.n2, n3 = place.n3, rows = edges[run + 1] - edges[run], width = job.width;
    const Start start = {edges[run], column / (n2 * n3), column / n3 % n2, column % n3};
    Walk of_y = walk(start, e, place.y, place.y_point, place.y_row, place.y1, place.y2, place.y3, false);
    Walk of_c[Its::LAWS + 1];
#pragma unroll
    for (int n = 0; n < Its::LAWS; ++n) {
        const int at = job.place + sizeof(Place) / 8 + n * (sizeof(PlaceOfLaw) / 8);
        const PlaceOfLaw l = placed<PlaceOfLaw>(moving, at);
        of_c[n] = walk(start, e, l.c, l.c_point, l.c_row, l.c1, l.c2, l.c3, !l.c3);
    }
    long long node = (long long)start.row * width + column;
    const long long nodes = (long long)edges[job.runs] * width;
    const REAL* const before = place.before ? (const REAL*)place.before + e.sample * nodes : 0;
    REAL* const last = Its::ITSELF && e.ends ? (REAL*)job.last + e.sample * nodes : 0;
    Itself<N> itself = {};
    Flows<N> flows[Its::LAWS + 1] = {};
    for (int row = 0; row < rows; ++row, node += width) {
        Pack<N> from = {}, own[Its::LAWS + 1];
        if (before) from = read<N>(before + node);
#pragma unroll
        for (int n = 0; n < Its::LAWS; ++n)
#pragma unroll
            for (int v = 0; v < N; ++v)
                own[n].of[v] = ((const REAL*)job.laws[n].own)[1 + (node + v) * job.laws[n].own_step];
        for (int k = 0; k < e.count; ++k) {
            Pack<N> y[P], c[P];
            of_y.read_points(y);
#pragma unroll
            for (int n = 0; n < Its::LAWS; ++n) {
                const bool alone = Its::ALONE >> n & 1;
                if (!alone) of_c[n].read_points(c);
                const REAL least = *(const REAL*)job.laws[n].own;
                flows[n].template add_points<Its>(n, y, alone ? y : c, own[n], least, w);
            }
            if (Its::ITSELF) itself.add_points(y, from, w);
            from = y[P - 1];
        }
        if (last) *(Pack<N>*)(last + node) = from;
        of_y.at += of_y.back;
#pragma unroll
        for (int n = 0; n < Its::LAWS; ++n) of_c[n].at += of_c[n].back;
    }
    const long long sum = (e.sample * job.runs + run) * width + column, flow = e.samples * job.runs * width;
    if (Its::ITSELF) {
        REAL* const sums = (REAL*)job.sums + sum;
        add<N>(sums, itself.size, e.scale);
        add<N>(sums + flow, itself.square, e.scale);
        if (before) add<N>(sums + 2 * flow, itself.way, 1);
    }
#pragma unroll
    for (int n = 0; n < Its::LAWS; ++n) {
        REAL* const sums = (REAL*)job.laws[n].sums + sum;
        add<N>(sums, flows[n].amperes, e.scale);
        add<N>(sums + flow, flows[n].watts, e.scale);
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
