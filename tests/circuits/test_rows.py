"""Passes over matrices by rows give what one pass over the whole gives."""

from __future__ import annotations

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.cells import Coupling
from dsmachine.circuits.rows import FEW, TOGETHER, by_rows


@pytest.mark.parametrize("shape", [(0, 3), (1,), (7, 5), (3, 2 * TOGETHER), (FEW // 64 + 3, 64), (2 * FEW,)])
def test_every_row_is_visited_once_in_order(shape: tuple[int, ...]) -> None:
    visited = by_rows(lambda rows: list(range(rows.start, rows.stop)), shape)
    assert [row for part in visited for row in part] == list(range(shape[0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conductances_of_a_large_matrix(dtype: type) -> None:
    """Σ|G| of rows and columns, and the largest |G| of each row, against G written out; units differ by position."""
    rng = np.random.default_rng(0)
    circuit = ds.Circuit("large")
    unit = {name: rng.uniform(0.5, 2, (3, width)) for name, width in (("x", 1200), ("y", 1000))}
    circuit.clamp("x", (3, 1200), unit=unit["x"])
    circuit.nodes("y", (3, 1000), unit=unit["y"], conductance=2.0)
    weight = rng.standard_normal((1000, 1200)).astype(dtype)
    assert weight.size > FEW
    term = circuit.couple("w", "x", "y", weight)
    assert isinstance(term, Coupling)
    siemens = 2.0 * abs(weight.astype(float)) * unit["y"][:, :, None] / unit["x"][:, None, :]
    row, column = term._sums(circuit)
    np.testing.assert_allclose(row, siemens.sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(column, siemens.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(term.peaks(circuit), siemens.max(axis=2), rtol=1e-12)


def test_matrices_in_float32_are_the_rounded_ones() -> None:
    model = ds.load_model("tiny-shakespeare")
    exact, rounded = (ds.map_model(model, 4, precision=precision) for precision in ("float64", "float32"))
    for name, term in exact.terms.items():
        if isinstance(term, Coupling) and term.programmable:
            found = rounded.terms[name].weight  # type: ignore[attr-defined]
            assert term.weight.dtype == np.float64 and found.dtype == np.float32, name
            np.testing.assert_allclose(found, term.weight, rtol=2e-7, err_msg=name)
    with pytest.raises(ds.Error, match="precision 'half' is unknown"):
        ds.map_model(model, 4, precision="half")
