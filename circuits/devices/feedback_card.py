"""Feedback card: the current of a transistor between two sides at V_CM ± v/2, as a simulator measured it.

In the square law that is twice a pair's, F(V, v) = 2 o(V, v), two channels in series. Mobility falls with the field
along the channel, which is that of all of v here and of half of it in a pair: some 1 % less current at 0.2 V.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import RectBivariateSpline

from ..errors import Error

Array = Any


@dataclass(frozen=True)
class FeedbackCard:
    """gates (K,), volts (V,) of v, from 0 up [V]; surface (K, V) [A] of one finger; farads (K,): what it adds to the
    capacitance between the sides at v = 0.

    Raises Error for numbers that make no card.
    """

    gates: Array = field(repr=False)
    volts: Array = field(repr=False)
    surface: Array = field(repr=False)
    farads: Array = field(repr=False)

    def __post_init__(self) -> None:
        shape = np.shape(self.surface)
        axes = [np.asarray(axis, float) for axis in (self.gates, self.volts)]
        if shape != (axes[0].size, axes[1].size) or min(shape) < 4 or not np.isfinite(self.surface).all():
            raise Error(
                f"feedback card has a surface of shape {shape} with holes, or axes too short: characterize again"
            )
        if np.shape(self.farads) != np.shape(self.gates) or not np.isfinite(self.farads).all():
            raise Error("feedback card has no capacitance at some gates: characterize again")
        if any((np.diff(axis) <= 0).any() or not np.isfinite(axis).all() for axis in axes):
            raise Error("feedback card has gates or volts that do not rise: characterize again")

    @cached_property
    def _spline(self) -> Any:
        return RectBivariateSpline(self.gates, self.volts, self.surface)

    def hung(self, gate: Array) -> Array:
        """Capacitance [F] between the sides at gates V, which broadcast."""
        return np.interp(gate, self.gates, self.farads)

    def current(self, gate: float, v: Array) -> Array:
        """F(V, v) [A] at v (V,) >= 0, rising; beyond the volts known in a straight line."""
        most, held = float(self.volts[-1]), float(np.clip(gate, self.gates[0], self.gates[-1]))
        inside = np.minimum(v, most)
        slope = float(self._spline(held, most, dy=1)[0, 0])
        return self._spline(held, inside, grid=False) + slope * (v - inside)
