"""What the meter keeps while a circuit relaxes: a few numbers a node, and joules of what is weighed at every point.

One pass over an array's points; what does not change in a run is worked out once a plan. On a GPU see `fused.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits.cells import Meter, feedback_of, parts
from ..emulator.observers import Element
from ..emulator.plan import Plan
from .account import Sums

Array = Any


@dataclass(frozen=True)
class Integrals:
    """Of one array, per node, (batch, *shape), logical units and seconds.

    square ∫x², magnitude ∫|x|; travel Σ|Δx| from the end of one element to the end of the next; last: x at the latest
    element's end; start: where it began. Parts of one block, written in place.
    """

    square: Array
    magnitude: Array
    travel: Array
    last: Array
    start: Array


class Tally:
    """Integrals of all arrays of a plan, and joules and coulombs of the laws that have a `rest`, (3, batch) each.

    laws: power law of each part.
    """

    keeps = ("weighed",)

    def __init__(self, plan: Plan, batch: int) -> None:
        self.plan, self.backend, self.batch = plan, plan.backend, batch
        circuit, xp = plan.circuit, plan.backend.xp
        self.laws: dict[str, Meter] = {name: cell.meter(circuit) for name, cell in parts(circuit).items()}
        self.rest = {name: law.rest for name, law in self.laws.items() if law.rest is not None}
        self._placed = {name: plan.backend.place(law) for name, law in self.rest.items()}
        self.joules = xp.zeros((3 * len(self.rest), batch))
        self._rows = {name: range(3 * k, 3 * k + 3) for k, name in enumerate(self.rest)}
        shapes = {name: (batch, *node.shape) for name, node in circuit.arrays.items()}
        edges = np.cumsum([0, *map(math.prod, shapes.values())])
        self._block = xp.zeros((5, int(edges[-1])), plan.backend.dtype)
        self.of = {
            name: Integrals(*(row[a:b].reshape(shape) for row in self._block))
            for (name, shape), a, b in zip(shapes.items(), edges[:-1], edges[1:], strict=True)
        }
        self._own = self._groups()
        self._scratch = np.zeros(0, plan.backend.dtype)

    def _groups(self) -> dict[str, list[tuple[str, list[str]]]]:
        """(array to integrate, parts to weigh that are its own) in each group, by its first array; inputs where they
        are read first. What a part reads was mostly integrated just before, and is still in a cache."""
        inputs, found = _first_readers(self.plan), {}
        for group in self.plan.groups:
            first = group.stages[0].name
            own: list[tuple[str, list[str]]] = [(name, []) for name in inputs.get(first, [])]
            for stage in group.stages:
                names = (*(term.name for term in stage.terms), feedback_of(stage.name))
                own.append((stage.name, [name for name in names if name in self.rest]))
            found[first] = own
        return found

    @property
    def weighed(self) -> list[Array]:
        """All that is written to."""
        return [self.joules, self._block]

    @weighed.setter
    def weighed(self, values: list[Array]) -> None:
        for own, value in zip(self.weighed, values, strict=True):
            own[...] = self.backend.xp.asarray(value)  # in place: kernels and `of` look at it

    def ready(self) -> None:
        """Called before a run: whatever can be made for it is."""

    def restart(self, start: Mapping[str, Array]) -> None:
        """Nothing yet; `start`: where the free arrays begin, (batch, *shape)."""
        self.joules.fill(0)
        self._block.fill(0)
        for name, value in start.items():
            for begun in (self.of[name].last, self.of[name].start):
                begun[...] = value

    def element(self, element: Element) -> None:
        """Add accepted elements of one group."""
        weights, flat = element.weights.astype(self.backend.dtype), element.flat
        rows, powers = [], []
        for name, own in self._own[element.group.stages[0].name]:
            self._add(self.of[name], element.values[name], element.points, weights)
            for part in own:
                for row, power in zip(self._rows[part], self._placed[part](flat), strict=True):
                    if not isinstance(power, float):
                        rows.append(row)
                        powers.append(power)
        if rows:
            self.joules[rows] += weights @ np.stack(powers).reshape(len(rows), len(weights), -1)

    def _add(self, of: Integrals, x: Array, points: int, weights: Array) -> None:
        """One array, x (T, batch, *shape)."""
        row, before, travel = np.empty(of.last.shape, x.dtype), of.last, of.travel
        for end in x[points - 1 :: points]:
            np.subtract(end, before, out=row)
            travel += np.abs(row, out=row)
            before = end
        of.last[...] = before
        size, row = self._taken(x.shape), row.reshape(-1)
        flat = np.abs(x, out=size).reshape(len(x), -1)
        magnitude, square = of.magnitude.reshape(-1), of.square.reshape(-1)
        magnitude += np.matmul(weights, flat, out=row)
        np.multiply(flat, flat, out=flat)
        square += np.matmul(weights, flat, out=row)

    def _taken(self, shape: tuple[int, ...]) -> Array:
        """Room for an array's points, always the same: it stays in the cache."""
        size = math.prod(shape)
        if size > len(self._scratch):
            self._scratch = np.empty(size, self._scratch.dtype)
        return self._scratch[:size].reshape(shape)

    def sums(self, duration: float, until: float) -> Sums:
        """The integrals up to `until`: to the end of the run after `duration` as watched, from there (or back) at
        rest."""
        more, host = until - duration, self.backend.host
        block = host(self._block)
        square, magnitude, travel, last, start = (dict(self._split(row)) for row in block)
        joules = self._joules()
        for part, law in self.rest.items():
            joules[part] = joules[part] + more * np.stack([np.broadcast_to(power, self.batch) for power in law(last)])
        for name, x in last.items():
            square[name] = square[name] + more * x * x
            magnitude[name] = magnitude[name] + more * abs(x)
        return Sums(until, self.batch, square, magnitude, travel, joules, start, last)

    def _joules(self) -> dict[str, Array]:
        """What the laws of `rest` have summed up, (3, batch) each."""
        return dict(zip(self.rest, self.joules.reshape(-1, 3, self.batch), strict=True))

    def _split(self, row: Array) -> Iterator[tuple[str, Array]]:
        """A row of the block by array, in float64."""
        done = 0
        for name, of in self.of.items():
            size = of.last.size
            yield name, row[done : done + size].reshape(of.last.shape).astype(float)
            done += size


def _first_readers(plan: Plan) -> dict[str, list[str]]:
    """Inputs by the first stage of the group that is the first to read them: there they are integrated."""
    readers: dict[str, list[str]] = {}
    seen: set[str] = set()
    needs = plan.circuit.all_needs()
    for group in plan.groups:
        for name in (name for stage in group.stages for name in sorted(needs[stage.name])):
            if plan.circuit.arrays[name].clamped and name not in seen:
                seen.add(name)
                readers.setdefault(group.stages[0].name, []).append(name)
    return readers
