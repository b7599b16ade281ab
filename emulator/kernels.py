"""CUDA kernels of the GPU backend: what array operations would read and write many times is done in one pass.

The laws come from the cells (`smooth.CUDA`, `copies.CUDA`, `node.CUDA`, `NodeArray.cuda_law`); here is what the solver
does with them, one thread a node. Sources are compiled for a type, a number of points and a law, once a process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..circuits.cells.copies import CUDA as COPIES
from ..circuits.cells.node import CUDA as LAWS
from ..circuits.cells.smooth import CUDA as SMOOTH
from ..circuits.cells.term import Inline

Array = Any
THREADS = 256
NOTHING = np.uint64(0)  # a null pointer

# What is one number, or one a node, is handed over as (address, stride) pairs in a table; rows in this order, with what
# stands for what is not there, then the values of cells that are evaluated in the kernel:
ABSENT = {"bias": 0.0, "attenuation": 1.0, "exists": 1.0, "reach": 1e30, "offset": 0.0, "standing": 0.0, "pace": 1.0,
          "own": 1.0, "gain": 1.0, "scale": 1.0}  # fmt: skip
SUMS = ("SUMMED", "PASSING", "CONTROLLED")  # what a node may read besides: sums of currents, a control
FIRST = len(SUMS)  # from here on sources are what cells read


@dataclass(frozen=True)
class Cells:
    """Cells that are evaluated in the kernel: expressions of their currents through the conveyor and past it, and of
    what moves of the conductances that make noise, in R(n), number n of what they read, and V(n), number n of their
    values; "" where there are none. How many numbers the currents read, the conductances read after those, and values
    there are; whether sums of other cells' currents are read too, through the conveyor and past it, and a control."""

    conveyed: str = ""
    direct: str = ""
    moving: str = ""
    reads: int = 0
    looked: int = 0
    values: int = 0
    summed: bool = False
    passing: bool = False
    controlled: bool = False

    def and_also(self, way: str, inline: Inline) -> Cells:
        """With one more; way: "conveyed", "direct" or, after all of those, "moving"."""
        law = renamed(inline.law, self.reads + self.looked, self.values)
        count, values = len(inline.reads), self.values + len(inline.values)
        added = f"{getattr(self, way)} + {law}".removeprefix(" + ")
        if way == "moving":
            return replace(self, moving=added, looked=self.looked + count, values=values)
        more = replace(self, reads=self.reads + count, values=values)
        return replace(more, conveyed=added) if way == "conveyed" else replace(more, direct=added)

    @property
    def defines(self) -> str:
        """Macros of a kernel."""
        there = (self.summed, self.passing, self.controlled)
        conveyed = _added("node.bias", "all.of[0]" * self.summed, self.conveyed)
        past = _added("all.of[1]" * self.passing, self.direct)
        counts = {"SOURCES": FIRST + self.reads, "LOOKED": self.looked, "VALUES": self.values}
        macros = {"CONVEYED": conveyed, "PAST": past and f"node.exists * {past}", "MOVING": self.moving}
        macros = {name: f"({law or '(REAL)0'})" for name, law in macros.items()}
        all_of_them = macros | counts | {name: int(is_there) for name, is_there in zip(SUMS, there, strict=True)}
        return "".join(f"#define {name} {value}\n" for name, value in all_of_them.items())


def _added(*parts: str) -> str:
    """The sum of the expressions that are there: adding 0 to a number is an instruction too."""
    there = " + ".join(f"({part})" for part in parts if part)
    return f"({there})" if there else ""


def renamed(law: str, reads: int, values: int) -> str:
    """A cell's expression of r0, r1, … and v0, v1, … in R(n) and V(n), n counted on from these."""
    law = re.sub(r"\br(\d+)\b", lambda found: f"R({reads + int(found[1])})", law)
    return re.sub(r"\bv(\d+)\b", lambda found: f"V({values + int(found[1])})", law)


