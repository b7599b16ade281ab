"""A transient over several devices, as a pipeline: one marches a window while those before it march the next.

Device d begins window k when it has ended window k − 1 and device d − 1 has ended window k; the polynomials that later
shares read are brought over. The calling thread takes finished windows in order, shows their elements to the observers
and asks whether all is settled; by then the first devices are some windows ahead. What they have done beyond the window
at which it is settled is dropped: nobody has seen it.

Elements are held until their window is shown, with all that their groups read where observers want to see it.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from .collocation import Collocation, Piece
from .observers import Element, Observer
from .plan import Plan
from .settling import SettlingWatch
from .transient import Counts, March

Array = Any
Window = tuple[float, float]


@dataclass(frozen=True)
class Passed:
    """What a share leaves of a window: polynomials that later shares read, elements to show, where its arrays stand
    and what it has cost so far."""

    pieces: Mapping[str, list[Piece]]
    elements: Sequence[Element]
    x: Mapping[str, Array]
    counts: Counts


class SharedWatch:
    """The settling watches of a machine's shares, as one; see `SettlingWatch`."""

    def __init__(self, plan: Plan, target: Mapping[str, Array], bits: float) -> None:
        self.parts = [self._of(part, target, bits) for part in plan.parts]

    def _of(self, part: Plan, target: Mapping[str, Array], bits: float) -> SettlingWatch:
        with part.backend.here():
            own = {stage.name: part.backend.brought(target[stage.name]) for stage in part.stages}
            apart = replace(part, backend=replace(part.backend))  # its constants are the calling thread's
            return SettlingWatch(apart, own, bits)

    @property
    def settled(self) -> bool:
        return all(part.settled for part in self.parts)

    @property
    def moved(self) -> float:
        return max(part.moved for part in self.parts)

    @property
    def rests_within(self) -> float:
        return min(part.rests_within for part in self.parts)

    @property
    def time(self) -> Array:
        return np.max([part.time for part in self.parts], axis=0)

    @property
    def by_array(self) -> dict[str, float]:
        return {name: time for part in self.parts for name, time in part.by_array.items()}


class Pipeline:
    """As `March`, for a plan that is split. x, counts: as of the last window that was shown."""

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Any],
        start: Mapping[str, Array],
        *,
        points: int,
        tolerance: float | None,
        first_element: float,
        growing: bool,
        observers: Sequence[Observer],
        watch: SharedWatch | None = None,
    ) -> None:
        self.plan, self.observers, self.watch = plan, observers, watch
        self.x, self.counts = dict(start), Counts()
        self._collocation = Collocation(plan.backend, points)
        self._under_way: deque[tuple[Window, list[Future[Passed]]]] = deque()
        self._kept = [_Kept(part, values=bool(observers) or not part.backend.fused) for part in plan.parts]
        self.marches = []
        for place, part in enumerate(plan.parts):
            brought = part.backend.brought
            with part.backend.arithmetic():
                self.marches.append(
                    March(
                        part, {name: brought(value) for name, value in inputs.items()},
                        {stage.name: brought(start[stage.name]) for stage in part.stages}, points=points,
                        tolerance=tolerance, first_element=first_element, growing=growing,
                        observers=[self._kept[place]], aims=watch.parts[place].aims if watch else None,
                    )
                )  # fmt: skip
        self.stretch = min(march.stretch for march in self.marches)
        for march in self.marches:
            march.stretch_to(self.stretch)
        self.first = self.marches[0].first
        for observer in observers:
            observer.begin(plan, self.x)

    def ahead(self, windows: Iterable[Window]) -> Iterator[Window]:
        """The windows, one by one, for `window`; the devices have begun later ones by then. Close it to stop them."""
        waiting = iter(windows)
        try:
            while True:
                for each in islice(waiting, len(self.marches) - len(self._under_way)):
                    self._begin(each)
                if not self._under_way:
                    return
                yield self._under_way[0][0]
        finally:
            self._drop()

    def window(self, begin: float, length: float) -> None:
        """Wait for the next window's end and show it."""
        if not self._under_way:
            self._begin((begin, length))
        shares = self._under_way.popleft()[1]
        self.counts = Counts()
        for place, share in enumerate(shares):
            passed = share.result()
            for element in passed.elements:
                self._show(place, element)
            self.x |= passed.x
            self.counts += passed.counts
        for observer in [*self.observers, *(self.watch.parts if self.watch else [])]:
            observer.window(begin + length)

    def _show(self, place: int, element: Element) -> None:
        if self.watch:
            self.watch.parts[place].element(element)
        if not self.observers:
            return
        brought = self.plan.backend.brought
        shown = replace(
            element,
            values={name: brought(value) for name, value in element.values.items()},
            initial={name: brought(value) for name, value in element.initial.items()},
            collocation=self._collocation,
        )
        for observer in self.observers:
            observer.element(shown)

    def _begin(self, window: Window) -> None:
        shares: list[Future[Passed]] = []
        for place, part in enumerate(self.plan.parts):
            before = shares[-1] if shares else None
            shares.append(part.thread.submit(self._through, place, window, before))
        self._under_way.append((window, shares))

    def _through(self, place: int, window: Window, before: Future[Passed] | None) -> Passed:
        """A share through a window, in its own thread."""
        part, march = self.plan.parts[place], self.marches[place]
        given = before.result().pieces if before else {}
        with part.backend.arithmetic():
            march.window(*window, {name: [_moved(part, piece) for piece in pieces] for name, pieces in given.items()})
            part.backend.finish()  # other threads read what is passed on
        sent = {name: march.pieces[name] for name in part.sends}
        return Passed(sent, self._kept[place].taken(), dict(march.x), copy.deepcopy(march.counts))

    def _drop(self) -> None:
        """Leave what nobody waits for any more; the threads are free when it returns."""
        shares = [share for _, futures in self._under_way for share in futures]
        for share in reversed(shares):
            share.cancel()
        wait(shares)
        self._under_way.clear()


class _Kept:
    """Observer of a share: keeps elements until their window is shown; values: with what their group reads."""

    def __init__(self, plan: Plan, *, values: bool) -> None:
        self._needs, self._values = plan.circuit.all_needs(), values
        self._elements: list[Element] = []

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        pass

    def element(self, element: Element) -> None:
        own = {stage.name for stage in element.group.stages}
        names = own.union(*(self._needs[name] for name in own)) if self._values else ()
        values = {name: element.values[name] for name in names}
        self._elements.append(replace(element, values=values, initial=element.initial if self._values else {}))

    def window(self, time: float) -> None:
        pass

    def taken(self) -> list[Element]:
        """The elements since it was last asked."""
        elements, self._elements = self._elements, []
        return elements


def _moved(part: Plan, piece: Piece) -> Piece:
    """Polynomials on a share's own device."""
    return replace(piece, start=part.backend.brought(piece.start), points=part.backend.brought(piece.points))
