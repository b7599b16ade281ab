"""Conveyors whose transistors differ: what a node is off by, as a two-port of static errors.

    i(w) − i(z) = c i(x) + i₀,    V(x) = V_CM + e,        i₀ = Σ_k (∂i₀/∂δ_k δ_k + ∂i₀/∂β_k β_k),  e alike

e drives a current through whatever hangs on x, 2L a conveyor where the node has L. A node has two, p and n, and

    I = ½ (i₀p − i₀n) − αL (e_p − e_n),        an offset of I/g at γ = 1

What a simulator measured of each transistor is `netlists/conveyor_errors.py`. Gains of the copies err too, which is in
no law: by the bundled rule σ of c is 10 % (class A) and 12 % (AB), some 8 % of a node's two together.
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
    ∂i₀/∂β [A])."""

    kind: str
    areas: Mapping[str, float]
    volts: Slopes
    amperes: Slopes

    def sigmas(self, threshold_area: float, beta_area: float) -> tuple[float, float]:
        """(σ of e [V], σ of i₀ [A]) by Pelgrom's coefficients A_Vt [V·m], A_β [m]."""
        inverse = np.array([area**-0.5 for area in self.areas.values()])[:, None]
        each = inverse * np.array([threshold_area, beta_area])
        volts, amperes = (np.array(list(slopes.values())) * each for slopes in (self.volts, self.amperes))
        return float(np.sqrt((volts**2).sum())), float(np.sqrt((amperes**2).sum()))


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
        p, n = (self._conveyor(errors) for errors in self.drawn)
        return (p[1] - n[1]) / 2 - self.load * (p[0] - n[0])

    def _conveyor(self, errors: Unequal) -> tuple[Array, Array]:
        """(e, i₀)."""
        volts, amperes = (
            sum(by_shift * errors.shift[k] + by_gain * errors.gain[k] for k, (by_shift, by_gain) in slopes.items())
            for slopes in (self.errors.volts, self.errors.amperes)
        )
        return volts, amperes
