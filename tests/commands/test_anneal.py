"""``dsmachine anneal``: one call from a prompt to a settled machine, as text, JSON and run file."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.commands import main
from dsmachine.commands._progress import SettledShare, StageProgress

DOCUMENTED = {
    "model", "prompt", "tokens", "prediction", "settled", "settling_time_s", "energy_j", "logit_error",
    "argmax_agreement", "saturated_nodes", "engine", "wall_s", "peak_rss_bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("models") / "small"))


def as_json(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["anneal", *arguments, "--prompt", PROMPT, "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_json_has_what_is_documented(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = as_json(capfd, small)
    assert set(found) >= DOCUMENTED
    assert (found["prompt"], found["tokens"], found["settled"]) == (PROMPT, 4, True)
    assert 0 < found["settling_time_s"]["oracle"] < 1e-6
    assert 0 < found["settling_time_s"]["timer"] < 1e-6
    assert found["energy_j"]["total"] > found["energy_j"]["dissipated"] > 0
    parts = sum(part["drawn"] for part in found["energy_j"]["by_part"].values())
    assert parts == pytest.approx(found["energy_j"]["total"])
    assert found["logit_error"] < 2.0**-8
    assert found["argmax_agreement"]["share"] == 1.0
    assert sum(found["argmax_agreement"][k] for k in ("compared", "close")) == 4
    assert list(found["wall_s"]) == ["calibrate", "map", "solve", "timer", "reference"]
    assert found["saturated_nodes"] == 0
    assert found["peak_rss_bytes"] > 1e6
    assert found["noise"] is None


def test_text_says_the_same(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["anneal", small, "--prompt", PROMPT]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for word in ("prediction", "digital reference", "to 8 bits after", "timer", "logit error", "agreement", "coupling"):
        assert word in out


def test_imperfections_and_noise(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--mismatch", "0.02", "--offset", "0.01", "--chip-seed", "3", "--noise", "0.001", "--noise-seed", "5"]
    options += ["--timer-prompts", "0", "--trim", "write-verify=0.005,auto-zero=0.001"]
    found = as_json(capfd, small, *options)
    assert found["chip"]["seed"] == 3
    assert (found["chip"]["mismatch"], found["chip"]["offset"]) == (0.005, 0.001)
    assert (found["noise"]["noise"], found["noise"]["noise_seed"]) == (0.001, 5)
    assert 0 < found["noise"]["rms"] < 0.05
    assert found["settling_time_s"]["timer"] is None
    assert found["logit_error"] > 1e-3


def test_converters_and_softmax(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    exact = as_json(capfd, small, "--timer-prompts", "0")
    options = ["--dac-bits", "6", "--adc-bits", "10", "--weight-bits", "8", "--softmax-clamp", "11.5"]
    options += ["--softmax-gain", "1.1", "--branch-offset", "0.01", "--leakage", "--timer-prompts", "0"]
    found = as_json(capfd, small, *options)
    assert found["bits"] == {"weight": 8, "dac": 6, "adc": 10}
    assert found["softmax"] == {"leakage": True, "softmax_clamp": 11.5, "softmax_gain": 1.1}
    assert found["chip"]["branch_offset"] == 0.01
    assert found["logit_error"] > 10 * exact["logit_error"]
    load, read = (tuple(f["energy_j"]["by_phase"][k]["drawn"] for f in (found, exact)) for k in ("load", "read"))
    assert load[0] < 0.5 * load[1] and read[0] > 2 * read[1]


def test_the_stepper_agrees(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    elements = as_json(capfd, small, "--timer-prompts", "0")
    stepper = as_json(capfd, small, "--method", "stepper", "--timer-prompts", "0")
    assert "stepper" in stepper["engine"]
    times = [found["settling_time_s"]["oracle"] for found in (elements, stepper)]
    assert times[0] == pytest.approx(times[1], rel=0.02)


def test_run_file(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    found = as_json(capfd, small, "-o", str(path))
    loaded = ds.load_run(path)
    assert loaded.settled
    assert loaded.extra["summary"]["prediction"] == found["prediction"]
    assert loaded.extra["logits"].shape == (4, 12)
    assert loaded.extra["command"][0] == "dsmachine"
    assert any(row[0] == "node.capacitance" for row in loaded.extra["technology"])
    assert {"ErrorByLayer", "Probe"} <= set(loaded.observed)
    assert main(["anneal", small, "--prompt", PROMPT, "-o", str(path), "--overwrite"]) == 0
    assert list(tmp_path.iterdir()) == [path]


def test_info_reads_a_run_file_back(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.h5"
    as_json(capfd, small, "-o", str(path))
    assert main(["info", str(path)]) == 0
    assert "prediction" in capfd.readouterr().out
    assert main(["info", str(path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["summary"]["prompt"] == PROMPT


def test_progress_ends_with_every_array_settled(small: str) -> None:
    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bar:
        stage = StageProgress(bar)
        share = SettledShare(stage, 8)
        lines: list[str] = []

        def announce(name: str) -> None:
            lines.append(bar.tasks[0].description)
            stage(name)

        ds.anneal(small, PROMPT, observers=[share], stage=announce, timer_prompts=1)
        assert share.share == 1.0
    assert lines[:3] == ["", "calibrate", "map"]
    assert re.fullmatch(r"anneal  \d+ ns", lines[3])
    assert lines[4:] == ["timer"]


def test_a_stage_of_unknown_length_does_not_stand_at_zero() -> None:
    """After one whose share was known, too: its bar moves."""
    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bar:
        stage = StageProgress(bar)
        stage.done("ngspice solves", 0.5)
        assert (bar.tasks[0].description, bar.tasks[0].percentage) == ("ngspice solves", 50)
        stage.done("emulator", None)
        assert (bar.tasks[0].description, bar.tasks[0].total) == ("emulator", None)
        stage("anneal")
        stage.reached(1e-9, 0.25)
        stage("report")
        assert len(bar.tasks) == 1 and bar.tasks[0].total is None


def test_api_takes_a_loaded_model(small: str) -> None:
    found = ds.anneal(ds.load_model(small), PROMPT, timer_prompts=0)
    assert np.isnan(found.timer_time)
    assert found.text == found.expected
    assert found.logits.shape == found.reference.shape == (4, 12)


# --- interrupted -------------------------------------------------------------------------------------------


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Ctrl-C once the meter has been shown elements so often; returns where that is counted."""
    seen, element = [0], ds.EnergyMeter.element

    def pressed(self: Any, shown: Any) -> None:
        seen[0] += 1
        if seen[0] == after:
            raise KeyboardInterrupt
        element(self, shown)

    monkeypatch.setattr(ds.EnergyMeter, "element", pressed)
    return seen


