"""Tables against the functions that they hold: lines exactly, curves within h²/8 |f″|."""

from __future__ import annotations

import numpy as np
import pytest

from dsmachine.circuits.devices.tables import OCTAVES, PARTS, Even, Octaves


def test_even_steps_hold_lines_exactly_and_curves_within_their_second_derivative() -> None:
    x = np.random.default_rng(0).uniform(0, 2, 1000)
    line = Even.of(lambda x: np.stack([3 * x - 1, x], axis=-1), 0.0, 2.0, 64)
    assert line(x) == pytest.approx(np.stack([3 * x - 1, x], axis=-1), abs=1e-14)
    assert line(2.5) == pytest.approx([6.5, 2.5])  # the last line goes on
    curve = Even.of(np.exp, 0.0, 2.0, 1000)
    assert np.abs(curve(x) - np.exp(x)).max() <= 0.002**2 / 8 * np.exp(2)
    value, rise = curve.tangent(x)
    assert rise / 0.002 == pytest.approx(np.exp(x), rel=1.1e-3)
    assert np.array_equal(value, curve(x))


@pytest.mark.parametrize("most", [3e-6, 2.0**-20, 1.0])
def test_octaves_hold_a_logarithm_within_their_share_of_an_octave(most: float) -> None:
    least = most * 2.0 ** (1 - OCTAVES)
    table = Octaves.of(lambda x: np.log(np.maximum(x, least)), most)
    x = most * 2.0 ** -np.random.default_rng(1).uniform(0, OCTAVES - 2, 1000)
    assert np.abs(table(x) - np.log(x)).max() <= 2.0 ** (-2 * PARTS) / 8 * 1.01
    assert table(np.array([0.0, most])) == pytest.approx(np.log([least, most]))


def test_octaves_hold_a_line_from_0_up() -> None:
    table = Octaves.of(lambda x: 5 * x + 1, 0.3)
    x = np.array([[0.0, 1e-300, 1e-14], [1e-3, 0.2, 0.3]])
    assert table(x) == pytest.approx(5 * x + 1, rel=1e-15)
