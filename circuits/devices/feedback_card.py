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
    """gates (K,), volts (V,) of v, from 0 up [V]; of one finger: surface (K, V) [A], charge (K, V) [C] between the
    sides, pushed (K,) [F], the charge that a volt of gate puts into each side, and body (K,), the volts of gate that
    make up for both sides a volt higher (`netlists/lags.py`).

    Raises Error for numbers that make no card.
    """

    gates: Array = field(repr=False)
    volts: Array = field(repr=False)
    surface: Array = field(repr=False)
    charge: Array = field(repr=False)
    pushed: Array = field(repr=False)
    body: Array = field(repr=False)

    def __post_init__(self) -> None:
        axes = [np.asarray(axis, float) for axis in (self.gates, self.volts)]
        shape = (axes[0].size, axes[1].size)
        for name, found in (("surface", self.surface), ("charge", self.charge)):
            if np.shape(found) != shape or min(shape) < 4 or not np.isfinite(found).all():
                raise Error(
                    f"feedback card has a {name} of shape {np.shape(found)} with holes, or axes too short: "
                    "characterize again"
                )
        if any(np.shape(each) != shape[:1] or not np.isfinite(each).all() for each in (self.pushed, self.body)):
            raise Error("feedback card does not know what some gates push: characterize again")
        if any((np.diff(axis) <= 0).any() or not np.isfinite(axis).all() for axis in axes):
            raise Error("feedback card has gates or volts that do not rise: characterize again")

    @cached_property
    def _charge(self) -> Any:
        return RectBivariateSpline(self.gates, self.volts, self.charge)

    @cached_property
    def _spline(self) -> Any:
        return RectBivariateSpline(self.gates, self.volts, self.surface)

    def hung(self, gate: Array, v: float) -> Array:
        """Capacitance [F] between the sides at gates, the mean on the way to v > 0: q/v."""
        held = np.clip(gate, self.gates[0], self.gates[-1])
        return self._charge(held, min(v, float(self.volts[-1])), grid=False) / min(v, float(self.volts[-1]))

    def pushes(self, gate: float) -> float:
        """Charge [C] that a volt of gate puts into each side."""
        return float(np.interp(gate, self.gates, self.pushed))

    def weighs(self, gate: Array) -> float:
        """Volts of gate that make up for both sides a volt higher, the mean over gates."""
        return float(np.mean(np.interp(gate, self.gates, self.body)))

    def current(self, gate: float, v: Array) -> Array:
        """F(V, v) [A] at v (V,) >= 0, rising; beyond the volts known in a straight line."""
        most, held = float(self.volts[-1]), float(np.clip(gate, self.gates[0], self.gates[-1]))
        inside = np.minimum(v, most)
        slope = float(self._spline(held, most, dy=1)[0, 0])
        return self._spline(held, inside, grid=False) + slope * (v - inside)
