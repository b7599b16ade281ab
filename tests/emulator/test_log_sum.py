"""The GPU's logarithms of sums of exponentials, compiled for the processor, against scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

import dsmachine as ds
from dsmachine.circuits.cells.term import LogSum, View
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.log_sum import FusedLogSum

VIEWS = {
    "whole": View("s"),
    "columns in another order": View("s", 2, 8, (2, 3), (1, 0, 2)),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_rows(view: View, precision: str, fused: Any) -> None:
    """Of masked rows of any view, at several points, far from where e^z overflows."""
    fused()
    circuit, backend, rng = ds.Circuit("rows"), Backend(precision=precision), np.random.default_rng(0)
    circuit.nodes("s", (5, 9))
    signal = rng.normal(0, 200, (3, 5, 9)).astype(backend.dtype)
    z = view.of(signal)
    exists, shift = rng.random(z.shape[1:]) < 0.7, rng.normal(size=z.shape[1:])
    exists[..., 0] = True
    share = rng.uniform(0.1, 1, (*z.shape[1:-1], 1))
    law = "(v0 != 0 ? v1 * r0 + v2 : (REAL)-1e30)"
    cell = FusedLogSum(LogSum(law, view, (exists, 0.9, shift), share), circuit, backend)
    known = logsumexp(0.9 * z.astype(float) + shift, b=exists * share, axis=-1, keepdims=True)
    assert cell.drive({"s": signal}) == pytest.approx(known, rel=1e-5 if precision == "float32" else 1e-12)
