"""What is predicted to be on a GPU, and what CuPy's pool says was asked of CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.emulator import memory, run

cupy = pytest.importorskip("cupy")
pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("positions", "batch", "precision"), [(32, 1, "float32"), (32, 8, "float32"), (16, 2, "float64")]
)
def test_prediction(positions: int, batch: int, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the run, and with the elements that the busiest window took after it: what was used at most within 15 %
    (the pool keeps what it cannot use again, so it holds more)."""
    model = ds.load_model("tiny-shakespeare")
    circuit, text = ds.map_model(model, positions), model.calibration_text
    embed = np.stack([model.embed(model.encode(text[50 * k : 50 * k + positions])) for k in range(batch)])
    ds.transient(circuit, {"embed": embed}, device="cupy", precision=precision)  # kernels, cuBLAS
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before, most = pool.used_bytes(), [0]

    class Used(cupy.cuda.MemoryHook):
        def malloc_postprocess(self, **_: Any) -> None:
            most[0] = max(most[0], pool.used_bytes() - before)

    marches: list[Any] = []
    true_march = run._march

    def march_of(plan: Any, march: Any, *rest: Any) -> float:
        marches.append(march)
        return float(true_march(plan, march, *rest))

    monkeypatch.setattr(run, "_march", march_of)
    with Used():
        plan = ds.prepare(circuit, device="cupy", precision=precision)
        found = ds.transient(plan, {"embed": embed})
    taken = max(
        sum(block.count for block in window if block.group == group)
        for window in marches[0].taken
        for group in range(len(plan.groups))
    )
    assumed = found.statistics["predicted_bytes"]
    monkeypatch.setattr(memory, "assumed", lambda *_: taken)
    plan.needs.clear()
    known = ds.memory_needed(plan, batch=batch)
    said = f"most {most[0]:,}, with its elements {known}, before {assumed:,}, pool {pool.total_bytes():,}"
    print(said)
    assert known.total == pytest.approx(most[0], rel=0.15), said
    assert assumed == pytest.approx(most[0], rel=0.15), said


def test_what_does_not_fit_is_refused() -> None:
    """A batch that takes half as much again as this GPU has free, or more."""
    model = ds.load_model("tiny-shakespeare")
    plan = ds.prepare(ds.map_model(model, 16), device="cupy")
    free, batch = memory.room(plan.backend), 1000
    assert free is not None
    while ds.memory_needed(plan, batch=batch).total < 1.5 * free:
        batch *= 2
    embed = np.broadcast_to(model.embed(model.encode("To be, or not to")), (batch, 16, 64))
    before = cupy.get_default_memory_pool().used_bytes()
    with pytest.raises(ds.Error, match=r"GPU has .* left"):
        ds.transient(plan, {"embed": embed})
    assert cupy.get_default_memory_pool().used_bytes() < before + 2 * embed.nbytes
