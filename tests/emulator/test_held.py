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
    rows: dict[str, list[Array]] = {"a": [], "b": []}
    for k in range(4):
        for name in rows:
            kept.keep(rows[name], np.full((2, 3), k, np.float32))
    assert not Fetches.counts
    kept.fetch()
    assert Fetches.counts == [8]
    monkeypatch.setattr(held, "MOST", 100.0)  # bytes: four arrays of 24 are under it
    for _ in range(12):
        kept.keep(rows["a"], np.zeros((2, 3), np.float32))
    assert Fetches.counts == [8, 5, 5]
    assert len(rows["a"]) == 16 and [int(r[0, 0]) for r in rows["b"]] == [0, 1, 2, 3]
    assert pickle.loads(pickle.dumps(kept))._waiting == [] and Fetches.counts == [8, 5, 5, 2]
