"""What `anneal` says around the run: the timer, agreement with the reference, seconds of each stage."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from small_models import write_small

import dsmachine as ds
from dsmachine import tasks
from dsmachine.circuits.chip import Chip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("models") / "small")


def timer(model: Path, bits: float, *, chip: Chip | None = None, precision: str = "float64") -> float:
    loaded = ds.load_model(model)
    chip = chip or ds.fabricate(ds.map_model(loaded, 4))
    return ds.timer_time(loaded, ds.prepare(chip, precision=precision), 4, settle_bits=bits, prompts=3)


def test_the_timer_is_as_precise_as_the_bits_it_waits_for(model: Path) -> None:
    """Every bit takes as long as the one before: the last pole decays by two in a fixed time."""
    coarse, middle, fine = (timer(model, bits) for bits in (8, 14, 20))
    assert fine - middle == pytest.approx(middle - coarse, rel=0.25)


def test_the_timer_is_the_p99_of_oracle_times(model: Path) -> None:
    """Of one prompt it is when that prompt's machine settles; of more, their quantile."""
    loaded = ds.load_model(model)
    plan = ds.prepare(ds.map_model(loaded, 4), precision="float64")
    ids = loaded.tokenize(loaded.calibration_text)
    oracle = []
    for start in np.linspace(0, len(ids) - 4, 3).astype(int):
        run = ds.transient(plan, {"embed": loaded.embed(ids[start : start + 4])}, tolerance=2.0**-10, settle_bits=8)
        assert run.settling_time is not None
        oracle.append(float(run.settling_time.max()))
    assert ds.timer_time(loaded, plan, 4, prompts=1) == pytest.approx(oracle[0], rel=1e-3)
    assert ds.timer_time(loaded, plan, 4, prompts=3) == pytest.approx(np.quantile(oracle, 0.99), rel=0.01)
    with pytest.raises(ds.Error, match="prompts is 0"):
        ds.timer_time(loaded, plan, 4, prompts=0)


def test_a_timer_prompt_that_does_not_settle_is_said(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """float32 does not know 40 bits."""
    with caplog.at_level(logging.WARNING, "dsmachine"):
        assert np.isnan(timer(model, 40, precision="float32"))
    assert "no timer time: 3 of 3 calibration prompts not settled to 40 bits in" in caplog.text


def test_a_timer_prompt_that_saturates_is_said(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = ds.load_model(model)
    chip = ds.fabricate(ds.map_model(loaded, 4), seed=1, offset=0.5)
    with caplog.at_level(logging.WARNING, "dsmachine"):
        timer(model, 6, chip=chip)
    assert "nodes saturate on the calibration prompts, most in" in caplog.text


def test_agreement_of_nothing_is_no_number() -> None:
    reference = np.array([[1.0, 0.9, 0.0], [1.0, 0.95, 0.0]])
    assert tasks.argmax_agreement(reference + [0.2, 0, 0], reference) == {"share": None, "compared": 0, "close": 2}
    assert tasks.argmax_agreement(reference, reference) == {"share": 1.0, "compared": 2, "close": 0}


def test_what_happens_is_logged(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "dsmachine"):
        ds.anneal(str(model), "abcd", timer_prompts=2)
    for words in (
        "calibration of small: 100 windows of 4 positions",
        "rejected",
        "layer 'h.0'",
        "timer: 2 calibration",
    ):
        assert words in caplog.text
    ring = ds.Circuit("ring")
    ring.nodes("a", (2,))
    ring.couple("J", "a", "a", 0.5)
    ring.bias("h", "a", 0.1)
    with caplog.at_level(logging.DEBUG, "dsmachine"):
        ds.operating_point(ring)
    assert "operating point of the cycle a: " in caplog.text
