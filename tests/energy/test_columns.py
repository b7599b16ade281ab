"""Nodes that cost the same are added up: the sums that are weighed are those of all nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsmachine.energy.columns import Columns, Times, slabs

Array = Any


@pytest.mark.parametrize("longest", [None, 3])
@pytest.mark.parametrize("distinct", [1, 2, 8], ids=["equal", "first apart", "all apart"])
def test_weighed_sums_are_those_of_all_nodes(distinct: int, longest: int | None) -> None:
    """Σ_n w_n ∫f_n dt, whatever is added first, and however the points are cut into slabs."""
    rng = np.random.default_rng(0)
    weight = np.concatenate([rng.normal(size=(distinct, 2, 5)), np.zeros((8 - distinct, 2, 5))])
    weight[distinct:] = weight[distinct - 1]
    columns = Columns.of((8, 2, 5), [weight, 3.0])
    columns = columns if longest is None else Columns.joined([columns], longest)
    assert columns.sums[1] == 10
    assert columns.runs == ({1: 1, 2: 2, 8: 8} if longest is None else {1: 3, 2: 4, 8: 8})[distinct]
    f, seconds = rng.normal(size=(3, 4, 8, 10)), rng.uniform(size=4)
    rate = rng.uniform(size=(3, 4, 8))
    for rates in (None, rate):
        found: Array = 0.0
        for at in slabs(f.shape, 100):
            part = None if rates is None else rates[:, *at]
            found = found + columns.integral(f[:, *at], Times(seconds), at, part)
        weighed = (found * columns.first(weight)).sum(axis=(1, 2))
        values = f if rates is None else f * rates[..., None]
        want = np.einsum("t,btrc,rc->b", seconds, values, weight.reshape(8, 10))
        assert weighed == pytest.approx(want, rel=1e-12)
        spread = columns.spread(found, (8, 2, 5))
        assert (spread * weight).sum(axis=(1, 2, 3)) == pytest.approx(want, rel=1e-12)


def test_arrays_without_rows_and_equal_to_rounding() -> None:
    assert Columns.of((6,), [np.arange(6.0)]).sums == (1, 6)
    rows = np.ones((4, 3)) * (1 + 1e-15 * np.arange(4)[:, None])
    assert Columns.of((4, 3), [rows]).runs == 1 and Columns.of((4, 3), [rows, rows * (1 + np.eye(4, 3))]).runs == 4


def test_slabs_cover_every_number_once() -> None:
    seen = np.zeros((2, 5, 7, 3))
    for most in (1, 20, 60, 1000):
        for at in slabs(seen.shape, most):
            seen[:, *at] += 1
    assert np.all(seen == 4)
