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

from .gather import Gather
from .observers import Element, Recordable
from .operating_point import settle
from .plan import Plan
from .pool import Blocks
from .request import Request, checked_bits
from .settling import SettlingWatch
from .transient import Block, Counts, March

Array = Any
log = logging.getLogger(__name__)
MARGIN = 1.25  # so far may an element of a replay miss the tolerance: other inputs would take slightly other elements


@dataclass(frozen=True)
class Taken:
    """What an adaptive run took: blocks of elements window by window, the time it reached, what it cost and who
    watched."""

    windows: tuple[tuple[Block, ...], ...]
    duration: float
    counts: Counts
    observers: tuple[Recordable, ...]
    states: tuple[Any, ...]

    def holds(self, observers: Sequence[Recordable]) -> bool:
        """Whether the same observers watch again, and have not been elsewhere meanwhile."""
        same = len(observers) == len(self.observers) and all(
            a is b for a, b in zip(observers, self.observers, strict=True)
        )
        return same and all(o.state is state for o, state in zip(observers, self.states, strict=True))


class Graph:
    """The captured run. Values of inputs are written into its own arrays; its results stand there until replayed."""

    def __init__(self, plan: Plan, request: Request, values: Mapping[str, Array], taken: Taken) -> None:
        import cupy

        self.plan, self.taken, self.observers = plan, taken, taken.observers
        self._pool = cupy.cuda.MemoryPool()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.Device().synchronize()
        cupy.get_default_memory_pool().free_all_blocks()
        solver = plan.solvers[request.collocation_points]
        solver.pool.renew()
        with self._stream, cupy.cuda.using_allocator(self._pool.malloc):
            self._inputs = {name: cupy.array(value) for name, value in values.items()}
            self._batch = max(len(value) for value in values.values())
            sizes = [self._batch * int(np.prod(stage.node.shape)) for stage in plan.stages]
            self._gather = Gather(plan.backend, sizes, np.cumsum([0, *sizes[:-1]]).tolist())
            self._ends = cupy.empty(sum(sizes), plan.backend.dtype)
            self._stream.synchronize()
            self._stream.begin_capture()
            try:
                self._record(request)
            except BaseException:
                with suppress(Exception):  # the capture is void; what broke it is what matters
                    self._stream.end_capture()
                raise
            finally:
                solver.pool.renew()
            self._graph = self._stream.end_capture()
            self._constants = plan.backend.constants()  # read at every replay
            self._graph.upload(self._stream)

    def _record(self, request: Request) -> None:
        xp, x = self.plan.backend.xp, dict(self._inputs)
        self._rest = settle(self.plan, x)
        dtype, stages = self.plan.backend.dtype, self.plan.stages
        start = {stage.name: xp.zeros((self._batch, *stage.node.shape), dtype) for stage in stages}
        rest, bits = {stage.name: x[stage.name] for stage in stages}, checked_bits(request.settle_bits)
        self.watch = SettlingWatch(self.plan, rest, bits)
        beside = _Beside(self.observers)
        self.march = beside.march = March(
            self.plan, self._inputs, start, points=request.collocation_points, tolerance=request.local_tolerance,
            first_element=request.first_element, growing=request.growing,
            observers=[beside] if self.observers else [], aims=self.watch.aims,
        )  # fmt: skip
        self._solved = self.march.follow(self.taken.windows)
        beside.join()
        self._gather(list(self.march.x.values()), self._ends)
        self._bases = list({id(f.numbers.base): f.numbers.base for _, f in self._solved}.values())

    def run(self, values: Mapping[str, Array]) -> bool:
        """Replay with other values. False if an element's error is beyond the tolerance, or it does not end at rest."""
        for name, array in self._inputs.items():
            array[...] = values[name]
        self.plan.backend.xp.cuda.get_current_stream().synchronize()
        self._graph.launch(self._stream)
        self._stream.synchronize()
        self.watch.restart()
        if not self._holds(Blocks(self.plan.backend, self._bases)):
            return False
        for observer in (self.watch, *self.observers):
            observer.window(self.taken.duration)
        return self.watch.settled

    def _split(self, together: Array) -> list[Array]:
        shapes = [value.shape for value in self.march.x.values()]
        edges = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        return [together[a:b].reshape(s) for a, b, s in zip(edges[:-1], edges[1:], shapes, strict=True)]

    def ends(self) -> dict[str, Array]:
        """Where every array ended, logical values (batch, *shape)."""
        return dict(zip(self.march.x, self._split(self._ends.copy()), strict=True))

    def _holds(self, host: Blocks) -> bool:
        """Look at what was found of every element, and show it to the watch. False if an error is too large."""
        assert self.march.tolerance is not None
        ended: dict[int, Block] = {block.group: block for block, _ in self._solved}
        for block, found in self._solved:
            found.fetch(host.of(found.numbers))
            if found.worst.max() > MARGIN * self.march.tolerance:
                return False
            group, ends = self.plan.groups[block.group], ended[block.group] is block
            self.watch.saw(group, found.seen, block.begin, block.length, ends=ends)
        return True

    @property
    def saturated(self) -> dict[str, int]:
        """Nodes of each array beyond their rail's linear part, where there are any."""
        found: dict[str, int] = self._rest.beyond()
        return found


