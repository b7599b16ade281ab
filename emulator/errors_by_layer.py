"""How far from rest: max over nodes and samples of |x − x_op| / full scale, array by array, at element points.

x_op is this chip's own operating point. The record shows the front that runs through a feed-forward machine: an array
can only settle after those it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .held import Held
from .observers import Element
from .plan import Plan
from .traces import Trace

Array = Any
SMALLEST = 2.0**-40  # what an error of exactly zero counts as in logarithms


class ErrorByLayer:
    """Observer: error of every free array against time. After the run: `traces()` by array, `by_layer()`.

    layers: layer of each array, in feed-forward order. A few numbers an element, no waveform is kept.
    """

    keeps = ("_times", "_errors")

    def __init__(self) -> None:
        self.layers: dict[str, str] = {}
        self._target: Mapping[str, Array] = {}
        self._per: dict[str, Array] = {}
        self._times: dict[str, list[Array]] = {}
        self._errors = Held()

    def aim(self, target: Mapping[str, Array]) -> None:
        """Called by the run before `begin`: logical values (batch, *shape) of the operating point."""
        self._target = target

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._errors = Held()
        self._errors.begin(plan.backend)
        for stage in plan.stages:
            self.layers[stage.name] = stage.node.layer
            self._per[stage.name] = stage.per_full_scale
            self._times[stage.name] = []
            self._keep(stage.name, np.zeros(1), start[stage.name][None])

    def _keep(self, name: str, times: Array, values: Array) -> None:
        off = abs(values - self._target[name])
        off *= self._per[name]
        worst = off.reshape(len(off), -1).max(axis=1)
        self._times[name].append(np.asarray(times, float))
        self._errors.keep(name, worst)

    def element(self, element: Element) -> None:
        for name in element.initial:
            self._keep(name, element.times, element.values[name])

    def window(self, time: float) -> None:
        pass

    def traces(self) -> dict[str, Trace]:
        """Error against time of each array, share of full scale."""
        errors = {name: np.concatenate(parts).astype(float) for name, parts in self._errors.lists.items()}
        return {name: Trace(np.concatenate(times), errors[name], "1") for name, times in self._times.items()}

    def by_layer(self) -> dict[str, Trace]:
        """Error against time of each layer: its worst array's."""
        return worst_by_layer(self.traces(), self.layers)


def worst_by_layer(traces: Mapping[str, Trace], layers: Mapping[str, str]) -> dict[str, Trace]:
    """The worst array of each layer; arrays with other element points are interpolated in the logarithm."""
    found: dict[str, Trace] = {}
    for layer in dict.fromkeys(layers[name] for name in traces):
        members = [trace for name, trace in traces.items() if layers[name] == layer]
        times = np.unique(np.concatenate([m.times for m in members]))
        found[layer] = Trace(times, np.max([error_at(m, times) for m in members], axis=0), "1")
    return found


def error_at(trace: Trace, times: Array) -> Array:
    """An error at other times [s], interpolated in its logarithm."""
    return np.exp(np.interp(times, trace.times, np.log(np.maximum(trace.values, SMALLEST))))


__all__ = ["ErrorByLayer", "error_at", "worst_by_layer"]
