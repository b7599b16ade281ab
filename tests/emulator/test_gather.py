"""Arrays find their places in a block, whatever their number, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsmachine.emulator import gather
from dsmachine.emulator.backend import Backend


@pytest.mark.parametrize("most", [448, 2])
def test_arrays_go_to_their_places(most: int, fused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fused()
    monkeypatch.setattr(gather, "MOST", most)
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(2, 300)), np.broadcast_to(3.0, (4, 3)), rng.normal(size=(5, 6)).T, rng.normal(size=1)]
    begins, sizes = [3, 610, 630, 700], [part.size for part in parts]
    block = np.zeros(720)
    gather.Gather(Backend("numpy", "float64"), sizes, begins)(parts, block)
    want = np.zeros(720)
    for part, at in zip(parts, begins, strict=True):
        want[at : at + part.size] = part.reshape(-1)
    assert np.array_equal(block, want)
