"""Conveyors whose transistors differ: what a node is off by, as a two-port of static errors.

    i(w) − i(z) = c i(x) + i₀,    V(x) = V_CM + e,        i₀ = Σ_k (∂i₀/∂δ_k δ_k + ∂i₀/∂β_k β_k),  e, ln c alike

e drives a current through whatever hangs on x, 2L a conveyor where the node has L. A node has two, p and n, and

    I = ½ (i₀p − i₀n) − αL (e_p − e_n),        an offset of I/g at γ = 1
    c = ½ (c_p + c_n)                          of what its cells push
    ½ (i₁p + i₁n)                              into both sides, i₁ = i(w) + i(z): what lifts them over their resistors

What a simulator measured of each transistor is `netlists/conveyor_errors.py`. What cells push into both conveyors
alike, even orders, comes out as ½ (c_p − c_n) of it: left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .mos.unequal import Gates, Unequal

if TYPE_CHECKING:
    from .mismatch import Draw, Spread

Array = Any
Slopes = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class ConveyorErrors:
    """Of one conveyor of a class, by transistor: areas W·L [m²]; volts (∂e/∂δ, ∂e/∂β [V]); amperes (∂i₀/∂δ [S],
    ∂i₀/∂β [A]); gains (∂ln c/∂δ [1/V], ∂ln c/∂β); alike, of i₁, as amperes."""

    kind: str
    areas: Mapping[str, float]
    volts: Slopes
    amperes: Slopes
    gains: Slopes
    alike: Slopes

    def sigmas(self, threshold_area: float, beta_area: float) -> tuple[float, float, float]:
        """(σ of e [V], σ of i₀ [A], σ of ln c) by Pelgrom's coefficients A_Vt [V·m], A_β [m]."""
        inverse = np.array([area**-0.5 for area in self.areas.values()])[:, None]
        each = inverse * np.array([threshold_area, beta_area])
        volts, amperes, gains = (
            float(np.sqrt(((np.array(list(slopes.values())) * each) ** 2).sum()))
            for slopes in (self.volts, self.amperes, self.gains)
        )
        return volts, amperes, gains


@dataclass(frozen=True)
class Conveyors:
    """The two of every node of an array. load: αL [S] at their inputs, by node; drawn: errors of p's and n's."""

    errors: ConveyorErrors
    load: Array
    drawn: tuple[Unequal, Unequal] | None = None

    def of_chip(self, spread: Spread, draw: Draw, name: str) -> Conveyors:
        """With transistors by Pelgrom's law."""
        gates = Gates(self.errors.areas, np.shape(self.load))
        p, n = (gates.of_chip(spread, draw, f"{name}, conveyor {end}") for end in "pn")
        return replace(self, drawn=(p, n))

    @property
    def amperes(self) -> Array:
        """I of each node."""
        if self.drawn is None:
            return np.zeros(np.shape(self.load))
        p, n = ([_moved(slopes, own) for slopes in (self.errors.volts, self.errors.amperes)] for own in self.drawn)
        return (p[1] - n[1]) / 2 - self.load * (p[0] - n[0])

    @property
    def alike(self) -> Array:
        """Current [A] into both sides of each node."""
        if self.drawn is None:
            return np.zeros(np.shape(self.load))
        p, n = (_moved(self.errors.alike, own) for own in self.drawn)
        return (p + n) / 2

    @property
    def gains(self) -> Array:
        """c of each node over that of the design."""
        if self.drawn is None:
            return np.ones(np.shape(self.load))
        p, n = (np.exp(_moved(self.errors.gains, own)) for own in self.drawn)
        return (p + n) / 2


def _moved(slopes: Slopes, errors: Unequal) -> Array:
    """What a conveyor's transistors move by their errors together."""
    return sum(by_shift * errors.shift[k] + by_gain * errors.gain[k] for k, (by_shift, by_gain) in slopes.items())
