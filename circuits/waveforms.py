"""Voltages that a run prescribes on clamped nodes: constant, stepped, or recorded.

A waveform maps times (K,) to logical values (K, batch, *shape) and names the times at which it is not smooth, so
that the solver never integrates across a corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from . import checks
from .errors import Error

Array = Any


class Waveform(Protocol):
    """What a clamped array may be driven with."""

    @property
    def breakpoints(self) -> Array:
        """Times [s] of corners and jumps, ascending."""

    def at(self, times: Array) -> Array:
        """Logical values (K, batch, *shape); at a jump, the value after it."""


@dataclass(frozen=True)
class PiecewiseLinear:
    """Straight lines between samples (the PWL source of SPICE), held beyond the ends.

    times (T,) ascending [s]; values (T, batch, *shape) or (T, *shape).
    """

    times: Array
    values: Array

    def __post_init__(self) -> None:
        _check(self, 2)

    @property
    def breakpoints(self) -> Array:
        return self.times

    def at(self, times: Array) -> Array:
        t = np.asarray(times, float)
        k = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        start, stop = self.times[k], self.times[k + 1]
        share = np.clip((t - start) / (stop - start), 0, 1).reshape(-1, *(1,) * (self.values.ndim - 1))
        return self.values[k] * (1 - share) + self.values[k + 1] * share


@dataclass(frozen=True)
class Steps:
    """Piecewise constant: values[k] from times[k] on (times[0] is where it starts, usually 0)."""

    times: Array
    values: Array

    def __post_init__(self) -> None:
        _check(self, 1)

    @property
    def breakpoints(self) -> Array:
        return self.times

    def at(self, times: Array) -> Array:
        k = np.searchsorted(self.times, np.asarray(times), side="right") - 1
        return self.values[np.clip(k, 0, None)]


def _check(wave: PiecewiseLinear | Steps, least: int) -> None:
    """Times and values as arrays. Raises Error unless times ascend, values are finite and there is one for each."""
    kind = type(wave).__name__
    times = checks.ascending(f"{kind} times", wave.times)
    values = checks.values(f"{kind} values", wave.values)
    if len(times) < least or not values.ndim or len(values) != len(times):
        raise Error(f"{kind} has {len(times)} times and values of shape {values.shape}: give {least} or more of each")
    object.__setattr__(wave, "times", times)
    object.__setattr__(wave, "values", values)
