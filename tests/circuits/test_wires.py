"""Distributed lines against closed forms, and what they make of a machine's rows and columns."""

import math

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.signal import fftconvolve
from scipy.special import erfcinv

import dsmachine as ds
from dsmachine.circuits.errors import Error
from dsmachine.circuits.loads import load_nodes
from dsmachine.circuits.technology import load_technology
from dsmachine.circuits.wires import Line, column, row

R, C = 2.4e3, 0.18e-12


def test_half_a_step_takes_0_38_rc() -> None:
    """Early it is 2 erfc(1/(2√t)), so 10 % at 0.130 RC; Bakoglu (1990): 0.38, 0.5 and 1.0 RC to 50, 63 and 90 %."""
    line = Line(R, C)
    for share, want in ((0.1, 1 / (4 * erfcinv(0.05) ** 2)), (0.5, 0.3793), (0.6321, 0.5035), (0.9, 1.0316)):
        assert line.delay(share) == pytest.approx(want * R * C, rel=1e-3)
    assert line.elmore == pytest.approx(R * C / 2)


def test_late_a_line_is_its_slowest_mode() -> None:
    """4/π e^(−π²t/4RC) is left of a step."""
    for bits in (6, 8, 12):
        want = 4 / math.pi**2 * math.log(4 / math.pi * 2**bits)
        assert Line(R, C).delay(1 - 2.0**-bits) == pytest.approx(want * R * C, rel=1e-6)


def test_a_line_without_resistance_is_one_lag() -> None:
    for line in (Line(0, C, 3300), Line(R, 0, 0, C), Line(1e-6 * R, C, 3300, 0)):
        assert line.delay(0.5) == pytest.approx(math.log(2) * line.elmore, rel=1e-4)


@pytest.mark.parametrize(("driver", "load"), [(0, 0), (3300, 0), (18, 0), (0, 20e-15), (3300, 200e-15)])
def test_any_line_is_its_ladder(driver: float, load: float) -> None:
    """exp of a ladder of 400 sections; areas under 1 − v(t) are Elmore's delay whatever the ends."""
    line, n = Line(R, C, driver, load), 400
    r, c = np.full(n, R / n), np.full(n, C / n)
    r[0], c[-1] = R / n / 2 + driver, C / n + load
    r[1:] = R / n
    left = np.diag(1 / r + np.append(1 / r[1:], 0)) - np.diag(1 / r[1:], 1) - np.diag(1 / r[1:], -1)
    times = line.elmore * np.array([0.3, 0.7, 1.5, 4.0])
    want = [1 - (expm(-t * left / c[:, None]) @ np.ones(n))[-1] for t in times]
    assert line.response(times) == pytest.approx(want, abs=3e-3)
    grid = np.linspace(0, 40 * line.elmore, 40_001)
    assert np.trapezoid(1 - line.response(grid), grid) == pytest.approx(line.elmore, rel=2e-3)
    assert line.response(-1e-9) == 0 and line.response(0.0) == 0


@pytest.mark.parametrize(("units", "half", "settled"), [(64, 0.99, 1.09), (1024, 0.84, 1.45)])
def test_one_lag_is_early_at_half_and_late_at_eight_bits(units: int, half: float, settled: float) -> None:
    """What the circuit keeps, a lag of τ + τ_row, over a node of τ behind its row: stated in docs/energy.md."""
    tech = load_technology()
    line, tau = row(tech, units), tech.node.time_constant
    times = np.linspace(0, 40e-9, 8001)
    both = fftconvolve(line.response(times), np.exp(-times / tau) / tau)[:8001] * times[1]
    for share, want in ((0.5, half), (1 - 2.0**-8, settled)):
        one = -(tau + line.elmore) * math.log(1 - share)
        assert one / np.interp(share, both, times) == pytest.approx(want, abs=0.01)


def test_nonsense_is_said() -> None:
    with pytest.raises(Error, match="resistance of a line is -1"):
        Line(-1, C)
    with pytest.raises(Error, match="share 1 of a step"):
        Line(R, C).delay(1)


def test_nodes_carry_their_rows_and_columns() -> None:
    """C = C_own + C_gate per tile + g (τ_row + τ_column), of a row of three tiles and a column of 2,000 units."""
    tech = load_technology()
    circuit = ds.Circuit("wide")
    circuit.clamp("u", (2000,))
    circuit.nodes("v", (1,))
    circuit.nodes("w", (3000,))
    circuit.couple("column", "u", "v", np.ones((1, 2000)))
    circuit.couple("row", "v", "w", np.ones((3000, 1)))
    farads = load_nodes(circuit, tech).arrays["v"].capacitance
    tile, whole = 1024 * 1.6e-6, 2000 * 1.6e-6
    r, c = 1.49e6 * tile, 0.111e-9 * tile
    lag = c / 300e-6 + r * c / 2
    r, c = 0.216e6 * whole, 0.115e-9 * whole
    lag += 18 * c + r * c / 2
    assert farads == pytest.approx(49e-15 + 3 * 2.2e-15 + 32.26e-6 * lag, rel=1e-9)
    assert row(tech, 5000) == row(tech, 1024) and column(tech, 2000).resistance == pytest.approx(r)
