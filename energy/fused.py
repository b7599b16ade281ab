"""The meter on a GPU: one launch an element of a group; the host waits for nothing.

Nodes that are read, with all laws whose y they are, are a job of the launch (`meter_kernels.py`): an array is read once
for all of them. What laws sum over other nodes first (`Contracted`, `Loaded`) is one matrix product more. All sums stay
on the device until they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..circuits.cells import Driven, Law, View
from ..emulator import kernels
from ..emulator.gather import Gather
from ..emulator.kernels import blocks, struct
from ..emulator.observers import Element
from ..emulator.plan import Plan
from ..emulator.radau import quadrature
from .columns import Columns
from .integrals import Tally
from .meter_kernels import AXES, JOB, LAW_OF_JOB, MOVING, PLACE, PLACE_OF_LAW, Kind, most_laws, pack, weigh_source
from .readings import Readings

Array = Any
ROWS = 8  # of a run at most: longer ones keep fewer threads busy, shorter ones more sums to read and write


class Job:
    """Nodes to be read, and what is integrated of them. array: they are all of one, itself integrated; nodes: a view,
    or None where only the law of the one part knows them."""

    def __init__(self, tally: FusedTally, nodes: View | None, array: str | None, parts: Sequence[str]) -> None:
        self.nodes, self.array, self.parts = nodes, array, parts
        self._laws, costed = [tally.placed[part] for part in parts], [tally.rest[part] for part in parts]
        self.columns = tally.columns[array] if array else tally.law_columns[parts[0]]
        self.kind = Kind(array is not None, tuple((law.costs.cuda, _alone(law)) for law in costed))
        self._pack, self._backend = pack(tally.backend.dtype), tally.backend
        self._steps: dict[Any, tuple[list[int], ...]] = {}

    @property
    def blocks(self) -> int:
        """Of threads, each with some neighbouring columns of a run."""
        return blocks(self.columns.runs * -(-self.columns.width // self._pack))[0]

    @property
    def size(self) -> int:
        """Numbers of `meter_kernels.MOVING` that it takes."""
        return len(PLACE) + len(self.parts) * len(PLACE_OF_LAW)

    def place(self, element: Element) -> tuple[list[int], Any]:
        """(Those numbers, the arrays in them, to be kept until the kernel is launched)."""
        flat, address = element.flat, self._backend.address
        pairs = [law.pair(flat) for law in self._laws]
        y = pairs[0][0] if self.nodes is None else self.nodes.of(flat[self.nodes.array])
        before = element.initial.get(self.array) if self.array else None
        before = None if before is None else self._backend.xp.ascontiguousarray(before)
        read = [y, *(c for _, c in pairs)]
        key = tuple((x.shape, x.strides) for x in read)
        if key not in self._steps:
            self._steps[key] = steps(read)
        sizes, *along = self._steps[key]
        begins, begun = [address(x) for x in read], 0 if before is None else address(before)
        wide = self._packed(sizes, along, [*begins, begun])
        row = [begins[0], begun, wide, *sizes[1:], *along[0]]
        for begin, its in zip(begins[1:], along[1:], strict=True):
            row += [begin, *its]
        return row, (read, before)

    def _packed(self, sizes: list[int], along: Sequence[list[int]], begins: list[int]) -> bool:
        """Whether all of a thread's columns can be read at once: they lie side by side in y, and in each c or are one
        there, from aligned addresses on."""
        if self.columns.width % self._pack or sizes[-1] % self._pack:
            return False
        aligned = self._pack * np.dtype(self._backend.dtype).itemsize
        for its, begin in zip(along, begins, strict=False):
            side_by_side = its[-1] == 1 and not any(step % self._pack for step in its[:-1])
            if not (side_by_side and begin % aligned == 0) and (its is along[0] or its[-1]):
                return False
        return int(begins[-1]) % int(aligned) == 0


class Launch:
    """Some jobs of a group, and their tables on the device."""

    def __init__(self, tally: FusedTally, jobs: Sequence[Job]) -> None:
        xp, self.jobs = tally.backend.xp, jobs
        counts = [job.blocks for job in jobs]
        first = np.cumsum([0, *counts[:-1]]).tolist()
        places = np.cumsum([0, *(job.size for job in jobs[:-1])]).tolist()
        self.blocks = sum(counts)
        self._held: list[Array] = []  # what the tables point to
        rows = [self._row(tally, *each) for each in zip(jobs, first, places, strict=True)]
        self.table = xp.asarray(np.array(rows, np.int64))
        self.job_of_block = xp.asarray(np.repeat(np.arange(len(jobs), dtype=np.int32), counts))

    def _row(self, tally: FusedTally, job: Job, first: int, place: int) -> list[int]:
        """Of the table: `meter_kernels.JOB`, then `LAW_OF_JOB` of each law that a job has room for."""
        address, columns, array = tally.backend.address, job.columns, job.array
        edges = tally.backend.xp.asarray(np.array(columns.edges, np.int32))
        self._held.append(edges)
        sums, last = (address(tally.of[array]), address(tally.last[array])) if array else (0, 0)
        row = [first, tally.kinds.index(job.kind), columns.runs, columns.width, place, sums, last, address(edges)]
        for part in job.parts:
            costs = tally.rest[part].costs
            own = tally.backend.array(np.concatenate([[costs.least], np.reshape(costs.own, -1)]))
            self._held.append(own)
            row += [address(tally.of_law[part]), address(own), int(own.size > 2)]
        return row + [0] * (len(JOB) + most_laws(tally.kinds) * len(LAW_OF_JOB) - len(row))


class FusedTally(Tally):
    """As `Tally`."""

    def __init__(self, plan: Plan, batch: int) -> None:
        super().__init__(plan, batch)
        jobs = {first: self._of_group(found) for first, found in self._readings.items()}
        self.kinds = list(dict.fromkeys(job.kind for each in jobs.values() for job in each))
        self._launches = {first: [Launch(self, some) for some in _filled(each)] for first, each in jobs.items()}
        self._kernels: dict[int, Any] = {}
        begin, self._free = self.backend.address(self._starts), [stage.name for stage in plan.stages]
        each = [self.start[name] for name in self._free]
        places = [(self.backend.address(part) - begin) // part.itemsize for part in each]
        self._gather = Gather(self.backend, [part.size for part in each], places)

    def _lay_out(self) -> None:
        """What is read together has its rows in the same runs."""
        super()._lay_out()
        for found in self._readings.values():
            for reading in found.each:
                of = [self.columns[reading.array]] if reading.array else []
                together = Columns.joined([*of, *(self.law_columns[part] for part in reading.driven)], ROWS)
                self.columns |= {reading.array: together} if reading.array else {}
                self.law_columns |= dict.fromkeys(reading.driven, together)
            self.law_columns |= {part: Columns.joined([self.law_columns[part]], ROWS) for part in found.others}

    def _of_group(self, found: Readings) -> list[Job]:
        each = [Job(self, reading.nodes, reading.array, reading.driven) for reading in found.each]
        return each + [Job(self, None, None, [part]) for part in found.others]

    def restart(self, start: Mapping[str, Array]) -> None:
        for block in (self._sums, self._law_sums, self._starts):
            block.fill(0)
        self._gather([start[name] for name in self._free], self._starts)
        self._ends[...] = self._starts

    def ready(self) -> None:
        """All that launches need, on the device: nothing is compiled or copied while a run is recorded."""
        for points in self.plan.solvers:
            self._kernel(points).compile()

    def element(self, element: Element) -> None:
        p, real = element.points, np.dtype(self.backend.dtype).type
        weights = quadrature(p).astype(real).view(np.dtype([("at", real, (p,))]))
        for launch in self._launches[element.group.stages[0].name]:
            rows, held = zip(*(job.place(element) for job in launch.jobs), strict=True)
            numbers = [number for row in rows for number in row]
            arguments = (
                np.int64(self.batch), np.int32(element.count), real(element.length / element.count),
                np.int32(element.ends), weights, launch.table, launch.job_of_block,
                struct(numbers + [0] * (MOVING - len(numbers))),
            )  # fmt: skip
            self._kernel(p)((launch.blocks, self.batch), (kernels.THREADS,), arguments)
            del held

    def _kernel(self, points: int) -> Any:
        if points not in self._kernels:
            source = weigh_source(self.backend.dtype, points, self.kinds)
            self._kernels[points] = self.backend.kernel(source, "weigh")
        return self._kernels[points]


def _alone(law: Law) -> bool:
    return isinstance(law, Driven) and law.alone


def _filled(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """As many in a row as one launch can be told of."""
    some: list[Job] = []
    for job in jobs:
        if sum(each.size for each in some) + job.size > MOVING:
            yield some
            some = []
        some.append(job)
    yield some


def steps(read: Sequence[Array]) -> tuple[list[int], ...]:
    """How a kernel finds a node in each array that is read together: the first y (K, rows, …), to which the others
    broadcast. Lengths of the axes that a column's index is told apart by, then of each array its steps of K, of rows
    and along those axes. Neighbouring axes that can be counted through are one."""
    y = read[0]
    shapes = [(len(x), *(1,) * (y.ndim - x.ndim), *x.shape[1:]) for x in read]
    read = [x.reshape(shape) for x, shape in zip(read, shapes, strict=True)]
    read = [x[:, None] if y.ndim == 2 else x for x in read]
    each = [
        [0 if n == 1 and k else step // x.itemsize for n, step in zip(x.shape, x.strides, strict=True)]
        for k, x in enumerate(read)
    ]
    axes: list[tuple[int, tuple[int, ...]]] = []
    for n, *step in zip(*(read[0].shape[2:],), *(its[2:] for its in each), strict=True):
        if axes and axes[-1][1] == tuple(n * one for one in step):
            axes[-1] = (axes[-1][0] * n, tuple(step))
        elif n > 1:
            axes.append((n, tuple(step)))
    if len(axes) > AXES:
        raise ValueError(f"nodes of shape {y.shape[1:]} need {len(axes)} axes beside their rows; {AXES} at most")
    axes = [(1, (0,) * len(read))] * (AXES - len(axes)) + axes
    return [n for n, _ in axes], *([*its[:2], *(step[k] for _, step in axes)] for k, its in enumerate(each))


def tally(plan: Plan, batch: int) -> Tally:
    """The tally of a plan's device."""
    return FusedTally(plan, batch) if plan.backend.fused else Tally(plan, batch)
