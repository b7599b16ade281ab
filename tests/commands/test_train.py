"""``dsmachine train``: chips that learn, are stopped and go on; and what is refused: one line, exit code 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lessons import trained, written
from small_models import write_small

import dsmachine as ds
from dsmachine.commands import main
from dsmachine.emulator.training_file import load_training

TEXT = "abcde" * 26  # windows of 8 begin at every letter
SST2 = "sentence\tlabel\n" + "".join(f"{a}{b}{a}\t{int(a > b)}\n" for a in "cdefgh" for b in "cdefgh")
MRPC = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + "".join(
    f"{int(a > b)}\t1\t2\t{a}\t{b}\n" for a in "cdef" for b in "cdef"
)
OPTIONS = ["--optimizer", "adamw", "--lr", "0.03", "--batch", "4", "--no-energy"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("models") / "small"))


def as_json(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["-q", "train", *arguments, "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_a_tiny_text_is_learnt(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, held_out = written(tmp_path, "text.txt", TEXT), written(tmp_path, "held_out.txt", "deabc" * 5)
    found = as_json(capfd, small, "--data", data, "--validation", held_out, "--steps", "20", *OPTIONS)
    assert len(found["loss"]) == len(found["accuracy"]) == found["steps"] == 20
    assert np.mean(found["loss"][-3:]) < 0.5 * found["loss"][0]
    assert found["accuracy"][-1] > 0.6 > found["accuracy"][0]
    before, after = found["validation"]["loss"]
    assert after < before
    assert found["digital_updates"] == 20 * found["weights"] and found["energy_j"] is None


def test_sgd_and_joules(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Joules are those of the first sample, from reset to the update of the weights, samples times."""
    data = written(tmp_path, "text.txt", TEXT)
    found = as_json(capfd, small, "--data", data, "--steps", "3", "--batch", "2", "--lr", "0.1")
    each = found["energy_of_one_sample_j"]
    assert list(each) == ["reset", "load", "anneal", "backward", "update"] and min(each.values()) > 0
    assert found["energy_j"] == pytest.approx(6 * sum(each.values())) and found["machine_s"] > 0
    assert found["digital_updates"] == 0 and found["weights_at_rails"]["after"] >= 0
    assert main(["train", small, "--data", data, "--steps", "1", "--batch", "2"]) == 0
    shown = capfd.readouterr().out
    for word in ("loss", "accuracy", "at rails", "energy", "backward", "machine"):
        assert word in shown


def test_a_chip_recovers_what_mismatch_costs(small: str, tmp_path: Path) -> None:
    """A chip whose devices are far off begins elsewhere, and ends about where the ideal machine does."""
    data = written(tmp_path, "text.txt", TEXT)
    ideal = trained(small, data, steps=30, validation=data)
    learnt = ideal.validation["loss"][1]
    chip = trained(small, data, steps=30, validation=data, vt_mismatch=0.3, chip_seed=2)
    assert chip.validation["loss"][0] != pytest.approx(ideal.validation["loss"][0], rel=1e-2)
    assert chip.validation["loss"][1] < 1.5 * learnt + 0.1
    assert chip.learner.circuit.terms["wte"].weight.shape == (12, 8)


