"""How far noise takes the nodes of every array from where they would rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import kernels
from .fused import fused_stages
from .observers import Element
from .plan import Plan

Array = Any
SQUARES = r"""
// adds Σ ((values − target) / full scale)² over nodes and `count` steps, times seconds, to *sum
extern "C" __global__ void squares(
    const int size, const int row, const int count, const double seconds, const REAL* values, const REAL* target,
    const REAL* scale, const int scale_step, double* sum)
{
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned j = at < (unsigned)size ? at : 0;
    const REAL aim = target[j], per = at < (unsigned)size ? scale[j % (unsigned)row * scale_step] : (REAL)0;
    double total = 0;
    for (int k = 0; k < count; ++k) {
        const REAL off = (values[(long long)k * size + j] - aim) * per;
        total += (double)(off * off);
    }
    for (int lane = 16; lane > 0; lane /= 2) total += __shfl_down_sync(0xffffffffu, total, lane);
    if ((threadIdx.x & 31) == 0) atomicAdd(sum, total * seconds);
}
"""


class NoiseMeter:
    """Observer: rms deviation of each array from `target`, share of full scale, over nodes, samples and time.

    target: logical values (batch, *shape), usually the noiseless operating point; since [s]: from when on. Nodes that
    do not exist don't count.
    Of steps of the noise engine, which are elements of one point.
    """

    keeps = ("_sums", "_seconds")

    def __init__(self, target: Mapping[str, Array], since: float) -> None:
        self.target, self.since = target, since

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._sums = FusedSums(plan) if plan.backend.fused else Sums(plan)
        nodes = {stage.name: max(1, plan.circuit.arrays[stage.name].count) for stage in plan.stages}
        self._nodes = {name: count * len(start[name]) for name, count in nodes.items()}
        self._seconds = dict.fromkeys(self._nodes, 0.0)

    def element(self, element: Element) -> None:
        step = element.length / element.count
        late = element.count - int(np.count_nonzero(element.times - step < self.since * (1 - 1e-9)))
        if late:
            for name in element.initial:
                self._sums.add(name, element.values[name][-late:], self.target[name], step)
                self._seconds[name] += step * late

    def window(self, time: float) -> None:
        pass

    @property
    def rms(self) -> dict[str, float]:
        """By array; nan for what was never seen after `since`."""
        return {
            name: math.sqrt(total / (self._seconds[name] * self._nodes[name])) if self._seconds[name] else math.nan
            for name, total in self._sums.totals.items()
        }


class Sums:
    """∫ Σ ((x − target) / full scale)² dt over all nodes, by array."""

    keeps = ("totals",)

    def __init__(self, plan: Plan) -> None:
        self.totals = {stage.name: 0.0 for stage in plan.stages}
        self._per = {stage.name: stage.per_full_scale for stage in plan.stages}

    def add(self, name: str, values: Array, target: Array, seconds: float) -> None:
        """Steps of so many seconds: values (count, batch, *shape)."""
        off = values - target
        off *= self._per[name]
        each = off.reshape(len(off), -1)
        self.totals[name] += seconds * float(np.einsum("kn,kn->k", each, each).sum(dtype=float))


class FusedSums:
    """The same on a GPU, where the sums stay."""

    keeps = ("_sums",)

    def __init__(self, plan: Plan) -> None:
        self.backend, self.stages = plan.backend, fused_stages(plan)
        self._sums = plan.backend.xp.zeros(len(self.stages), np.float64)
        self._place = {name: k for k, name in enumerate(self.stages)}
        self._kernel = plan.backend.kernel(kernels.defines(plan.backend.dtype) + SQUARES, "squares")

    def add(self, name: str, values: Array, target: Array, seconds: float) -> None:
        size, place, scale = target.size, self._place[name], self.stages[name].scale
        arguments = (
            np.int32(size), np.int32(size // len(target)), np.int32(len(values)), np.float64(seconds), values,
            self.backend.xp.ascontiguousarray(target), scale, np.int32(scale.size > 1), self._sums[place : place + 1],
        )  # fmt: skip
        self._kernel(kernels.blocks(size), (kernels.THREADS,), arguments)

    @property
    def totals(self) -> dict[str, float]:
        sums = self.backend.host(self._sums)
        return {name: float(sums[k]) for name, k in self._place.items()}
