"""Sums of magnitudes, and their kernel compiled for the processor, against sums written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from host_kernels import HostKernel

from dsmachine.circuits import magnitudes as module

Array = Any


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "shape, order, axes",
    [
        ((7, 2, 3, 4, 5), (1, 2, 3, 0, 4), (1, 2, 1)),
        ((7, 2, 3, 4, 5), (3, 1, 2, 0, 4), (2, 1, 1)),
        ((7, 3, 2, 4), (2, 1, 0, 3), (1, 1, 1)),
        ((7, 2, 3), (1, 2, 0), (1, 1, 0)),
        ((7, 2, 3), (2, 0, 1), (0, 1, 1)),
    ],
    ids=["two summed", "two outer", "read four at once", "no inner", "no outer"],
)
def test_sums_of_runs(
    shape: tuple[int, ...], order: tuple[int, ...], axes: tuple[int, int, int], signed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).transpose(order)
    a, b, _ = axes
    outer, summed, inner = [int(np.prod(part)) for part in (x.shape[:a], x.shape[a : a + b], x.shape[a + b + 1 :])]
    edges = np.array([0, 1, summed], np.int32)
    signs = rng.choice([-1.0, 1.0], (*x.shape[: a + b], 1, *x.shape[a + b + 1 :])) if signed else None
    size = (np.abs(x) if signs is None else np.abs(x) * signs).reshape(outer, summed, 7, inner)
    want = np.stack([size[:, :1].sum(axis=1), size[:, 1:].sum(axis=1)], axis=1)
    assert module.magnitudes(x, axes, edges, signs) == pytest.approx(want)
    monkeypatch.setattr(module, "kernel", lambda dtype: HostKernel(module.source(dtype), "magnitudes"))
    assert module.launched(x, axes, edges, signs) == pytest.approx(want)
    each = np.arange(summed + 1, dtype=np.int32)
    assert module.launched(x, axes, each, signs) == pytest.approx(size)
