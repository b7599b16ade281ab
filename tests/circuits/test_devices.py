"""Surfaces with known factors, and what makes no device card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_surfaces import MOBILITY, square_law_pair

from dsmachine.circuits.devices.card import DeviceCard
from dsmachine.circuits.devices.factors import factored
from dsmachine.circuits.devices.linearity import harmonics, linear_range, linearity
from dsmachine.circuits.errors import Error

VOLTS = np.linspace(-0.5, 0.5, 41)
GATES = np.linspace(0, 1, 51)


def test_a_surface_of_rank_two_has_rank_two() -> None:
    surface = 1e-6 * (np.outer(GATES, VOLTS) + np.outer(GATES**2, VOLTS**3))
    found = factored(VOLTS, surface, 1e-6, "odd")
    assert found.table.shape == (51, 2)
    assert found.error < 1e-12
    shapes = np.vander(VOLTS, found.coefficients.shape[1], increasing=True) @ found.coefficients.T
    np.testing.assert_allclose(found.table @ shapes.T, surface, atol=1e-18)
    np.testing.assert_allclose(np.abs(shapes).max(axis=0), 1)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3])
def test_the_error_stays_within_the_tolerance_and_more_rank_costs_less_error(tolerance: float) -> None:
    surface = np.tanh(np.outer(1 + 3 * GATES, VOLTS))
    found = factored(VOLTS, surface, tolerance, "odd")
    assert found.error <= tolerance
    assert found.table.shape[1] <= factored(VOLTS, surface, tolerance / 10, "odd").table.shape[1]


def test_parity_is_kept_exactly() -> None:
    surface = np.outer(GATES, VOLTS**2) + np.outer(GATES**2, VOLTS**4)
    coefficients = factored(VOLTS, surface, 1e-6, "even").coefficients
    assert not coefficients[:, 1::2].any() and not coefficients[:, 0].any()


def test_a_surface_that_no_polynomial_meets_is_refused() -> None:
    with pytest.raises(Error, match=r"off a polynomial of degree 15.*raise the tolerance"):
        factored(VOLTS, np.outer(GATES, np.sign(VOLTS)), 1e-3, "odd")


# --- cards ----------------------------------------------------------------------------------------


def test_control_is_the_inverse_of_conductance() -> None:
    card = square_law_pair()
    siemens = np.linspace(0.1, 1, 200) * float(card.conductance(card.vdd))
    np.testing.assert_allclose(card.control(siemens), siemens / MOBILITY - 0.1, atol=1e-9)
    np.testing.assert_allclose(card.conductance(card.control(siemens)), siemens, rtol=1e-9)


def test_control_beyond_vdd_is_refused() -> None:
    card = square_law_pair()
    with pytest.raises(Error, match=r"is more than the .* S of 120 nm × 1 µm at 1 V: take more fingers"):
        card.control(1.01 * card.conductance(card.vdd))
    with pytest.raises(Error, match="conductance nan S"):
        card.control(np.nan)


def test_what_is_less_than_the_least_is_off() -> None:
    card = square_law_pair()
    assert card.control(0.0) == card.gates[0]


def test_current_shapes_and_slopes_agree() -> None:
    card = square_law_pair(cubic=0.3)
    v, gate = np.linspace(-0.5, 0.5, 11), np.array([0.2, 0.9])
    exact = MOBILITY * np.outer(gate + 0.1, v) - 0.3 * MOBILITY * np.outer(gate**2, v**3)
    np.testing.assert_allclose(card.current(gate[:, None], v), exact, atol=1e-13)
    step = 1e-6
    for shape, slope in zip(
        zip(card.shapes(v + step), card.shapes(v - step), strict=True), card.slopes(v), strict=True
    ):
        np.testing.assert_allclose((shape[0] - shape[1]) / (2 * step), slope, atol=1e-7)
    single = card.shapes(v.astype(np.float32))
    assert all(shape.dtype == np.float32 for shape in single)


def test_conductance_is_the_least_squares_slope_over_full_scale() -> None:
    """Of G v − c v³ over |v| <= A: G − (3/5) c A²."""
    card = square_law_pair(cubic=0.3)
    expected = MOBILITY * 0.6 - 0.3 * MOBILITY * 0.25 * 0.6 * card.full_scale**2
    assert float(card.conductance(0.5)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"surface": np.full((51, 41), np.nan)}, "surface has 2091 holes, the first at control 0 V, v -0.5 V"),
        ({"surface": np.zeros((51, 41))}, "surface is 0 everywhere"),
        ({"surface": np.ones((51, 40))}, r"surface has shape \(51, 40\)"),
        ({"gates": GATES[::-1]}, "control voltages of the surface do not rise"),
        ({"volts": VOLTS + 0.1}, "measure symmetrically about 0"),
        ({"table": np.full((51, 1), np.nan)}, "characterize again"),
        ({"table": np.ones((51, 2))}, "characterize again"),
    ],
)
def test_numbers_that_make_no_card(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Error, match=words) as caught:
        replace(square_law_pair(), **changes)
    assert "\n" not in str(caught.value)


def test_control_that_falls_is_refused() -> None:
    card = square_law_pair()
    table = card.table * (1 - 0.9 * np.exp(-(((GATES - 0.7) / 0.05) ** 2)))[:, None]
    with pytest.raises(Error, match=r"conductance does not rise with its control at 0\.6"):
        replace(card, table=table).control(1e-6)


# --- linearity --------------------------------------------------------------------------------------


def test_harmonics_of_a_cubic() -> None:
    """G v − c v³ at amplitude A: c₃/c₁ = −(c A²/4) / (G − 3 c A²/4); 1 % linear to √(0.01 G/c)."""
    card = square_law_pair(cubic=0.3)
    g, c, amplitude = MOBILITY * 0.6, 0.3 * MOBILITY * 0.25, 0.2
    tone = harmonics(card, 0.5, amplitude)
    assert tone[3] / tone[1] == pytest.approx(-c * amplitude**2 / 4 / (g - 0.75 * c * amplitude**2), rel=1e-6)
    assert linear_range(card, 0.5) == pytest.approx(np.sqrt(0.01 * g / c), abs=1e-3)


def test_mismatch_of_a_pair() -> None:
    """Straight pair: σ_G/G = √(½(σ_Vt/overdrive)² + ½σ_β²)."""
    card: DeviceCard = square_law_pair()
    found = linearity(card, 0.5, 0.2, spread=(0.01, 0.02))
    assert found.conductance_sigma == pytest.approx(np.hypot(0.01 / 0.6, 0.02) / np.sqrt(2), rel=1e-6)
    assert found.hd3 < 1e-9 and found.offset == 0 and found.linear_range == pytest.approx(0.5)
