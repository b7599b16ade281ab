"""What the solver shows while it runs. It keeps no waveform itself; whoever wants one observes.

An observer is told of every accepted element of every group, in time order within a group. Groups choose their own
elements, so two groups' elements need not coincide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .collocation import combine, interpolation, quadrature
from .plan import Group, Plan

Array = Any


@dataclass(frozen=True)
class Element:
    """One accepted element of one group; a step of the noise engine is an element with one point, its end.

    start, length [s]; times (p,) of the points; values: any array the group reads or holds, (p, batch, *shape);
    initial: the group's own arrays at the start, (batch, *shape).
    """

    group: Group
    start: float
    length: float
    times: Array
    values: Mapping[str, Array]
    initial: Mapping[str, Array]

    @property
    def weights(self) -> Array:
        """Quadrature weights (p,) in seconds: ∫ f dt = Σ weights·f(points)."""
        return self.length * quadrature(len(self.times))

    def at(self, name: str, times: Array) -> Array:
        """An own array's polynomial at times [s] inside the element, (len(times), batch, *shape)."""
        s = (np.asarray(times) - self.start) / self.length
        return combine(interpolation(len(self.times), s), self.initial[name], self.values[name])


class Observer(Protocol):
    """Anything that wants to see a run."""

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        """Called once; `start`: logical values (batch, *shape) of the free arrays at the start."""

    def element(self, element: Element) -> None:
        """Called for each accepted element."""

    def window(self, time: float) -> None:
        """Called when all groups have reached `time`."""


class Probe:
    """Records arrays (or chosen nodes of them) at given times, or `density` samples an element.

    `nodes`: mapping array name -> index into its shape (e.g. (slice(None), 0)), or a list of names (all nodes).
    After the run: `times(name)` (T,), `volts(name)` (T, batch, …).
    """

    def __init__(self, nodes: Mapping[str, Any] | list[str], times: Array | None = None, density: int = 8) -> None:
        self.index = dict(nodes) if isinstance(nodes, Mapping) else dict.fromkeys(nodes, ...)
        self.sample_times = None if times is None else np.asarray(times, float)
        self.density = density
        self._times: dict[str, list[Array]] = {name: [] for name in self.index}
        self._volts: dict[str, list[Array]] = {name: [] for name in self.index}
        self._unit: dict[str, Array] = {}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        for name, index in self.index.items():
            unit = plan.circuit.units(name)
            self._unit[name] = unit[index]
            if name in start and (self.sample_times is None or 0.0 in self.sample_times):
                self._keep(name, np.zeros(1), plan.backend.host(start[name])[None])

    def _keep(self, name: str, times: Array, values: Array) -> None:
        host = values.get() if hasattr(values, "get") else values
        index = self.index[name]
        picked = host if index is Ellipsis else host[(slice(None), slice(None), *_tuple(index))]
        self._times[name].append(times)
        self._volts[name].append(np.array(picked * self._unit[name]))

    def element(self, element: Element) -> None:
        for name in self.index:
            if name not in element.initial:
                continue
            times = self._inside(element)
            if len(times):
                self._keep(name, times, element.at(name, times))

    def _inside(self, element: Element) -> Array:
        stop = element.start + element.length
        if self.sample_times is None:
            return element.start + element.length * np.arange(1, self.density + 1) / self.density
        t = self.sample_times
        margin = 1e-9 * element.length
        return t[(t > element.start + margin) & (t <= stop + margin)]

    def window(self, time: float) -> None:
        pass

    def times(self, name: str) -> Array:
        """Sample times [s]."""
        return np.concatenate(self._times[name])

    def volts(self, name: str) -> Array:
        """Samples in volts, (T, batch, …)."""
        return np.concatenate(self._volts[name])


class NoiseMeter:
    """Rms deviation of each array from `target`, share of full scale, over nodes, samples and time from `since` on.

    target: logical values (batch, *shape), usually the noiseless operating point. Nodes that do not exist don't count.
    """

    def __init__(self, target: Mapping[str, Array], since: float) -> None:
        self.target, self.since = target, since
        self._per: dict[str, Array] = {}
        self._exists: dict[str, float] = {}
        self._sum: dict[str, Array] = {}
        self._seconds: dict[str, float] = {}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        for stage in plan.stages:
            mask = stage.node.exists
            self._per[stage.name] = stage.per_full_scale
            self._exists[stage.name] = 1.0 if mask is None else float(mask.mean())
            self._sum[stage.name], self._seconds[stage.name] = 0.0, 0.0

    def element(self, element: Element) -> None:
        if element.start < self.since * (1 - 1e-9):
            return
        for name in element.initial:
            off = (element.values[name] - self.target[name]) * self._per[name]
            square = (off * off).reshape(len(off), -1).mean(axis=1)
            self._sum[name] = self._sum[name] + (square * element.weights.astype(square.dtype)).sum()
            self._seconds[name] += element.length

    def window(self, time: float) -> None:
        pass

    @property
    def rms(self) -> dict[str, float]:
        """By array; nan for what was never seen after `since`."""
        return {
            name: math.sqrt(float(total) / (self._seconds[name] * self._exists[name]))
            if self._seconds[name]
            else math.nan
            for name, total in self._sum.items()
        }


def _tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)
