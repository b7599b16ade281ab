"""The meter on a GPU: one launch an element of a group; the host waits for nothing.

Each array, and each law that reads two, is a job of the launch (`meter_kernels.py`). What laws sum over other nodes
first (`Contracted`, `Loaded`) is one matrix product more. All sums stay on the device until they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..circuits.cells import Costs
from ..emulator import kernels
from ..emulator.kernels import blocks, struct
from ..emulator.observers import Element
from ..emulator.plan import Plan
from ..emulator.radau import quadrature
from .integrals import Tally
from .meter_kernels import ITSELF, weigh_source
from .readings import Readings

Array = Any
AXES = 3  # that a kernel tells a column's indices along
TOGETHER = 32  # jobs of a launch at most: what moves of them is handed over by value, in 4 KB
ROWS = 16  # of a run at most: longer ones keep fewer threads busy, shorter ones more sums to read and write


class Job:
    """An array to be integrated, or with `part` the law of a part.

    fixed: `meter_kernels.FIXED` but for its first block; held: arrays that it points to.
    """

    def __init__(self, tally: FusedTally, array: str | None, part: str | None) -> None:
        backend = tally.backend
        self.array, self.part = array, part
        self.columns = tally.law_columns[part] if part else tally.columns[array or ""]
        costs = tally.rest[part].costs if part else Costs(ITSELF, 0.0, 0.0)
        sums, last = (tally.of_law[part], None) if part else (tally.of[array or ""], tally.last[array or ""])
        own = np.concatenate([[costs.least], np.reshape(costs.own, -1)])
        edges = backend.xp.asarray(np.array(self.columns.edges, np.int32))
        self.held = [backend.array(own), edges]
        addresses = (backend.address(sums), 0 if last is None else backend.address(last))
        self.fixed = (
            tally.flows.index(costs.cuda), self.columns.runs, self.columns.width, *addresses, backend.address(edges),
            backend.address(self.held[0]), int(len(own) > 2),
        )  # fmt: skip
        self._steps: dict[Any, list[int]] = {}

    @property
    def blocks(self) -> int:
        """Of threads, one a column of a run."""
        return blocks(self.columns.runs * self.columns.width)[0]

    def moving(self, y: Array, c: Array) -> list[int]:
        """Lengths and steps of `meter_kernels.MOVING`, for y (K, …) and c, broadcastable to it."""
        key = y.strides, c.shape, c.strides
        if key not in self._steps:
            self._steps[key] = steps(y, c)
        return self._steps[key]


class Launch:
    """Some jobs of a group, and their tables on the device."""

    def __init__(self, tally: FusedTally, jobs: Sequence[Job]) -> None:
        xp, self.jobs = tally.backend.xp, jobs
        counts = [job.blocks for job in jobs]
        first = np.cumsum([0, *counts[:-1]])
        self.blocks = sum(counts)
        self.table = xp.asarray(np.array([(at, *job.fixed) for at, job in zip(first, jobs, strict=True)], np.int64))
        self.job_of_block = xp.asarray(np.repeat(np.arange(len(jobs), dtype=np.int32), counts))


class FusedTally(Tally):
    """As `Tally`."""

    longest = ROWS

    def __init__(self, plan: Plan, batch: int) -> None:
        super().__init__(plan, batch)
        self.flows = list(dict.fromkeys([ITSELF, *(law.costs.cuda for law in self.rest.values())]))
        self._launches = {first: self._of_group(found) for first, found in self._readings.items()}
        self._kernels: dict[tuple[int, int], Any] = {}

    def _of_group(self, found: Readings) -> list[Launch]:
        """A law follows the array that it reads, which is still in a cache."""
        jobs = []
        for reading in found.each:
            jobs += [Job(self, reading.array, None)] if reading.array else []
            jobs += [Job(self, None, part) for part in reading.driven]
        jobs += [Job(self, None, part) for part in found.others]
        return [Launch(self, jobs[k : k + TOGETHER]) for k in range(0, len(jobs), TOGETHER)]

    def ready(self) -> None:
        """All that launches need, on the device: nothing is compiled or copied while a run is recorded."""
        for points in self.plan.solvers:
            self.backend.kept(quadrature, points)
            for size in {len(launch.jobs) for launches in self._launches.values() for launch in launches}:
                self._kernel(points, size).compile()

    def element(self, element: Element) -> None:
        p, real = element.points, np.dtype(self.backend.dtype).type
        for launch in self._launches[element.group.stages[0].name]:
            rows, held = zip(*(self._placed_job(job, element) for job in launch.jobs), strict=True)
            arguments = (
                np.int64(self.batch), np.int32(element.count), real(element.length / element.count),
                np.int32(element.ends), self.backend.kept(quadrature, p), launch.table, launch.job_of_block,
                struct(rows),
            )  # fmt: skip
            self._kernel(p, len(rows))((launch.blocks, self.batch), (kernels.THREADS,), arguments)
            del held

    def _placed_job(self, job: Job, element: Element) -> tuple[list[int], Any]:
        """(`meter_kernels.MOVING` of a job, the arrays in it, to be kept until the kernel is launched)."""
        flat, address = element.flat, self.backend.address
        if job.part:
            y, c = self._placed[job.part].pair(flat)
            return [address(y), address(c), 0, *job.moving(y, c)], (y, c)
        assert job.array is not None
        y, before = flat[job.array], element.initial.get(job.array)
        before = None if before is None else self.backend.xp.ascontiguousarray(before)
        start = 0 if before is None else address(before)
        return [address(y), address(y), start, *job.moving(y, y)], (y, before)

    def _kernel(self, points: int, jobs: int) -> Any:
        if (points, jobs) not in self._kernels:
            source = weigh_source(self.backend.dtype, points, jobs, self.flows)
            self._kernels[points, jobs] = self.backend.kernel(source, "weigh")
        return self._kernels[points, jobs]


def steps(y: Array, c: Array) -> list[int]:
    """How a kernel finds a node in y (K, rows, …) and c, which broadcasts to it: the last two of the lengths that a
    column's index is told apart by, then steps of K, of rows and along those three axes, of y and of c. Neighbouring
    axes that can be counted through are one."""
    c = c.reshape(len(c), *(1,) * (y.ndim - c.ndim), *c.shape[1:])
    y, c = (x[:, None] if y.ndim == 2 else x for x in (y, c))
    of_y, of_c = ([step // x.itemsize for step in x.strides] for x in (y, c))
    of_c = [0 if n == 1 else step for n, step in zip(c.shape, of_c, strict=True)]
    axes: list[tuple[int, int, int]] = []
    for n, step, other in zip(y.shape[2:], of_y[2:], of_c[2:], strict=True):
        if axes and axes[-1][1:] == (n * step, n * other):
            axes[-1] = (axes[-1][0] * n, step, other)
        elif n > 1:
            axes.append((n, step, other))
    if len(axes) > AXES:
        raise ValueError(f"nodes of shape {y.shape[1:]} need {len(axes)} axes beside their rows; {AXES} at most")
    axes = [(1, 0, 0)] * (AXES - len(axes)) + axes
    sizes, along_y, along_c = ([axis[k] for axis in axes] for k in range(3))
    return [*sizes[1:], *of_y[:2], *along_y, *of_c[:2], *along_c]


def tally(plan: Plan, batch: int) -> Tally:
    """The tally of a plan's device."""
    return FusedTally(plan, batch) if plan.backend.fused else Tally(plan, batch)
