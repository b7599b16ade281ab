"""What the meter adds up while a circuit relaxes: of each array

    ∫|x| dt,   ∫x² dt,   Σ|Δx| from the end of one element to the end of the next

and of each law that reads two arrays its nodes' ∫amperes dt and ∫watts dt, over nodes that cost the same
(`columns.py`). What does not change in a run is worked out once a plan. On a GPU see `fused.py`.

An array is read once, in slabs that stay in a cache, with all laws whose y it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.cells import Driven, Meter, NodeArray, parts
from ..emulator.observers import Element
from ..emulator.plan import Plan
from .account import Sums, charge
from .columns import Columns, Slab, Times, slabs
from .readings import Reading, readings

Array = Any
SLAB = 1 << 17  # numbers worked on together
ALIGNED = 4  # numbers: 16 bytes at least


class Tally:
    """Integrals of all arrays of a plan, and of the laws that have a `rest`.

    laws: power law of each part. of: (magnitude, square, travel) by array, of_law: (amperes, watts) by part, each
    (batch, runs, width) of its columns, logical units and seconds. start, last: where arrays began and where their
    group's latest window ended, (batch, *shape). Each is parts of one block, written in place.
    """

    keeps = ("weighed",)

    def __init__(self, plan: Plan, batch: int) -> None:
        self.plan, self.backend, self.batch = plan, plan.backend, batch
        circuit, xp, dtype = plan.circuit, plan.backend.xp, plan.backend.dtype
        self.laws: dict[str, Meter] = {name: cell.meter(circuit) for name, cell in parts(circuit).items()}
        self.rest = {name: law.rest for name, law in self.laws.items() if law.rest is not None}
        self.placed = {name: plan.backend.place(law) for name, law in self.rest.items()}
        self._driven = {name: law for name, law in self.placed.items() if isinstance(law, Driven)}
        self._readings = readings(plan, self.rest)
        self._lay_out()
        self.of, self._sums = _zeros(xp, dtype, {n: (3, batch, *c.sums) for n, c in self.columns.items()})
        self.of_law, self._law_sums = _zeros(xp, dtype, {n: (2, batch, *c.sums) for n, c in self.law_columns.items()})
        shapes = {name: (batch, *node.shape) for name, node in circuit.arrays.items()}
        self.start, self._starts = _zeros(xp, dtype, shapes)
        self.last, self._ends = _zeros(xp, dtype, shapes)
        self._scratch = np.empty(0, dtype)

    def _lay_out(self) -> None:
        """Which nodes of each array and of each law are summed."""
        self.columns = {name: self._columns(node) for name, node in self.plan.circuit.arrays.items()}
        each = {part: law.costs for part, law in self.rest.items()}
        self.law_columns = {n: Columns.of(c.shape, (c.heat, c.supply, c.own)) for n, c in each.items()}

    def _columns(self, node: NodeArray) -> Columns:
        """Of an array, by all that its integrals will be weighed with."""
        of = (by_name for law in self.laws.values() for by_name in (law.heat, law.delivered, law.supply, law.common))
        weights = [by_name[node.name] for by_name in of if node.name in by_name]
        return Columns.of(node.shape, [*weights, charge(self.plan.circuit, node)])

    @property
    def weighed(self) -> list[Array]:
        """All that is written to."""
        return [self._sums, self._law_sums, self._starts, self._ends]

    @weighed.setter
    def weighed(self, values: list[Array]) -> None:
        for own, value in zip(self.weighed, values, strict=True):
            own[...] = self.backend.xp.asarray(value)  # in place: kernels and `of` look at it

    def ready(self) -> None:
        """Called before a run: whatever can be made for it is."""

    def restart(self, start: Mapping[str, Array]) -> None:
        """Nothing yet; `start`: where the free arrays begin, (batch, *shape)."""
        for block in self.weighed:
            block.fill(0)
        for name, value in start.items():
            for begun in (self.last[name], self.start[name]):
                begun[...] = value

    def element(self, element: Element) -> None:
        """Add accepted elements of one group."""
        found, flat, dtype = self._readings[element.group.stages[0].name], element.flat, self.backend.dtype
        times, ends = Times(element.weights.astype(dtype)), Times(np.ones(element.count, dtype))
        for reading in found.each:
            self._read(reading, flat, times)
            if reading.array:
                self._move(reading.array, element, ends)
        for part in found.others:
            law, columns = self.placed[part], self.law_columns[part]
            for integral, flow in zip(self.of_law[part], law.flows(*law.pair(flat)), strict=True):
                integral += columns.integral(np.ascontiguousarray(self._by_sample(flow)), times)

    def _by_sample(self, x: Array) -> Array:
        """(T·batch, rows, …) as (batch, T, rows, …)."""
        shape = x.shape[1:] if x.ndim > 2 else (1, *x.shape[1:])
        return x.reshape(-1, self.batch, *shape).swapaxes(0, 1)

    def _read(self, reading: Reading, flat: Mapping[str, Array], times: Times) -> None:
        x = self._by_sample(reading.nodes.of(flat[reading.nodes.array]))
        pulls = {part: self._by_sample(self._driven[part].pull(flat)) for part in reading.driven}
        for at in slabs(x.shape, SLAB):
            part = x[:, *at]
            room = self._room((3, *part.shape))
            size, square, work = room
            np.square(np.abs(part, out=size), out=square)
            if reading.array:
                of, columns = self.of[reading.array], self.columns[reading.array]
                of[:2] += columns.integral(room[:2].reshape(-1, *part.shape[1:]), times, at).reshape(of[:2].shape)
            for law, pull in pulls.items():
                here = pull[:, *at] if pull.shape[2] > 1 else pull[:, at[0]]
                self._pull(law, here, size, square, work, times, at)

    def _pull(self, part: str, pull: Array, size: Array, square: Array, work: Array, times: Times, at: Slab) -> None:
        """Add a driven law, size |y| and square y²; work: room for as many. One pull a row needs no work at nodes."""
        (amperes, watts), columns = self.of_law[part], self.law_columns[part]
        if pull.size == math.prod(size.shape[:3]) < size.size:
            rate = np.abs(pull).reshape(size.shape[:3])
            amperes += columns.integral(size, times, at, rate)
            watts += columns.integral(square, times, at, rate)
            return
        current = square if self._driven[part].alone else np.abs(np.multiply(size, pull, out=work), out=work)
        amperes += columns.integral(current, times, at)
        watts += columns.integral(np.multiply(current, size, out=work), times, at)

    def _move(self, name: str, element: Element, ends: Times) -> None:
        """How far an array goes from the end of one element to the end of the next."""
        x, before = element.values[name][element.points - 1 :: element.points], element.initial.get(name)
        if before is not None:
            way = self._room(x.shape)
            np.subtract(x[0], before, out=way[0])
            if len(x) > 1:
                np.subtract(x[1:], x[:-1], out=way[1:])
            travel = self.of[name][2]
            travel += self.columns[name].integral(np.abs(way, out=way).swapaxes(0, 1), ends)
        if element.ends:
            self.last[name][...] = x[-1]

    def _room(self, shape: tuple[int, ...]) -> Array:
        """To work in, always the same: it stays in the cache."""
        size = math.prod(shape)
        if size > len(self._scratch):
            self._scratch = np.empty(size, self._scratch.dtype)
        return self._scratch[:size].reshape(shape)

    def sums(self, duration: float, until: float) -> Sums:
        """The integrals up to `until`: to the end of the run after `duration` as watched, from there (or back) at
        rest."""
        more = until - duration
        of, of_law, start, last = (self._on_host(of) for of in (self.of, self.of_law, self.start, self.last))
        rest = {}
        for part, law in self.rest.items():
            at_rest = np.stack([np.broadcast_to(power, self.batch) for power in law(last)])
            rest[part] = self._joules(part, *of_law[part]) + more * at_rest
        square, magnitude, travel = {}, {}, {}
        for name, x in last.items():
            sizes, squares, way = (self.columns[name].spread(integral, x.shape[1:]) for integral in of[name])
            square[name] = squares + more * x * x
            magnitude[name] = sizes + more * abs(x)
            travel[name] = way
        return Sums(until, self.batch, square, magnitude, travel, rest, start, last)

    def _on_host(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Arrays in float64."""
        return {name: self.backend.host(value).astype(float) for name, value in arrays.items()}

    def _joules(self, part: str, amperes: Array, watts: Array) -> Array:
        """Heat and energy delivered [J] and coulombs of a law's integrals, (3, batch)."""
        costs, columns = self.rest[part].costs, self.law_columns[part]
        heat = (watts * columns.first(costs.heat)).sum(axis=(1, 2))
        supply = (amperes * columns.first(costs.supply)).sum(axis=(1, 2))
        return np.stack([heat, costs.share * heat, supply])


def _zeros(xp: Any, dtype: Any, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Array], Array]:
    """Arrays of these shapes, and the block that they are parts of, each from an aligned address on."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    begins = np.cumsum([0, *(-(-size // ALIGNED) * ALIGNED for size in sizes)]).tolist()
    block = xp.zeros(begins[-1], dtype)
    each = zip(shapes.items(), begins, sizes, strict=False)
    return {name: block[a : a + n].reshape(shape) for (name, shape), a, n in each}, block