NODE = r"""
// Where numbers are read, by value: at a point `step` numbers after the one before it. index: which of a
// sample's `row` numbers each node reads; null: `inner` nodes in a row share one
struct Source { const REAL* at; long long step; const int* index; long long inner, row; };
struct Drives { Source of[SOURCES + LOOKED]; };
struct Table { long long at[2 * (10 + VALUES)]; };

// What one node is: numbers of its own from the table of (address, stride)
struct Node {
    REAL bias, share, exists, reach, offset, standing, pace, own, gain, scale, least, v[VALUES + 1];
    __device__ __forceinline__ Node(const Table& table, unsigned i, REAL floor) {
#define OF(k) (((const REAL*)table.at[2 * (k)])[table.at[2 * (k) + 1] * i])
        bias = OF(0), exists = OF(2), share = OF(1) * exists, reach = OF(3), offset = OF(4), standing = OF(5);
        pace = OF(6), own = OF(7), gain = OF(8), scale = OF(9), least = floor;
#pragma unroll
        for (int n = 0; n < VALUES; ++n) v[n] = OF(10 + n);
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

// Whether a source is there
#define READ(n) ((n) == 0 ? SUMMED : (n) == 1 ? PASSING : (n) == 2 ? CONTROLLED : 1)

// What the currents into a node read at one point: sums of currents, a control, then of cells
struct Reads { REAL of[SOURCES]; };

// The currents into node i of a sample, number j of all
struct Currents {
    const Node& node;
    const REAL* at[SOURCES + LOOKED];
    long long step[SOURCES + LOOKED];
    __device__ __forceinline__ Currents(const Drives& drives, const Node& its, unsigned i, unsigned j, unsigned sample)
        : node(its) {
#pragma unroll
        for (int n = 0; n < SOURCES + LOOKED; ++n) {
            if (!READ(n)) continue;
            const Source& s = drives.of[n];
            const unsigned apart = s.inner == 1 ? j : j / (unsigned)s.inner;
            at[n] = s.at + (s.index ? sample * (unsigned)s.row + s.index[i] : apart), step[n] = s.step;
        }
    }
    __device__ __forceinline__ REAL read(int n, long long point) const { return __ldg(at[n] + point * step[n]); }
    __device__ __forceinline__ Reads reads(long long point) const {
        Reads all;
#pragma unroll
        for (int n = 0; n < SOURCES; ++n) all.of[n] = READ(n) ? read(n, point) : (REAL)0;
        return all;
    }
#define V(n) node.v[n]
#define R(n) all.of[3 + n]
    __device__ __forceinline__ REAL pushed(const Reads& all) const {
        return CONVEYED * node.share;
    }
    __device__ __forceinline__ REAL past(const Reads& all) const { return PAST; }
    __device__ __forceinline__ REAL feedback(const Reads& all) const {
        return CONTROLLED ? node.ratio(all.of[2]) : node.own;
    }
#undef R
#define R(n) read(3 + n, point)
    __device__ __forceinline__ REAL moving(long long point) const { return MOVING; }
    // the currents' point number `points` becomes point 0; what moves stays where it was
    __device__ __forceinline__ void advance(int points) {
#pragma unroll
        for (int n = 0; n < SOURCES; ++n)
            if (READ(n)) at[n] += points * step[n];
    }
    // one point is that of all
    __device__ __forceinline__ void stay() {
#pragma unroll
        for (int n = 0; n < SOURCES; ++n) step[n] = 0;
    }
};
"""

