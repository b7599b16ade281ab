"""What observers keep on a device comes to the host when it is asked for, or when there is too much of it."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

import numpy as np
import pytest

from dsmachine.emulator import held
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.held import Held

Array = Any


class Fetches(Backend):
    """Counts transfers."""

    counts: ClassVar[list[int]] = []

    def fetched(self, arrays: Any) -> list[Array]:
        self.counts.append(len(arrays))
        return super().fetched(arrays)


def test_one_transfer_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, kept = Fetches(), Held()
    Fetches.counts.clear()
    kept.begin(backend)
    for k in range(4):
        for name in ("a", "b"):
            kept.keep(name, np.full((2, 3), k, np.float32))
    assert not Fetches.counts
    assert [len(rows) for rows in kept.lists.values()] == [4, 4]
    assert Fetches.counts == [8]
    monkeypatch.setattr(held, "MOST", 100.0)  # bytes: four arrays of 24 are under it
    for _ in range(12):
        kept.keep("a", np.zeros((2, 3), np.float32))
    assert Fetches.counts == [8, 5, 5]
    again = pickle.loads(pickle.dumps(kept))
    assert Fetches.counts == [8, 5, 5, 2] and again._waiting == []
    assert len(again.lists["a"]) == 16 and [int(r[0, 0]) for r in again.lists["b"]] == [0, 1, 2, 3]
