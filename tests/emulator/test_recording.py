"""Recorded runs, as far as they need no GPU (tests/gpu has the rest)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from runs import chain

import dsmachine as ds
from dsmachine.emulator import graphs
from dsmachine.emulator.request import Request
from dsmachine.emulator.transient import Counts


def test_a_run_that_has_no_room_is_recorded_once_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a recording costs as much as a run: later runs stay adaptive without trying again."""
    tried: list[Any] = []

    def full(*case: Any) -> None:
        tried.append(case)
        raise MemoryError

    monkeypatch.setattr(graphs, "Graph", full)
    plan, request, values = ds.prepare(chain()), Request(), {"u": np.zeros((1, 4))}
    march: Any = SimpleNamespace(taken=[], counts=Counts())
    for _ in range(3):
        graphs.remember(plan, request, values, [], march, 1e-9)
        assert graphs.graph_of(plan, request, values, []) is None
    assert len(tried) == 1
    plan.graphs.clear()  # whoever frees memory lets it be tried again
    graphs.remember(plan, request, values, [], march, 1e-9)
    assert graphs.graph_of(plan, request, values, []) is None and len(tried) == 2
