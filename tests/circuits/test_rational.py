"""Variance of white noise behind rational transfers: known closed forms, and SciPy's quadrature."""

import numpy as np
import pytest
from scipy.integrate import quad

from dsmachine.circuits.cells.rational import at, lag, power, product, scaled, total


def test_a_lag_and_a_pole_pair() -> None:
    """S/4τ of a lag; S ω₀Q/4 behind ω₀²/(s² + sω₀/Q + ω₀²), and the same behind s ω₀ in its place."""
    assert power([1.0], lag(2e-9)) / 2 == pytest.approx(1 / (4 * 2e-9))
    for omega in (1e9, 7e9):
        for quality in (0.3, 0.5, 1.0, 5.0):
            pair = [1.0, 1 / (quality * omega), 1 / omega**2]
            assert power([1.0], pair) / 2 == pytest.approx(omega * quality / 4)
            assert power([0.0, 1 / omega], pair) / 2 == pytest.approx(omega * quality / 4)


def test_the_third_order_of_the_tables() -> None:
    """I₃ = [c₂² d₀d₁ + (c₁² − 2c₀c₂) d₀d₃ + c₀² d₂d₃] / 2 d₀d₃ (d₁d₂ − d₀d₃) (James, Nichols & Phillips, 1947)."""
    c, d = [0.7, -1.3, 0.4], [1.0, 2.5, 1.7, 0.9]
    above = c[2] ** 2 * d[0] * d[1] + (c[1] ** 2 - 2 * c[0] * c[2]) * d[0] * d[3] + c[0] ** 2 * d[2] * d[3]
    assert power(c, d) == pytest.approx(above / (2 * d[0] * d[3] * (d[1] * d[2] - d[0] * d[3])))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6, 7])
def test_any_order_against_quadrature(order: int) -> None:
    rng = np.random.default_rng(order)
    below = product(*([1.0, 1 / (q * w), 1 / w**2] for w, q in rng.uniform(0.5, 2, size=(order // 2, 2))))
    below = product(below, lag(rng.uniform(0.3, 2))) if order % 2 else below
    above = list(rng.normal(size=order))

    def density(angle: float) -> float:
        s = 1j * np.tan(angle)
        return float(abs(at(above, s) / at(below, s)) ** 2 / np.cos(angle) ** 2)

    assert power(above, below) == pytest.approx(quad(density, 0, np.pi / 2, limit=500)[0] / np.pi, rel=1e-7)


def test_arrays_and_sums() -> None:
    """Coefficients that are arrays, each by itself; powers whose coefficient is the number 0 are none."""
    seconds = np.array([[1.0], [2.0]]) * np.array([1.0, 3.0, 5.0])
    found = power([1.0], product(lag(seconds), lag(0.5)))
    assert found == pytest.approx(1 / (2 * (seconds + 0.5)))
    assert product(lag(0.0), [2.0]) == [2.0]
    assert total([1.0, 2.0], [3.0, -2.0]) == [4.0]
    assert scaled([1.0, 2.0, 4.0], 2.0) == [1.0, 1.0, 1.0]
    assert at([1.0, 2.0, 3.0], 2.0) == 17
