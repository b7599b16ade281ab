"""A training that is gone on with: every setting that changes what is learnt is the one that its file was made with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from lessons import trained, written
from safetensors.numpy import save_file
from small_models import write_small

import dsmachine as ds
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.training_file import load_training

TEXT = "abcde" * 26  # windows of 8 begin at every letter


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("models") / "small"))


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "task": ({"task": "pairs"}, "task="),
    "labels": ({"labels": {"no": "a", "yes": "c"}}, "labels="),
    "positions": ({"positions": 4}, "positions="),
    "batch": ({"batch": 2}, "batch="),
    "data_seed": ({"data_seed": 1}, "data_seed="),
    "optimizer": ({"optimizer": "sgd", "lr_of": None, "clip": None}, "optimizer="),
    "lr": ({"lr": 0.5}, "lr="),
    "lr_of": ({"lr_of": "chip"}, "lr_of="),
    "clip": ({"clip": 2.0}, "clip="),
    "chip_seed": ({"chip_seed": 7}, "chip_seed="),
    "mismatch": ({"mismatch": 0.2}, "mismatch="),
    "vt_mismatch": ({"vt_mismatch": 0.2}, "vt_mismatch="),
    "offset": ({"offset": 0.01}, "offset="),
    "trim": ({"trim": {"auto-zero": 0.01}}, "trim="),
    "noise": ({"noise": 0.02}, "noise="),
    "noise_unit": ({"noise": 0.01, "noise_unit": "activation"}, "noise"),
    "noise_seed": ({"noise": 0.01, "noise_seed": 3}, "noise"),
    "softmax": ({"softmax": "taylor", "order": 2}, "softmax="),
    "order": ({"order": 4}, "order="),
    "activation": ({"activation": "taylor"}, "activation="),
    "precision": ({"precision": "float64"}, "precision="),
    "corner": ({"technology": load_technology(corner="SS")}, "corner="),
    "number": ({"technology": load_technology(overrides={"coupling.g_max": 3e-5})}, "coupling.g_max="),
    "temperature": ({"technology": load_technology(temperature=320.0)}, "temperature="),
}
"""Other values of what changes what is learnt, and what the refusal begins with."""


def resumed(small: str, data: str, path: Path, made: dict[str, Any], now: dict[str, Any]) -> str:
    """What is said where a training made with some options is gone on with others; its file stays as it is."""
    before = path.read_bytes() if path.exists() else b""
    if not before:
        trained(small, data, steps=1, output=path, **made)
        before = path.read_bytes()
    with pytest.raises(ds.Error) as problem:
        trained(small, data, steps=2, resume=path, **now)
    line = str(problem.value)
    assert "\n" not in line and str(path) in line and path.read_bytes() == before
    return line


@pytest.mark.parametrize("way", ["present now", "absent now"])
@pytest.mark.parametrize("name", OTHERS)
def test_nothing_that_changes_what_is_learnt_may_differ(name: str, way: str, small: str, tmp_path: Path) -> None:
    """Given then and left out now, or the other way round."""
    text, (with_it, word) = TEXT, OTHERS[name]
    plain: dict[str, Any] = {"order": {"softmax": "taylor", "order": 2}}.get(name, {})
    if name in ("task", "labels"):  # a table that is of both tasks
        text = "sentence\tsentence1\tsentence2\tlabel\n" + "ab\ta\tb\tno\nba\tb\ta\tyes\n" * 9
        plain = {"task": "classify", "labels": {"no": "a", "yes": "b"}}
    data = written(tmp_path, "text.txt", text)
    made, now = (plain, plain | with_it) if way == "present now" else (plain | with_it, plain)
    line = resumed(small, data, tmp_path / "run.h5", made, now)
    assert f" {word}" in line and ", not " in line and "None" not in line, line
    assert line.endswith((": use the same", ": give the same", ": leave it out")), line


def test_noise_is_gone_on_with_as_it_was(small: str, tmp_path: Path) -> None:
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    made = {"noise": 0.01, "noise_unit": "activation", "noise_seed": 3}
    for now, words in (
        ({}, "noise=0.01, not 'off': use the same"),
        (made | {"noise": "thermal"}, "noise=0.01, not 'thermal': use the same"),
        (made | {"noise_unit": "full-scale"}, "noise_unit='activation', not 'full-scale': use the same"),
        (made | {"noise_seed": 4}, "noise_seed=3, not 4: use the same"),
    ):
        assert resumed(small, data, path, made, now).endswith(f"was made with {words}")
    assert trained(small, data, steps=2, resume=path, **made).loss == trained(small, data, steps=2, **made).loss


def test_other_models_and_data_are_told_by_fingerprints(small: str, tmp_path: Path) -> None:
    """Embeddings are no part of the machine, so two models may share its couplings."""
    data, other = written(tmp_path, "text.txt", TEXT), written(tmp_path, "other.txt", TEXT[1:])
    path, folder, model = tmp_path / "run.h5", tmp_path / "model", ds.load_model(small)
    shutil.copytree(small, folder)
    save_file({n: model.tensors[n] * (1.01 if "wpe" in n else 1) for n in model.tensors}, folder / "model.safetensors")
    words = ("(validation data), fingerprint", ", not none: name its own")
    line = resumed(small, data, path, {"validation": other}, {})
    assert all(word in line for word in words), line
    for name, found in (
        ("model", ds.load_model(folder)),
        ("calibration text", replace(model, calibration_text=model.calibration_text[1:])),
    ):
        with pytest.raises(ds.Error, match=rf"is of another run \({name}\), fingerprint \w{{8}}, not \w{{8}}: name"):
            ds.train(found, data, optimizer="adamw", lr=0.03, batch=4, validation=other, steps=2, resume=path)


def test_what_may_differ(small: str, tmp_path: Path) -> None:
    """Steps, joules, where it is computed, who is told; what stands for a default; options of a noise that is off."""
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    trained(small, data, steps=1, output=path)
    assert "device" not in load_training(path)["case"]["options"]
    same: dict[str, Any] = {"softmax": "translinear", "lr_of": "model", "positions": 8, "noise_seed": 9}
    found = trained(small, data, steps=3, resume=path, energy=True, told=lambda found: None, **same)
    assert found.loss == trained(small, data, steps=3).loss


def test_a_file_that_does_not_say_all_is_refused(small: str, tmp_path: Path) -> None:
    data, path = written(tmp_path, "text.txt", TEXT), tmp_path / "run.h5"
    trained(small, data, steps=1, output=path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(ds.Error, match=r"is format 2, this dsmachine reads 3: train again"):
        trained(small, data, steps=2, resume=path)
