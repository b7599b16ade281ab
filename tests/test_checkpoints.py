"""Checkpoints: what is read, and that everything wrong with folder, config or prompt is a single clear line."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_folders import CONFIG, WEIGHTS, edit_config, refused, write_tensors
from gpt2_folders import SHAPES, random_tensors, write_folder
from safetensors.numpy import save_file

from dsmachine.circuits.checkpoints import bundled_models, load_model
from dsmachine.circuits.errors import Error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", CONFIG)


# ---- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_model_is_read(tmp_path: Path, prefix: str) -> None:
    model = load_model(str(write_folder(tmp_path / "my-model", CONFIG, prefix=prefix)))
    assert (model.name, model.family, model.config) == ("my-model", "gpt2", CONFIG)
    expected = random_tensors(CONFIG, 0)
    assert set(model.tensors) == set(expected)
    for name, value in expected.items():
        assert model.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(model.tensors[name], value)
        np.testing.assert_array_equal(model.tensors["transformer." + name], value)


def test_text_to_tokens_and_back(folder: Path) -> None:
    model = load_model(folder)
    assert model.encode("badge") == [1, 0, 3, 6, 4]
    assert model.decode([1, 0, 3, 6, 4]) == "badge"
    assert len(model.tokenize("abc" * 100)) == 300


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_precisions_become_float32(folder: Path, dtype: Any) -> None:
    stored = {name: t.astype(dtype) for name, t in random_tensors(CONFIG, 0).items()}
    save_file(stored, str(folder / WEIGHTS))
    tensors = load_model(folder).tensors
    for name, value in stored.items():
        np.testing.assert_array_equal(tensors[name], value.astype(np.float32))


def test_bfloat16(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    stored = {name: torch.tensor(t).bfloat16() for name, t in random_tensors(CONFIG, 0).items()}
    save_torch(stored, str(folder / WEIGHTS))
    tensors = load_model(folder).tensors
    for name, value in stored.items():
        np.testing.assert_array_equal(tensors[name], value.float().numpy())


def test_calibration_text(folder: Path) -> None:
    model = load_model(folder)
    without = model.calibration_text
    assert model.tokenize(without)  # nothing in it that this tokenizer does not know, blanks neither
    assert set(without) <= set("abcdefghijkl \n")
    (folder / "calibration.txt").write_text("abcabc")
    assert load_model(folder).calibration_text == "abcabc"


def test_old_mask_buffers_and_unused_tensors_are_ignored(folder: Path) -> None:
    write_tensors(folder, h__0__attn__bias=np.ones((1, 1, 8, 8), np.uint8))
    assert load_model(folder).config == CONFIG


def test_options_of_config(folder: Path) -> None:
    edit_config(folder, activation_function="relu", dsmachine_softmax="taylor3", n_inner=32)
    expected = dataclasses.replace(CONFIG, activation="relu", softmax="taylor3")
    assert load_model(folder).config == expected


def test_bundled_models() -> None:
    assert bundled_models() == ["tiny-shakespeare", "tiny-shakespeare-taylor3"]
    for name in bundled_models():
        model = load_model(name)
        assert model.name == name
        text = model.calibration_text
        assert 4000 <= len(text) <= 8000
        assert model.decode(model.tokenize(text)) == text
    assert model.config.softmax == "taylor3"


# ---- bad input: folders and files -----------------------------------------------------------


def test_neither_folder_nor_bundled(tmp_path: Path) -> None:
    refused("tiny-shakespear", "'tiny-shakespear'", "tiny-shakespeare-taylor3")
    refused(tmp_path / "none", "none", "folder")
    refused("", "''")
    refused("a\nb", r"a\nb")
    refused("a\0b")
    refused("x" * 5000)


def test_file_instead_of_folder(folder: Path) -> None:
    refused(folder / "config.json", "is a file")


def test_config_missing(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(folder, "config.json is missing")


def test_weights_missing(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    refused(folder, WEIGHTS, "is missing", "save_pretrained")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt"])
def test_pickle_is_never_loaded(folder: Path, name: str) -> None:
    (folder / WEIGHTS).rename(folder / name)
    refused(folder, "pickle", name, "never loaded")


def test_split_checkpoint(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model.safetensors.index.json")
    refused(folder, "index.json", "is not UTF-8")


def test_tokenizer_missing_or_bad(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    refused(folder, "tokenizer.json is no tokenizer")
    (folder / "tokenizer.json").unlink()
    refused(folder, "tokenizer.json is missing")


def test_tokenizer_of_another_model(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", SHAPES[1])
    shutil.copy(other / "tokenizer.json", folder)
    refused(folder, "tokens up to 39", "vocabulary of 12")


def test_bad_calibration_text(folder: Path) -> None:
    (folder / "calibration.txt").write_text("")
    refused(folder, "calibration.txt is empty")
    (folder / "calibration.txt").write_bytes(b"\xff\xfe")
    refused(folder, "calibration.txt is not UTF-8")
    (folder / "calibration.txt").write_text("a" * (2**20 + 1))
    refused(folder, "calibration.txt has more than")


def test_folder_with_a_line_break_in_its_name(tmp_path: Path) -> None:
    refused(write_folder(tmp_path / "a\nb", CONFIG) / "config.json")
    (tmp_path / "a\nb" / "config.json").unlink()
    refused(tmp_path / "a\nb")


# ---- bad input: config.json -----------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000, '{"n_layer": ' + "9" * 5000])
def test_config_is_no_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refused(folder, "config.json is no JSON")


@pytest.mark.parametrize(
    "key,value",
    [
        ("model_type", "llama"),
        ("model_type", None),
        ("activation_function", "gelu"),
        ("activation_function", ["gelu_new"]),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("quantization_config", {"bits": 4}),
        ("n_layer", 0),
        ("n_layer", 1.0),
        ("n_embd", "8"),
        ("n_head", True),
        ("n_head", 3),
        ("n_positions", -1),
        ("vocab_size", 2**31),
        ("n_inner", 33),
        ("layer_norm_epsilon", 0),
        ("layer_norm_epsilon", float("nan")),
        ("layer_norm_epsilon", "1e-5"),
        ("dsmachine_softmax", "taylor9"),
        ("dsmachine_softmax", 3),
    ],
)
def test_config_value(folder: Path, key: str, value: object) -> None:
    edit_config(folder, **{key: value})
    refused(folder, key, "config.json")


# ---- bad input: prompts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt,words",
    [
        ("", ["prompt", "empty"]),
        ("abcabcabc", ["9 tokens", "at most 8", "shorten it by 1"]),
        ("ab#", ["'#'", "U+0023", "character 3"]),
        ("ab\n", [r"'\n'", "U+000A"]),
        ("aσ", ["'σ'", "U+03C3"]),
        ("a\ud800", ["U+D800"]),
    ],
)
def test_prompt(folder: Path, prompt: str, words: list[str]) -> None:
    with pytest.raises(Error) as caught:
        load_model(folder).encode(prompt)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_model_without_tokenizer(folder: Path) -> None:
    with pytest.raises(Error, match="has no tokenizer"):
        dataclasses.replace(load_model(folder), tokenizer=None).encode("a")


@pytest.mark.parametrize("token", [-1, 12])
def test_decode_outside_the_vocabulary(folder: Path, token: int) -> None:
    with pytest.raises(Error, match="use 0 to 11"):
        load_model(folder).decode([0, token])
