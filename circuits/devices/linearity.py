"""How straight a coupling unit of transistors is: linear range, harmonics, and what mismatch does to it.

A sine of amplitude A across the unit, v = A cos θ, makes of a polynomial its Chebyshev series:

    I(V, A cos θ) = Σ_n c_n cos nθ,     HD2 = |c₂/c₁|,  HD3 = |c₃/c₁|,  offset c₀/c₁

A triode transistor without voltage carries no current, whatever its threshold: an offset is what even orders rectify of
a signal. In a pair only unequal devices have them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from .card import DeviceCard

Array = Any
POINTS = 1001
SHARE = 0.01  # of the current, by which it ends to be linear
MILLIVOLT = 1e-3


@dataclass(frozen=True)
class Linearity:
    """Of one finger at one control voltage and amplitude.

    control [V]; conductance [S] (of the card: a slope over full scale); amplitude [V]; linear_range [V]: largest |v| up
    to which the current is within `share` of a straight line through 0; hd2, hd3; offset, as a share of the
    fundamental; offset_sigma and conductance_sigma: standard deviations of offset and of G, as shares, that mismatch
    makes.
    """

    control: float
    conductance: float
    amplitude: float
    linear_range: float
    hd2: float
    hd3: float
    offset: float
    offset_sigma: float
    conductance_sigma: float


def linearity(
    card: DeviceCard, control: float, amplitude: float, *, spread: tuple[float, float] = (0.0, 0.0)
) -> Linearity:
    """Measures a card at a control voltage [V].

    amplitude [V] of a sine; spread: σ(V_t) [V] and σ(β) of each transistor (`Mismatch.of`).
    """
    tone = harmonics(card, control, amplitude)
    conductance = float(card.conductance(control))
    parts = [_uncertain(part, gate, amplitude, spread) for part, gate in _parts(card, control)]
    offset, siemens = (math.hypot(*found) for found in zip(*parts, strict=True))
    return Linearity(
        control=control,
        conductance=conductance,
        amplitude=amplitude,
        linear_range=linear_range(card, control),
        hd2=float(abs(tone[2] / tone[1])),
        hd3=float(abs(tone[3] / tone[1])),
        offset=float(tone[0] / tone[1]),
        offset_sigma=float(offset / abs(tone[1])),
        conductance_sigma=siemens / abs(conductance),
    )


def harmonics(card: DeviceCard, control: float, amplitude: float) -> Array:
    """c_n [A], four or more, of a sine of `amplitude` [V] across a finger."""
    current = card.factors(control) @ card.coefficients
    series = chebyshev.poly2cheb(current * amplitude ** np.arange(len(current)))
    return np.pad(series, (0, max(0, 4 - len(series))))


def linear_range(card: DeviceCard, control: float) -> float:
    """Largest |v| [V] up to which |I − G₀v| <= SHARE·|G₀v|, G₀ the slope at v = 0; at most the volts measured."""
    volts = np.linspace(0, float(card.volts[-1]), POINTS)[1:]
    slope = float(card.factors(control) @ card.coefficients[:, 1])
    off = np.abs(np.stack([card.current(control, side * volts) / (side * volts) for side in (1, -1)]) / slope - 1)
    beyond = np.flatnonzero((off > SHARE).any(axis=0))
    return float(volts[beyond[0] - 1]) if beyond.size and beyond[0] else float(volts[-1]) * (not beyond.size)


def _parts(card: DeviceCard, control: float) -> list[tuple[DeviceCard, float]]:
    """The single or the pairs that a unit is made of, each with its gate."""
    if card.pair is None:
        return [(card, control)]
    return [(card.pair, card.bias + side * control / 2) for side in (1, -1)]


def _uncertain(card: DeviceCard, gate: float, amplitude: float, spread: tuple[float, float]) -> tuple[float, float]:
    """Standard deviations of (mean current [A], conductance [S]) of one single, or one pair with two devices.

    Of a pair ½[(1+β₁) o(V−δ₁) + (1+β₂) o(V−δ₂)] + ½[(1+β₁) e(V−δ₁) − (1+β₂) e(V−δ₂)], to first order.
    """
    devices = 1 if card.unit == "single" else 2
    source = card if card.unit == "single" else card.even
    here, above, below = (gate + step for step in (0.0, MILLIVOLT, -MILLIVOLT))

    def sigma(value: Any) -> float:
        slope = (value(above) - value(below)) / (2 * MILLIVOLT)
        return math.hypot(slope * spread[0], value(here) * spread[1]) / math.sqrt(devices)

    mean = 0.0 if source is None else sigma(lambda v: float(harmonics(source, v, amplitude)[0]))
    return mean, sigma(lambda v: float(card.conductance(v)))
