"""Runs whose launches are recorded once, as a CUDA graph, and replayed: the same machine and elements, other inputs.

A relaxation on a GPU is some thousand small launches, each of which costs the processor more than the GPU. The elements
that an adaptive run took are followed again, with the operating point before and the look at settling behind, while
the launches are captured. A replay is one launch of the whole; its error estimates are looked at afterwards, and a
run whose elements do not hold what `tolerance` asks is done again, adaptively.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from .operating_point import settle
from .plan import Plan
from .pool import Blocks
from .request import Request, checked_bits
from .settling import SettlingWatch
from .transient import Block, Counts, March

Array = Any
log = logging.getLogger(__name__)
SHARE = 0.6  # of the free memory that a graph may take
MARGIN = 1.25  # so far may an element of a replay miss the tolerance: other inputs would take slightly other elements


@dataclass(frozen=True)
class Taken:
    """What an adaptive run took: blocks of elements window by window, the time it reached, and what it cost."""

    windows: tuple[tuple[Block, ...], ...]
    duration: float
    counts: Counts


class Graph:
    """The captured run. Values of inputs are written into its own arrays; its results stand there until replayed."""

    def __init__(self, plan: Plan, request: Request, values: Mapping[str, Array], taken: Taken, bits: float) -> None:
        import cupy

        self.plan, self.taken = plan, taken
        self._pool = cupy.cuda.MemoryPool()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.Device().synchronize()
        cupy.get_default_memory_pool().free_all_blocks()
        solver = plan.solvers[request.collocation_points]
        solver.pool.renew()
        with self._stream, cupy.cuda.using_allocator(self._pool.malloc):
            self._inputs = {name: cupy.array(value) for name, value in values.items()}
            self._stream.synchronize()
            self._stream.begin_capture()
            try:
                self._record(request, bits)
            except BaseException:
                with suppress(Exception):  # the capture is void; what broke it is what matters
                    self._stream.end_capture()
                raise
            finally:
                solver.pool.renew()
            self._graph = self._stream.end_capture()
            self._constants = plan.backend.constants()  # read at every replay
            self._graph.upload(self._stream)

    def _record(self, request: Request, bits: float) -> None:
        xp, x = self.plan.backend.xp, dict(self._inputs)
        self._rest = settle(self.plan, x)
        batch = max(len(value) for value in x.values())
        dtype, stages = self.plan.backend.dtype, self.plan.stages
        start = {stage.name: xp.zeros((batch, *stage.node.shape), dtype) for stage in stages}
        self.watch = SettlingWatch({stage.name: x[stage.name] for stage in self.plan.stages}, bits)
        collector = _Collector()
        self.march = March(
            self.plan, self._inputs, start, points=request.collocation_points, tolerance=request.local_tolerance,
            observers=[collector],
        )  # fmt: skip
        self._solved = self.march.follow(self.taken.windows)
        self.watch.begin(self.plan, start)
        self._elements = collector.elements
        for element in self._elements:
            self.watch.element(element)
        self._measured = [(name, element) for element in self._elements for name in element.initial]
        self._rows = [self.watch.measured(*each) for each in self._measured]
        self._speeds = self.watch.speeds()
        self._ends = xp.empty(sum(value.size for value in self.march.x.values()), dtype)
        for part, value in zip(self._split(self._ends), self.march.x.values(), strict=True):
            part[...] = value
        self._bases = _bases([*self._rows, *self._speeds, *(q for _, _, squares in self._solved for q in squares)])

    def run(self, values: Mapping[str, Array]) -> bool:
        """Replay with other values. False if an element's error is beyond the tolerance, or it does not end at rest."""
        for name, array in self._inputs.items():
            array[...] = values[name]
        self.plan.backend.xp.cuda.get_current_stream().synchronize()
        self._graph.launch(self._stream)
        self._stream.synchronize()
        found = Blocks(self.plan.backend, self._bases)
        if not self._holds(found):
            return False
        rows = (found.of(row) for row in self._rows)
        self.watch.restart(
            dict(zip(self._measured, rows, strict=True)), np.array([found.of(speed) for speed in self._speeds])
        )
        for element in self._elements:
            self.watch.element(element)
        self.watch.window(self.taken.duration)
        return self.watch.settled

    def _split(self, together: Array) -> list[Array]:
        shapes = [value.shape for value in self.march.x.values()]
        edges = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        return [together[a:b].reshape(s) for a, b, s in zip(edges[:-1], edges[1:], shapes, strict=True)]

    def ends(self) -> dict[str, Array]:
        """Where every array ended, logical values (batch, *shape)."""
        return dict(zip(self.march.x, self._split(self._ends.copy()), strict=True))

    def _holds(self, found: Blocks) -> bool:
        assert self.march.tolerance is not None
        for group, signals, squares in self._solved:
            values = [found.of(each) for each in squares]
            errors = self.march.solver.errors(group.stages, values, signals.length, self.march.batch)
            if float(errors.max()) > MARGIN * self.march.tolerance:
                return False
        return True

    @property
    def saturated(self) -> dict[str, int]:
        """Nodes of each array beyond their rail's linear part, where there are any."""
        found: dict[str, int] = self._rest.beyond()
        return found