class _Beside:
    """Observers that have begun already, in a capture: begun anew, by work on the device alone. They look at an element
    on a branch of their own while the next one is solved, which leaves the GPU room."""

    march: March

    def __init__(self, observers: Sequence[Recordable]) -> None:
        import cupy

        self._observers = observers
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._solved, self._seen = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self._current = cupy.cuda.get_current_stream
        self._kept: tuple[Any, ...] = ()

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        for observer in self._observers:
            observer.restart(start)

    def element(self, element: Element) -> None:
        """What they read stays until they are done, though the run may have let it go: memory that is free is used
        again at once."""
        self.join()
        self._kept = element, [tuple(pieces) for pieces in self.march.pieces.values()]
        self._solved.record(self._current())
        self._stream.wait_event(self._solved)
        with self._stream:
            for observer in self._observers:
                observer.element(element)

    def join(self) -> None:
        """Whatever the run does next comes after what they have looked at."""
        if self._kept:
            self._seen.record(self._stream)
            self._current().wait_event(self._seen)
            self._kept = ()

    def window(self, time: float) -> None:
        pass


def replayable(plan: Plan, request: Request, values: Mapping[str, Any]) -> bool:
    """Whether a run can be recorded: it just relaxes, on one GPU that holds the machine, its inputs are constant and
    nothing is on a cycle."""
    still = not any(hasattr(value, "at") for value in values.values())
    one = plan.backend.kind == "cupy" and plan.resident
    return one and request.relaxes and still and not any(g.cyclic for g in plan.groups)


def remember(
    plan: Plan, request: Request, values: Mapping[str, Array], observers: Sequence[Recordable], march: March, end: float
) -> None:
    """Keep what an adaptive run took until `end` [s], for a graph to follow; one that there is did not hold."""
    case = _case(request, values)
    if plan.graphs.get(case, True) is None:
        return
    states = tuple(observer.state for observer in observers)
    plan.taken[case] = Taken(tuple(map(tuple, march.taken)), end, march.counts, tuple(observers), states)
    plan.graphs.pop(case, None)


def graph_of(
    plan: Plan, request: Request, values: Mapping[str, Array], observers: Sequence[Recordable]
) -> Graph | None:
    """The graph of such a run with the same observers, recorded when it is first wanted, the only one that the plan
    keeps; None if no run has been taken yet, or there is no room, which is tried once."""
    case = _case(request, values)
    taken: Taken | None = plan.taken.get(case)
    graph: Graph | None = plan.graphs.get(case)
    if not taken or not taken.holds(observers):
        return None
    if graph:
        return graph
    plan.graphs.clear()
    try:
        graph = plan.graphs[case] = Graph(plan, request, values, taken)
    except MemoryError:
        log.info("no room to record this run; it stays adaptive")
        del plan.taken[case]
        plan.graphs[case] = None
    return graph


def _case(request: Request, values: Mapping[str, Array]) -> tuple[Any, ...]:
    """What the elements depend on besides the machine."""
    shapes = tuple((name, value.shape) for name, value in values.items())
    asked = request.collocation_points, request.local_tolerance, request.first_element, request.growing
    return (*asked, checked_bits(request.settle_bits), *shapes)
