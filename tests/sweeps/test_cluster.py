"""The same sweep on a Dask cluster of real processes, one of which is lost on the way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import write_small

import dsmachine as ds
from dsmachine.sweeps import workers as pool

HERE: dict[str, Any] = {"chips": 4, "windows": 2, "settings": {"positions": 4}}
VARY = {"mismatch": [0.05, 0.1, 0.2]}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_that_loses_a_worker_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two workers is killed when a quarter is done; all values come, those of this process to the last bit."""
    distributed = pytest.importorskip("distributed", reason="Dask is not here: pip install 'dsmachine[distributed]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(ds.__file__).parents[1]), *filter(None, sys.path)]))
    model = str(write_small(tmp_path / "small"))
    lost: list[int] = []
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as cluster:

        def told(done: int, total: int) -> None:
            if done == 3:
                lost.append(next(iter(cluster.workers.values())).pid)
                os.kill(lost[0], signal.SIGKILL)

        address = cluster.scheduler_address
        assert address.startswith("tcp://")
        found = ds.sweep(model, VARY, scheduler=address, cache=tmp_path / "a", told=told, **HERE)
        assert lost and found.computed == 12 and not found.failed
        again = ds.sweep(model, VARY, scheduler=address, cache=tmp_path / "a", **HERE)
        assert again.known == 12
    alone = ds.sweep(model, VARY, workers=1, cache=tmp_path / "b", **HERE)
    np.testing.assert_array_equal(found.of("perplexity"), alone.of("perplexity"))


def test_a_laboratory_travels_without_what_is_on_its_table(tmp_path: Path) -> None:
    import pickle

    from dsmachine.sweeps.bench import Bench, text_tokens
    from dsmachine.sweeps.parameters import READ

    model = ds.load_model(write_small(tmp_path / "small"))
    bench = Bench(model, text_tokens(model, None, 2), 2)
    job = bench.job(READ, {"positions": 4, "mismatch": 0.1}, 3, 0)
    laboratory = pool.Laboratory(bench)
    found = laboratory.measure((job,))
    there = pickle.loads(pickle.dumps(laboratory))
    assert not there._kept and len(pickle.dumps(laboratory)) < 2 * len(pickle.dumps(bench))
    assert there.measure((pickle.loads(pickle.dumps(job)),)) == found


@pytest.mark.parametrize(
    ("address", "words"), [("nowhere", "write it as tcp://HOST:PORT"), ("tcp://127.0.0.1:9", "does not answer")]
)
def test_a_scheduler_that_is_not_there(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="Dask is not here: pip install 'dsmachine[distributed]'")
    monkeypatch.setattr("dsmachine.sweeps.cluster.PATIENCE", 1)
    model = str(write_small(tmp_path / "small"))
    with pytest.raises(ds.Error, match=words):
        ds.sweep(model, VARY, scheduler=address, cache=tmp_path / "a", **HERE)


def test_without_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    model = str(write_small(tmp_path / "small"))
    with pytest.raises(ds.Error, match=r"needs Dask, which is not here: pip install 'dsmachine\[distributed\]'"):
        ds.sweep(model, VARY, scheduler="tcp://127.0.0.1:9", cache=tmp_path / "a", **HERE)
