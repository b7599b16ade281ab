"""The baseline where there is a GPU: recorded graphs give the step's own logits, and joules are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hf_models import make, write

from dsmachine.energy.baseline import measure

torch: Any = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU"),
]


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_prefill_and_decode_are_recorded_and_weighed(tmp_path: Path, family: str) -> None:
    folder = write(tmp_path / family, make(family))
    found = measure([str(folder)], tokens=8, batches=[2], seconds=0.3)
    assert [(row["phase"], row["launch"]) for row in found["rows"]] == [
        ("prefill", "eager"),
        ("prefill", "graph"),
        ("decode", "eager"),
        ("decode", "graph"),
    ]
    assert found["idle_watts"] is None or found["idle_watts"] > 0
    for row in found["rows"]:
        assert row["steps"] * row["step_seconds"] >= 0.3
        if found["idle_watts"]:
            assert row["watts"] > 0