def _bases(parts: Sequence[Array]) -> list[Array]:
    """The blocks that parts are slices of."""
    return list({id(part.base): part.base for part in parts}.values())


class _Collector:
    """Keeps the elements that a march shows."""

    def __init__(self) -> None:
        self.elements: list[Any] = []

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        pass

    def element(self, element: Any) -> None:
        self.elements.append(element)

    def window(self, time: float) -> None:
        pass


def fits(plan: Plan, taken: Taken, batch: int, points: int) -> bool:
    """Whether all polynomials of a run fit into the GPU's memory at once."""
    nodes = [batch * sum(int(np.prod(s.node.shape)) for s in group.stages) for group in plan.groups]
    values = sum(nodes[block.group] * block.count * points for window in taken.windows for block in window)
    free, _ = plan.backend.xp.cuda.runtime.memGetInfo()
    idle = plan.backend.xp.get_default_memory_pool().free_bytes()
    return bool(2 * values * np.dtype(plan.backend.dtype).itemsize < SHARE * (free + idle))


def replayable(plan: Plan, request: Request, values: Mapping[str, Any]) -> bool:
    """Whether a run can be recorded: it just relaxes, on a GPU, its inputs are constant and nothing is on a cycle."""
    still = not any(hasattr(value, "at") for value in values.values())
    return plan.backend.device == "cupy" and request.relaxes and still and not any(g.cyclic for g in plan.groups)


def remember(plan: Plan, request: Request, values: Mapping[str, Array], march: March, duration: float) -> None:
    """Keep what an adaptive run took, for a graph to follow; one that there is did not hold."""
    case = _case(request, values)
    plan.taken[case] = Taken(tuple(map(tuple, march.taken)), duration, march.counts)
    plan.graphs.pop(case, None)


def graph_of(plan: Plan, request: Request, values: Mapping[str, Array]) -> Graph | None:
    """The graph of such a run, recorded when it is first wanted, the only one that the plan keeps; None if no run has
    been taken yet, or there is no room."""
    case = _case(request, values)
    taken = plan.taken.get(case)
    if case in plan.graphs or not taken:
        return plan.graphs.get(case)
    plan.graphs.clear()
    batch = max(len(value) for value in values.values())
    try:
        if fits(plan, taken, batch, request.collocation_points):
            plan.graphs[case] = Graph(plan, request, values, taken, checked_bits(request.settle_bits))
    except MemoryError:
        log.info("no room to record this run; it stays adaptive")
        del plan.taken[case]
    return plan.graphs.get(case)


def _case(request: Request, values: Mapping[str, Array]) -> tuple[Any, ...]:
    """What a graph depends on besides the machine."""
    shapes = tuple((name, value.shape) for name, value in values.items())
    return (request.collocation_points, request.local_tolerance, checked_bits(request.settle_bits), *shapes)
