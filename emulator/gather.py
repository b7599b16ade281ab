"""Arrays copied to their places in one block, all of them by a launch or two: on a GPU a copy of each costs more than
the copying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import kernels
from .backend import Backend
from .kernels import THREADS, blocks, defines, struct

Array = Any
MOST = 448  # arrays of a launch: their addresses are handed over by value, in 4 KB

GATHER = r"""
struct Part { long long block, size, to; };
struct Addresses { long long at[MOST]; };  // by value

// Part n, of `size` numbers, from at[n] to out + `to`, by threads from those of `block` on
extern "C" __global__ void gather(
    const long long* parts, const int* part_of_block, const Addresses addresses, REAL* out)
{
    const long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const int n = part_of_block[thread / THREADS];
    const Part& part = ((const Part*)parts)[n];
    const long long i = thread - part.block * THREADS;
    if (i < part.size) out[part.to + i] = ((const REAL*)addresses.at[n])[i];
}
"""


class Gather:
    """Made once for parts of these sizes that begin at these places of a block; called with arrays and the block."""

    def __init__(self, backend: Backend, sizes: Sequence[int], begins: Sequence[int]) -> None:
        self._backend = backend
        self._launches = [
            _Launch(backend, sizes[first : first + MOST], begins[first : first + MOST], first)
            for first in range(0, len(sizes), MOST)
        ]
        source = defines(backend.dtype) + f"#define MOST {MOST}\n#define THREADS {THREADS}\n" + GATHER
        self._kernel = backend.kernel(source, "gather")
        self._kernel.compile()

    def __call__(self, parts: Sequence[Array], out: Array) -> None:
        """Nothing is made, waited for or copied on the way that could not be recorded."""
        whole = [self._backend.array(part) for part in parts]
        for launch in self._launches:
            addresses = [self._backend.address(part) for part in whole[launch.first : launch.first + MOST]]
            addresses += [0] * (MOST - len(addresses))
            arguments = (launch.table, launch.part_of_block, struct(addresses), out)
            self._kernel((launch.blocks,), (kernels.THREADS,), arguments)


class _Launch:
    """Some parts, `first` of all and those after it, and their tables on the device."""

    def __init__(self, backend: Backend, sizes: Sequence[int], begins: Sequence[int], first: int) -> None:
        counts = [blocks(size)[0] for size in sizes]
        at = np.cumsum([0, *counts[:-1]])
        self.first, self.blocks = first, sum(counts)
        self.table = backend.xp.asarray(np.stack([at, sizes, begins], axis=1).astype(np.int64))
        self.part_of_block = backend.xp.asarray(np.repeat(np.arange(len(sizes), dtype=np.int32), counts))
