"""Device cards of transistors whose law can be written down: a resistor, and the triode's square law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dsmachine.circuits.devices.card import DeviceCard, Origin
from dsmachine.circuits.devices.feedback_card import FeedbackCard

Array = Any
THRESHOLD, BETA = 0.35, 60e-6  # V, A/V²
ORIGIN = Origin("known law", "TT", "", "nfet", "", "none", "", 0.0)
VOLTS = np.linspace(-0.6, 0.6, 61)


def card(
    unit: str, over: list[float], constant: list[float], coefficients: list[list[float]], **more: Any
) -> DeviceCard:
    """φ_r = over_r (V − V_t) + constant_r [A], ψ_r by powers of v; for V above V_t, of a quad from −0.5 V."""
    gates = np.linspace(-0.5, 0.5, 41) if unit == "quad" else np.linspace(THRESHOLD + 1e-6, 1.2, 41)
    at = gates if unit == "quad" else gates - THRESHOLD
    table, powers = at[:, None] * over + constant, np.array(coefficients)
    surface = table @ powers @ np.vander(VOLTS, powers.shape[1], increasing=True).T
    return DeviceCard(
        unit, 120e-9, 1e-6, 0.25, 1.0, 300.15, 0.5, 0.45 if unit == "quad" else 1.0, gates, VOLTS, surface, table,
        powers, 0.0, ORIGIN, **more,
    )  # fmt: skip


def resistor() -> DeviceCard:
    """Rank 1, ψ = v: G = 60 µS per volt over V_t."""
    return card("pair", [BETA], [0.0], [[0.0, 1.0]])


def square_single() -> DeviceCard:
    """One transistor of 4β in triode, ½ f(V, v/2): β[(V − V_t) v − v²/4]."""
    return card("single", [BETA, 0.0], [0.0, -BETA / 4], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def square_pair() -> DeviceCard:
    """Two transistors of 2β, at ±v/2: β (V − V_t) v; what is even, −β v²/4, cancels in equal devices."""
    even = card("pair", [0.0], [-BETA / 4], [[0.0, 0.0, 1.0]])
    return replace(resistor(), even=even)


def square_feedback() -> FeedbackCard:
    """A device of 2β from side to side, 2β(V − V_t) v; q = 0.3 fF v; its gate pushes 7 fF per volt into each side, of
    which a volt makes up for 1.2 V of gate."""
    gates, volts = np.linspace(THRESHOLD, 1.25, 10), np.linspace(0, 0.3, 7)
    each = np.ones(gates.size)
    surface = 2 * BETA * np.outer(gates - THRESHOLD, volts)
    return FeedbackCard(gates, volts, surface, 3e-16 * np.outer(each, volts), 7e-15 * each, 1.2 * each)


def square_quad() -> DeviceCard:
    """Two pairs at V_b ± V/2: β V v."""
    return card("quad", [BETA], [0.0], [[0.0, 1.0]], bias=0.75, pair=square_pair())


def bent(cubic: float = 0.05, fifth: float = -0.2) -> DeviceCard:
    """An odd law of rank 2: β[(V − V_t)(v + fifth v⁵) + cubic v³]."""
    return card("pair", [BETA, 0.0], [0.0, BETA * cubic], [[0, 1.0, 0, 0, 0, fifth], [0, 0, 0, 1.0, 0, 0]])
