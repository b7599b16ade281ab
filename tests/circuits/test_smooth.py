"""Rails: exactly the drive up to the knee, the bound beyond it, whatever way the numbers lie in memory."""

from __future__ import annotations

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.cells.smooth import limit, limit_slope

KNEE = 0.1


def test_drives_up_to_the_knee_stay_and_those_beyond_are_held() -> None:
    z = np.linspace(-2, 2, 4001)
    found = limit(z, 1.0, KNEE)
    np.testing.assert_array_equal(found[abs(z) <= 1 - KNEE], z[abs(z) <= 1 - KNEE])
    np.testing.assert_allclose(found[abs(z) >= 1 + KNEE], np.sign(z[abs(z) >= 1 + KNEE]), rtol=1e-15)
    step = z[1] - z[0]
    np.testing.assert_allclose(np.gradient(found, step), limit_slope(z, 1.0, KNEE), atol=2e-2)


@pytest.mark.parametrize("bound", [0.7, np.linspace(0.5, 0.9, 4)], ids=["one", "by node"])
def test_turned_numbers_are_held_too(bound: float | np.ndarray) -> None:
    z = np.random.default_rng(0).normal(size=(4, 3))
    known = limit(z.T.copy(), bound, KNEE)
    assert abs(known).max() <= np.max(bound) < abs(z).max()
    for turned in (z.T, np.asfortranarray(z.T)):
        np.testing.assert_array_equal(limit(turned, bound, KNEE), known)


def test_a_product_whose_axes_turn_rests_on_its_rail() -> None:
    circuit = ds.Circuit("turned")
    circuit.clamp("a", (2, 3))
    circuit.clamp("b", (2, 3))
    circuit.nodes("y", (3, 2), rail=0.3)
    circuit.multiply("p", "a", "b", "y", "ij,ij->ji")
    run = ds.operating_point(circuit, {"a": np.full((2, 3), 2.0), "b": np.full((2, 3), 2.0)})
    assert abs(run.outputs["y"]).max() <= 0.3 * (1 + 1e-9)
