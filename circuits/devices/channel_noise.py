"""Noise of a lone transistor's channel, from its current alone (Klaassen & Prins, Philips Res. Repts. 22, 505, 1967).

Each slice of a channel has thermal noise of its own resistance. Seen from outside, at a voltage v over it,

    4kT·n(v),        n(v) = ∫₀ᵛ h² dv′ / ∫₀ᵛ h dv′,        h = dI/dv

n is h(0) at rest (Nyquist) and ⅔ of it where a square-law transistor saturates and h is 0; with v the other way round
it is less than h. In a pair both ways add up to dI/dv within 2 %.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import cumulative_simpson
from scipy.interpolate import CubicSpline

from .factors import factored

if TYPE_CHECKING:
    from .card import Array, DeviceCard

TOLERANCE = 1e-3  # of the factors, as a share of the largest
STEPS = 400  # between the ends of the voltages


def channel_card(card: DeviceCard) -> DeviceCard:
    """N(V, v) = ∫₀ᵛ n dv′ [A] of a single, in factors: where I(V, v) of `card` has a conductance, that of N is n."""
    volts = np.linspace(-1, 1, STEPS + 1) * float(card.volts[-1])
    slope = CubicSpline(card.volts, card.surface, axis=1).derivative()(volts)
    density = channel_noise(volts, np.maximum(slope, 0.0))  # below 0 by rounding, and in a square law beyond saturation
    surface = _from_rest(density, volts)
    found = factored(volts, surface, TOLERANCE)
    return replace(
        card, volts=volts, surface=surface, table=found.table, coefficients=found.coefficients, error=found.error,
        cells={},
    )  # fmt: skip


def channel_noise(volts: Array, slope: Array) -> Array:
    """n [S] (…, V) at evenly spaced voltages, symmetric about 0, where a current has slopes h [S]."""
    rest = len(volts) // 2
    square, amperes = _from_rest(slope**2, volts), _from_rest(slope, volts)
    square[..., rest], amperes[..., rest] = slope[..., rest], 1.0
    return np.divide(square, amperes, out=np.zeros_like(square), where=amperes != 0)


def _from_rest(values: Array, volts: Array) -> Array:
    """∫₀ᵛ of values (…, V)."""
    whole = cumulative_simpson(values, x=volts, initial=0.0)
    return whole - whole[..., [len(volts) // 2]]