REST = r"""
// Where nodes rest while those they read stand still, and how many are beyond the linear part of their rail
extern "C" __global__ void rest(
    const int size, const int row, const REAL least, const Drives drives, const Table table, const int limited,
    REAL* out, unsigned long long* beyond)
{
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    const bool here = at < (unsigned)size;
    const unsigned j = here ? at : 0, sample = j / (unsigned)row, i = j - sample * row;
    const Node node(table, i, least);
    const Currents from(drives, node, i, j, sample);
    const Reads read = from.reads(0);
    const REAL feedback = from.feedback(read), asked = from.pushed(read);
    const REAL bound = node.bound(asked, feedback);
    const REAL push = delivered(asked, bound) + from.past(read);
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

INTERPOLATE = r"""
// Polynomials of elements in a row at ascending times: weights (times, 1 + P + 1), which element, then those of its
// start and of its points
extern "C" __global__ void interpolate(
    const int size, const int times, const REAL* weights, const REAL* start, const REAL* points, REAL* out)
{
    const unsigned j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= (unsigned)size) return;
    int element = -1;
    REAL begin = 0, x[P];
    for (int t = 0; t < times; ++t) {
        const REAL* const weight = weights + t * (P + 2);
        const int which = (int)__ldg(weight);
        if (which != element) {
            const REAL* const its = points + (long long)which * P * size + j;
            begin = which ? *(its - size) : start[j];
#pragma unroll
            for (int q = 0; q < P; ++q) x[q] = its[(long long)q * size];
            element = which;
        }
        REAL value = __ldg(weight + 1) * begin;
#pragma unroll
        for (int q = 0; q < P; ++q) value += __ldg(weight + 2 + q) * x[q];
        out[(long long)t * size + j] = value;
    }
}
"""

RAISE = r"""
// Raise *most to the largest of a warp's numbers, which are not negative: their bits ascend too. together: it is the
// same place for all of them
__device__ __forceinline__ void raise(REAL value, bool together, double* most) {
    if (!(value <= (REAL)1e30)) value = (REAL)1e30;
    if (together) {
#if SINGLE && __CUDA_ARCH__ >= 800
        value = __int_as_float(__reduce_max_sync(0xffffffffu, __float_as_int(value)));
#else
        for (int lane = 16; lane > 0; lane /= 2) value = fmax(value, __shfl_down_sync(0xffffffffu, value, lane));
#endif
        if ((threadIdx.x & 31) != 0) return;
    }
    if (value > 0 && value > *(volatile double*)most) atomicMax((long long*)most, __double_as_longlong((double)value));
}
"""


def struct(rows: Any) -> Array:
    """Whole numbers in a row, to be handed over by value."""
    values = np.array(rows, np.int64).reshape(-1)
    return values.view(np.dtype([("at", np.int64, len(values))]))


def apart(x: Array) -> int | None:
    """Numbers from row to row of an array whose rows, its last axis, lie evenly and further apart than they are long;
    None of others."""
    if x.ndim < 2 or x.strides[-1] != x.itemsize or x.strides[-2] <= x.shape[-1] * x.itemsize:
        return None
    evenly = all(x.strides[k] == x.strides[k + 1] * x.shape[k + 1] for k in range(x.ndim - 2))
    return int(x.strides[-2] // x.itemsize) if evenly else None


def spread(backend: Any, value: Array, shape: tuple[int, ...]) -> Array:
    """One number, or one a node of an array of this shape."""
    array = backend.array(value)
    if array.size == 1:
        return array.reshape(1)
    return backend.spread(array, shape).reshape(-1)


def tabled(backend: Any, values: Sequence[Array]) -> Array:
    """The (address, stride) pairs of such numbers."""
    return struct([(backend.address(value), int(value.size > 1)) for value in values])


def blocks(size: int) -> tuple[int, ...]:
    """Grid of so many threads."""
    return (-(-size // THREADS),)


@lru_cache(maxsize=4)
def defines(dtype: Any) -> str:
    """The type that a kernel computes in."""
    single = np.dtype(dtype) == np.float32
    real = "float" if single else "double"
    epsilon = float(np.finfo(dtype).eps)
    names = {"SINGLE": int(single), "REAL": real, "EPSILON": f"((REAL){epsilon!r})"}
    return "".join(f"#define {name} {value}\n" for name, value in names.items())


def rest_source(dtype: Any, law: int, cells: Cells) -> str:
    """Source of `rest`."""
    return head(dtype, law, cells) + REST


@lru_cache(maxsize=8)
def interpolate_source(dtype: Any, points: int) -> str:
    """Source of `interpolate`."""
    return defines(dtype) + f"#define P {points}\n" + INTERPOLATE


def head(dtype: Any, law: int, cells: Cells) -> str:
    """What all kernels that know nodes begin with."""
    return defines(dtype) + f"#define LAW {law}\n" + cells.defines + SMOOTH + COPIES + LAWS + NODE


@lru_cache(maxsize=64)
def compiled(source: str, name: str) -> Any:
    """A kernel ready to be launched."""
    import cupy

    return cupy.RawKernel(source, name, options=("-std=c++14",))