def test_an_interrupted_run_goes_on(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.h5"
    options = ["--timer-prompts", "0"]
    monkeypatch.setattr("dsmachine.emulator.duration.WINDOW", 1.0)  # several windows of so small a machine
    with monkeypatch.context() as patch:
        shown = interrupted(patch, -1)
        known = as_json(capfd, small, *options)
    with monkeypatch.context() as patch:
        interrupted(patch, shown[0] - 1)
        assert main(["anneal", small, "--prompt", PROMPT, *options, "-o", str(path)]) == 130
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"interrupted: {path} has the run up to ") and f"--resume {path} goes on" in err
    kept = ds.load_run(path)
    assert kept.unfinished and kept.duration > 0
    assert main(["info", str(path)]) == 0
    assert "unfinished" in capfd.readouterr().out
    assert main(["anneal", small, "--prompt", "dcba", *options, "--resume", str(path)]) == 2
    assert re.fullmatch(r"error: .*\(inputs\).*\n", capfd.readouterr().err)
    assert main(["anneal", small, "--prompt", PROMPT, *options, "--offset", "0.01", "--resume", str(path)]) == 2
    assert re.fullmatch(r"error: .*\(circuit\).*\n", capfd.readouterr().err)
    again = as_json(capfd, small, *options, "--resume", str(path))
    for what in ("settling_time_s", "energy_j", "logit_error"):
        assert again[what] == known[what]
    assert not ds.load_run(path).unfinished and ds.load_run(path).extra["summary"]["prompt"] == PROMPT
    assert main(["anneal", small, "--prompt", PROMPT, *options, "--resume", str(path)]) == 2
    assert "finished run" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_after_it_settled(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer's prompts are done again, the run itself is not."""
    path = tmp_path / "run.h5"

    def pressed(*_: Any, **__: Any) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dsmachine.tasks.timer_time", pressed)
        assert main(["anneal", small, "--prompt", PROMPT, "-o", str(path)]) == 130
    assert "goes on" in capfd.readouterr().err
    assert as_json(capfd, small, "--resume", str(path))["settled"]


def test_memory_that_runs_out_is_one_line(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.h5"

    def full(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ds.EnergyMeter, "element", full)
        assert main(["anneal", small, "--prompt", PROMPT, "-o", str(path)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: memory ran out") and err.count("\n") == 1
    assert ds.load_run(path).unfinished
    assert as_json(capfd, small, "--resume", str(path))["settled"]