@pytest.mark.parametrize(("task", "text"), [("classify", SST2), ("pairs", MRPC)])
def test_labels_are_learnt(task: str, text: str, small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = written(tmp_path, "train.tsv", text)
    more = ["--task", task, "--labels", "0=a,1=b", "--validation", data, "--positions", "4"]
    more += ["--steps", "240", "--batch", "8", "--lr", "0.01"]
    found = as_json(capfd, small, "--data", data, *OPTIONS, *more)
    before, after = found["validation"]["loss"]
    assert after < 0.25 * np.log(2) and before > np.log(2)
    assert found["validation"]["accuracy"][1] > 0.9


def test_going_on_is_the_uninterrupted_training(small: str, tmp_path: Path) -> None:
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    options: dict[str, Any] = {
        "mismatch": 0.05, "offset": 0.01, "chip_seed": 3, "validation": data, "noise": 0.01, "noise_seed": 2,
    }  # fmt: skip
    whole = trained(small, data, steps=7, **options)
    trained(small, data, steps=3, output=path, **options)
    gone_on = trained(small, data, steps=7, resume=path, **options)
    assert (gone_on.loss, gone_on.accuracy, gone_on.validation) == (whole.loss, whole.accuracy, whole.validation)
    for name, value in whole.learner.values.items():
        np.testing.assert_array_equal(gone_on.learner.values[name], value)
    with h5py.File(path) as file:
        assert file["loss"].shape == (7,) and file["weights"]["wte"].shape == (12, 8)
        assert file["loss"].attrs["units"] == b"nat"
    read = trained(small, data, steps=7, resume=path, **options)
    assert read.loss == whole.loss


@pytest.mark.parametrize("lr_of", [None, "model", "chip"])
def test_columns_move_by_the_gains_folded_into_them(lr_of: str | None, small: str, tmp_path: Path) -> None:
    """A first step of AdamW is η where a gradient is no smaller than ε, so η |γ| of a column."""
    data, model = written(tmp_path, "text.txt", TEXT), ds.load_model(small)
    norms = {"h.0.attn.c_attn": "h.0.ln_1", "h.0.mlp.c_fc": "h.0.ln_2", "wte": "ln_f"}
    learner = trained(small, data, steps=1, lr=1e-4, lr_of=lr_of, clip=1e3, precision="float64").learner
    for name in (*norms, "h.0.mlp.c_proj"):
        moved = np.median(np.abs(learner.values[name] - learner.programs[name].value * (1 - 1e-6)), axis=0)
        folded = name in norms and lr_of != "chip"
        gain = np.abs(model.tensors[f"{norms[name]}.weight"]) if folded else 1.0
        np.testing.assert_allclose(moved, np.broadcast_to(1e-4 * gain, moved.shape), rtol=1e-3, err_msg=name)


def test_a_noisy_training_is_weighed(small: str, tmp_path: Path) -> None:
    data = written(tmp_path, "text.txt", TEXT)
    found = trained(small, data, steps=1, mismatch=0.05, chip_seed=3, noise="thermal", energy=True)
    assert found.account is not None and "chip 3 with mismatch 0.05, no noise" in found.account["of"]


def test_a_killed_training_loses_its_last_step_at_most(small: str, tmp_path: Path) -> None:
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    command = [sys.executable, "-m", "dsmachine", "train", small, "--data", data, *OPTIONS, "-o", str(path)]
    environment = os.environ | {"PYTHONPATH": str(Path(ds.__file__).parents[1])}
    with subprocess.Popen([*command, "--steps", "100000"], env=environment) as process:
        until = time.monotonic() + 120
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    kept = load_training(path)["loss"]
    assert len(kept) >= 1
    assert main([*command[3:], "--overwrite", "--steps", str(len(kept) + 2), "--resume", str(path)]) == 0
    found = load_training(path)["loss"]
    assert found == trained(small, data, steps=len(kept) + 2).loss


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["train", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    ("task", "text", "words"),
    [
        ("text", "", ("is empty", "text")),
        ("text", " \n ", ("is empty",)),
        ("text", "abc", ("has 3 tokens", "8")),
        ("text", "abcXYZ" * 9, ("data", "'X'")),
        ("classify", "", ("is empty",)),
        ("classify", "text\tlabel\nabc\t1\n", ("lacks columns", "sentence, label")),
        ("classify", "sentence\tlabel\n", ("a header and no sentences",)),
        ("classify", "sentence\tlabel\nabc\n", ("line 2", "1 of 2 columns")),
        ("classify", "sentence\tlabel\nabc\t1\nabc\t7\n", ("line 3", "label '7' is none of 0, 1")),
        ("classify", "sentence\tlabel\n\t1\n", ("line 2", "is empty")),
        ("pairs", SST2, ("lacks columns", "#1 String, #2 String, Quality")),
    ],
)
def test_bad_data(
    task: str, text: str, words: tuple[str, ...], small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5"
    more = [] if task == "text" else ["--labels", "0=a,1=b"]
    line = refused(capfd, small, "--data", written(tmp_path, "data", text), "--task", task, "-o", str(out), *more)
    for word in words:
        assert word in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "songs"], ("task 'songs' is unknown", "text, classify, pairs")),
        (["--optimizer", "adam"], ("optimizer 'adam' is unknown", "sgd or adamw")),
        (["--lr", "0"], ("lr is 0.0", "above 0")),
        (["--lr", "nan"], ("lr is nan",)),
        (["--optimizer", "adamw", "--lr-of", "gains"], ("lr_of 'gains' is unknown", "model or chip")),
        (["--lr-of", "model"], ("lr_of 'model'", "control capacitors", "'sgd'", "adamw")),
        (["--optimizer", "adamw", "--clip", "0"], ("clip is 0.0", "above 0")),
        (["--optimizer", "adamw", "--clip", "inf"], ("clip is inf", "above 0")),
        (["--clip", "1"], ("clip 1.0", "control capacitors", "leave it out")),
        (["--batch", "17"], ("batch is 17", "16 samples")),
        (["--epochs", "0"], ("epochs is 0",)),
        (["--epochs", "2", "--steps", "3"], ("epochs 2 would be ignored", "steps is 3", "give one of both")),
        (["--steps", "0"], ("steps is 0",)),
        (["--positions", "9"], ("positions is 9", "2 … 8")),
        (["--positions", "1"], ("positions is 1",)),
        (["--labels", "0=a"], ("labels would be ignored",)),
        (["--labels", "0"], ("--labels '0' is not understood",)),
        (["--mismatch", "-1"], ("mismatch is -1",)),
        (["--noise", "2"], ("--noise '2' is unknown",)),
        (["--noise", "0.1", "--noise-unit", "volts"], ("noise unit 'volts' is unknown", "full-scale or activation")),
        (["--validation", "nowhere.txt"], ("nowhere.txt cannot be read",)),
    ],
)
def test_bad_options(
    options: list[str], words: tuple[str, ...], small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refused(capfd, small, "--data", written(tmp_path, "text.txt", TEXT), *options)
    for word in words:
        assert word in line


def test_words_of_labels_differ(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = written(tmp_path, "train.tsv", SST2)
    line = refused(capfd, small, "--data", data, "--task", "classify", "--labels", "0=ab,1=ac")
    assert "begin alike" in line
    assert "'0'" in refused(capfd, small, "--data", data, "--task", "classify")  # no letter of this model's


def test_labels_are_texts(small: str, tmp_path: Path) -> None:
    data = written(tmp_path, "train.tsv", SST2)
    with pytest.raises(ds.Error, match=r"^a key of labels is 0: give a text$"):
        ds.train(small, data, task="classify", labels={0: "a", 1: "b"})  # type: ignore[dict-item]


def test_labels_have_no_order(small: str, tmp_path: Path) -> None:
    data, path = written(tmp_path, "train.tsv", SST2), tmp_path / "run.h5"
    made: dict[str, Any] = {"task": "classify", "labels": {"1": "b", "0": "a"}}
    trained(small, data, steps=1, output=path, **made)
    found = trained(small, data, steps=2, resume=path, **made | {"labels": {"0": "a", "1": "b"}})
    again = trained(small, data, steps=2, **made)
    assert (found.loss, found.accuracy) == (again.loss, again.accuracy)


def test_files_of_others_are_not_gone_on_with(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    start = [small, "--data", data, *OPTIONS, "--mismatch", "0.05"]
    assert main(["-q", "train", *start, "--chip-seed", "1", "--steps", "2", "-o", str(path)]) == 0
    capfd.readouterr()
    before = path.read_bytes()
    others = written(tmp_path, "other.txt", TEXT[1:])
    for changed, words in (
        (["--chip-seed", "2"], ("chip_seed=1, not 2",)),
        (["--chip-seed", "1", "--lr", "0.5"], ("lr=0.03, not 0.5",)),
        (["--chip-seed", "1", "--lr-of", "chip"], ("lr_of='model', not 'chip'",)),
        (["--chip-seed", "1", "--clip", "2"], ("was made without clip, not with clip=2.0: leave it out",)),
        (["--chip-seed", "1", "--noise", "1%"], ("noise='off', not 0.01",)),
        (["--chip-seed", "1", "--set", "node.capacitance=60fF"], ("node.capacitance=", ", not 6e-14: use the same")),
        (["--chip-seed", "1", "--data", others], ("(data)",)),
        (["--chip-seed", "1", "--validation", others], ("(validation data)",)),
    ):
        line = refused(capfd, *start, *changed, "--steps", "4", "--resume", str(path))
        assert all(word in line for word in words), line
    assert path.read_bytes() == before
    assert "already exists" in refused(capfd, *start, "-o", str(path))
    assert "does not exist" in refused(capfd, *start, "--resume", str(tmp_path / "none.h5"))
    path.write_bytes(before[:-200])
    assert "truncated or damaged" in refused(capfd, *start, "--chip-seed", "1", "--resume", str(path))


def test_a_file_with_more_steps_than_asked_is_only_read_and_says_so(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    start = [small, "--data", data, *OPTIONS]
    assert main(["train", *start, "--steps", "3", "-o", str(path)]) == 0
    before, said = path.read_bytes(), "has 3 steps, more than the 2 of this training: it is only read"
    capfd.readouterr()
    assert main(["train", *start, "--steps", "2", "--resume", str(path)]) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: run file")]
    assert lines == [f"warning: run file {path} {said}; ask for more than 3 steps in all to go on"]
    assert main(["train", *start, "--steps", "3", "--resume", str(path)]) == 0
    assert "only read" not in capfd.readouterr().err and path.read_bytes() == before


def test_a_rate_that_drives_weights_into_their_rails_is_told(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path, "text.txt", TEXT)
    assert main(["train", small, "--data", data, "--lr", "1e4", "--steps", "2", "--no-energy", "--json"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found["weights_at_rails"]["after"] > 0.1 * found["weights"]
    assert "stand at the end of their range" in err and "lower lr" in err
