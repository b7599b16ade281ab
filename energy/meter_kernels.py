"""CUDA kernel of the meter: all that is integrated in the elements of a group, in one launch. See `fused.py`, which
launches it, and `emulator/kernels.py`.

A thread goes through one column of a run of rows (`columns.py`) of one sample and adds to sums that are its own, so
nothing is summed in an order that changes. blockIdx.y is the sample; blocks of THREADS threads work on one job each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..circuits.cells.node import CUDA as LAWS
from ..circuits.cells.smooth import CUDA as SMOOTH
from ..emulator.kernels import THREADS, defines

FIXED = ("block", "kind", "runs", "width", "sums", "last", "edges", "own", "own_step")
MOVING = ("y", "c", "before", "n2", "n3", "y_point", "y_row", "y1", "y2", "y3", "c_point", "c_row", "c1", "c2", "c3")

WEIGH = r"""
// What never changes of a job. block: its first; kind: of its law; sums (flows, samples, runs, width); edges: of its
// runs; own: `least`, then a number of each node or, with own_step 0, of all
struct Job { long long FIXED; };

// Where it reads: nodes y and c, steps of a sample's point, of a row and along a column's axes, of which the last two
// are n2 and n3 long; before: where y began, or null
struct Place { long long MOVING; };
struct Moving { long long at[JOBS * (sizeof(Place) / 8)]; };  // by value

// Flows at a node and point: amperes and watts, which for an array itself are |x| and x²
template <int KIND> struct Law;
LAWS_OF_KINDS

template <int KIND> static __device__ __forceinline__ void go_through(
    const Job& job, const Place& place, int column, int run, int count, REAL scale, const REAL* weights, int ends,
    long long samples, long long sample)
{
    const REAL* const own = (const REAL*)job.own;
    const int* const edges = (const int*)job.edges;
    const int n2 = place.n2, n3 = place.n3, i1 = column / (n2 * n3), i2 = column / n3 % n2, i3 = column % n3;
    const REAL* const of_y = (const REAL*)place.y + i1 * place.y1 + i2 * place.y2 + i3 * place.y3;
    const REAL* const of_c = (const REAL*)place.c + i1 * place.c1 + i2 * place.c2 + i3 * place.c3;
    const REAL* const before = (const REAL*)place.before;
    const long long nodes = (long long)edges[job.runs] * job.width;
    REAL all_amperes = 0, all_watts = 0, way = 0;
    for (int row = edges[run]; row < edges[run + 1]; ++row) {
        const long long node = (long long)row * job.width + column;
        const REAL number = KIND ? own[1 + node * job.own_step] : (REAL)0;
        REAL y = 0, from = before ? before[sample * nodes + node] : (REAL)0;
        for (int k = 0; k < count; ++k) {
#pragma unroll
            for (int q = 0; q < P; ++q) {
                const long long line = ((long long)k * P + q) * samples + sample;
                REAL amperes, watts;
                y = of_y[line * place.y_point + row * place.y_row];
                const REAL c = KIND ? of_c[line * place.c_point + row * place.c_row] : (REAL)0;
                Law<KIND>::at(y, c, number, own[0], amperes, watts);
                all_amperes += weights[q] * amperes;
                all_watts += weights[q] * watts;
            }
            if (before) way += fabs(y - from);
            from = y;
        }
        if (!KIND && ends) ((REAL*)job.last)[sample * nodes + node] = y;
    }
    REAL* const sums = (REAL*)job.sums + (sample * job.runs + run) * job.width + column;
    const long long flow = samples * job.runs * job.width;
    sums[0] += scale * all_amperes;
    sums[flow] += scale * all_watts;
    if (before) sums[2 * flow] += way;
}

extern "C" __global__ void weigh(
    const long long samples, const int count, const REAL scale, const int ends, const REAL* weights,
    const long long* jobs, const int* job_of_block, const Moving moving)
{
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const int n = job_of_block[at / THREADS];
    const Job& job = ((const Job*)jobs)[n];
    Place place;
#pragma unroll
    for (int i = 0; i < (int)(sizeof(Place) / 8); ++i) ((long long*)&place)[i] = moving.at[n * (sizeof(Place) / 8) + i];
    const long long thread = at - job.block * THREADS;
    const int run = thread / job.width, column = thread - run * job.width;
    if (run >= job.runs) return;
    switch (job.kind) { CASES }
}
"""
LAW = """template <> struct Law<{kind}> {{
    static __device__ __forceinline__ void at(REAL y, REAL c, REAL own, REAL least, REAL& amperes, REAL& watts) {{
        {flows}
    }}
}};
"""
CASE = (
    "case {kind}: go_through<{kind}>(job, place, column, run, count, scale, weights, ends, samples, blockIdx.y); break;"
)
ITSELF = "amperes = fabs(y); watts = y * y;"


def weigh_source(dtype: Any, points: int, jobs: int, flows: Sequence[str]) -> str:
    """Source of `weigh` for elements of so many points and so many jobs; flows: statements that set `watts` and
    `amperes` (`circuits.cells.power.Costs.cuda`), of kind 0, 1, …, kind 0 being `ITSELF`."""
    sizes = {
        "P": points,
        "THREADS": THREADS,
        "JOBS": jobs,
        "FIXED": ", ".join(FIXED),
        "MOVING": ", ".join(MOVING),
        "CASES": " ".join(CASE.format(kind=kind) for kind in range(len(flows))),
    }
    head = defines(dtype) + "".join(f"#define {name} {value}\n" for name, value in sizes.items())
    laws = "".join(LAW.format(kind=kind, flows=text) for kind, text in enumerate(flows))
    return head + SMOOTH + LAWS + WEIGH.replace("LAWS_OF_KINDS", laws)
