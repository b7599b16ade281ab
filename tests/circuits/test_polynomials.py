"""Shapes of a crossbar: polynomials in few passes, in another basis of the same span, as text."""

import numpy as np
import pytest

from dsmachine.circuits.cells.polynomials import derivative, lowest_powers, shaped, text

ODD = (0.0, 0.9, 0.0, -0.4, 0.0, 0.3, 0.0, 0.2)
CASES = {
    "odd": [ODD, (0.0, 0.1, 0.0, 1.1), (0.0, 0.0, 0.0, 0.0, 0.0, 2.0)],
    "even": [(0.0, 0.0, 1.0, 0.0, 0.5), (0.0, 0.0, 0.0, 0.0, 0.3)],
    "odd and even": [ODD, (0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 0.1)],
    "mixed": [(0.0, 1.0, 0.5, 0.2), (0.0, 0.0, 0.3, 0.0, 0.1)],
    "constants": [(2.0,), (1.0, 0.0, 0.5), (0.0, 0.0)],
    "a line": [(0.0, 1.0)],
    "slopes": [derivative(ODD), derivative((0.0, 0.0, 1.0, 0.0, 0.5))],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (40, 3, 700), (2, 90, 700), (5, 2, 40_000)])
def test_values(name: str, shape: tuple[int, int, int]) -> None:
    """Over blocks that end inside and at the edges, with a unit of each position's own and with a common one."""
    rng, polynomials = np.random.default_rng(0), CASES[name]
    x = rng.uniform(-1, 1, shape)
    for unit in (rng.uniform(0.5, 1, shape[1:]), rng.uniform(0.5, 1, (1, shape[2]))):
        found = shaped(polynomials, x, unit)
        assert found.flags.c_contiguous
        for k, polynomial in enumerate(polynomials):
            exact = np.polynomial.polynomial.polyval(x * unit, polynomial)
            assert np.abs(found[:, :, k] - exact).max() < 1e-14, k


def test_type_is_kept() -> None:
    assert shaped(CASES["odd"], np.ones((1, 2, 3), np.float32), np.ones((1, 3), np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", ["odd", "mixed"])
def test_lowest_powers_span_the_same(name: str) -> None:
    size = max(map(len, CASES[name]))
    given = np.array([[*row, *(0.0,) * (size - len(row))] for row in CASES[name]])
    reduced, mix = lowest_powers(given, 0.5)
    assert mix @ reduced == pytest.approx(given, abs=1e-12)
    lowest = np.flatnonzero(given.any(axis=0))[: len(given)]
    assert np.array_equal(reduced[:, lowest], np.eye(len(given)))


def test_shapes_that_hardly_differ_stay() -> None:
    given = np.array([[0, 1.0, 0, 0.5, 0, 0.1], [0, 1.0, 0, 0.5001, 0, 0.3]])
    reduced, mix = lowest_powers(given, 0.5)
    assert np.array_equal(reduced, given)
    assert np.array_equal(mix, np.eye(2))


@pytest.mark.parametrize("name", CASES)
def test_text(name: str) -> None:
    for polynomial in CASES[name]:
        found = eval(text(polynomial, "v"), {"v": 0.7})
        assert found == pytest.approx(np.polynomial.polynomial.polyval(0.7, polynomial), rel=1e-13)
