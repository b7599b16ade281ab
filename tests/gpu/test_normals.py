"""Counted normals on a GPU against NumPy's. Skipped, loudly, where no GPU answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from normal_kernels import fill_source

from dsmachine.emulator import kernels
from dsmachine.emulator.normals import array_key, normals, schedule, words

cupy = pytest.importorskip("cupy", reason="CuPy is missing: pip install 'dsmachine[cuda13]'")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy.cuda.is_available(), reason="no GPU answers"),
]
NODES = 1_000_000


@pytest.mark.parametrize("octet", [0, 5, 2**40])
def test_words(octet: int) -> None:
    key, out = array_key(2**63 - 1, "logits"), cupy.empty((NODES, 4), np.uint64)
    arguments = (np.int64(NODES), np.int64(octet), schedule(key), out)
    kernels.compiled(fill_source(np.float32), "words")(kernels.blocks(NODES), (kernels.THREADS,), arguments)
    assert (out.get() == words(key, octet, NODES)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals(dtype: Any) -> None:
    key, first, count = array_key(7, "h.0.mlp.act"), 3, 19
    out = cupy.empty((count, NODES), dtype)
    arguments = (np.int64(NODES), np.int64(first), np.int32(count), schedule(key), out)
    kernels.compiled(fill_source(dtype), "normals")(kernels.blocks(NODES), (kernels.THREADS,), arguments)
    known = normals(key, first, count, NODES, dtype)
    if dtype == np.float64:
        np.testing.assert_allclose(out.get(), known, rtol=1e-12)
    else:
        assert (np.abs(out.get() - known) <= np.spacing(np.abs(known))).all()
