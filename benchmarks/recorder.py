"""Waveforms of a run kept as the solver has them, polynomial by polynomial, to drive another circuit with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsmachine.emulator.held import Held
from dsmachine.emulator.observers import Element
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.radau import interpolation

Array = Any


@dataclass(frozen=True)
class Replay:
    """A recorded array, or part of one, as a waveform (see `circuits.waveforms.Waveform`): smooth, held at its end.

    begins, lengths [s] (E,) of its elements; values (E, p + 1, batch, …) at each one's start and points, logical units.
    """

    begins: Array
    lengths: Array
    values: Array

    @property
    def breakpoints(self) -> Array:
        """None: elements join to the tolerance of the run that made them."""
        return np.zeros(0)

    @property
    def end(self) -> float:
        """Last recorded time [s]."""
        return float(self.begins[-1] + self.lengths[-1])

    def at(self, times: Array) -> Array:
        """Logical values (K, batch, …) at times."""
        t = np.clip(np.asarray(times, float), 0.0, self.end)
        which = np.searchsorted(self.begins[1:], t, side="right")
        weights = interpolation(self.values.shape[1] - 1, (t - self.begins[which]) / self.lengths[which])
        flat = self.values.reshape(*self.values.shape[:2], -1)
        found = weights[:, None, :].astype(flat.dtype) @ flat[which]
        return found.reshape(len(t), *self.values.shape[2:])

    def __getitem__(self, index: Any) -> Replay:
        """Some of the nodes: index into the recorded part."""
        part = index if isinstance(index, tuple) else (index,)
        return Replay(self.begins, self.lengths, np.ascontiguousarray(self.values[(slice(None),) * 3 + part]))


class Recorder:
    """Observer that keeps arrays' polynomials. nodes: array name -> index into its shape (... for all of it)."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self.index = dict(nodes)
        self._times: dict[str, list[tuple[float, float, int]]] = {name: [] for name in nodes}  # begin, length, count
        self._starts, self._points = Held(), Held()
        self._nodes: dict[str, Any] = {}  # `index` where the values are

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        for held in (self._starts, self._points):
            held.begin(plan.backend)
        self._array = plan.backend.xp.array
        self._nodes = {name: plan.backend.index(index) for name, index in self.index.items()}

    def element(self, element: Element) -> None:
        for name in self.index:
            if name in element.initial:
                self._times[name].append((element.start, element.length / element.count, element.count))
                self._starts.keep(name, self._picked(name, element.initial[name]))
                self._points.keep(name, self._picked(name, element.values[name]))

    def _picked(self, name: str, values: Array) -> Array:
        index = self._nodes[name]
        part = index if isinstance(index, tuple) else (index,)
        return self._array(values if index is Ellipsis else values[(..., *part)])

    def window(self, time: float) -> None:
        pass

    def waveform(self, name: str) -> Replay:
        """What was recorded of an array."""
        begins, lengths, values = [], [], []
        for (begin, length, count), before, points in zip(
            self._times[name], self._starts.lists[name], self._points.lists[name], strict=True
        ):
            for k, element in enumerate(np.split(points, count)):
                begins.append(begin + k * length)
                lengths.append(length)
                values.append(np.stack([before, *element]))
                before = element[-1]
        return Replay(np.array(begins), np.array(lengths), np.stack(values))
