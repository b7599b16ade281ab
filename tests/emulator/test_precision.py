"""A run computes in the type that it was asked for, from its first array to its last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.emulator.observers import Element
from dsmachine.emulator.plan import Plan

KINDS: dict[str, dict[str, Any]] = {"ideal": {}, "chip": {"mismatch": 0.01, "offset": 0.01}}


class Types:
    """Observer: the type of each array's values."""

    def begin(self, plan: Plan, start: Any) -> None:
        self.found: dict[str, Any] = {}

    def element(self, element: Element) -> None:
        self.found |= {stage.name: element.values[stage.name].dtype for stage in element.group.stages}

    def window(self, time: float) -> None:
        pass


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("options", [{}, {"coupling": "passive"}, {"input_resistance": 18.0}], ids=str)
def test_every_array_is_of_the_type_asked_for(
    kind: str, options: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    model = ds.load_model(write_small(tmp_path / "small"))
    circuit = ds.map_model(model, 4, **options)
    machine = ds.fabricate(circuit, seed=0, **KINDS[kind]) if KINDS[kind] else circuit
    types = Types()
    ds.transient(machine, {"embed": model.embed(model.encode(PROMPT))}, precision=precision, observers=[types])
    assert set(types.found.values()) == {np.dtype(precision)}, types.found
