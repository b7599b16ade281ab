"""Checkpoints: what is read, and that everything wrong with one is a single clear line."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpt2_folders import SHAPES, random_tensors, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dsmachine.circuits.checkpoints import bundled_models, load_model
from dsmachine.circuits.errors import Error

CONFIG = SHAPES[0]  # 1 layer, width 8, 2 heads, context 8, 12 characters: a … l
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", CONFIG)


def refused(path: object, *words: str) -> str:
    """The one line with which a model is refused; it holds all `words`."""
    with pytest.raises(Error) as caught:
        load_model(path)  # type: ignore[arg-type]
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


def edit_config(folder: Path, **changes: object) -> None:
    table = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(table | changes))


def write_tensors(folder: Path, **changes: Any) -> None:
    """Write the weights with some replaced (array) or left out (None); `__` stands for a dot."""
    tensors: dict[str, Any] = random_tensors(CONFIG, 0)
    for name, value in changes.items():
        tensors[name.replace("__", ".")] = value
    kept = {name: t for name, t in tensors.items() if t is not None}
    save_file(kept, str(folder / WEIGHTS))


def edit_header(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Apply `edit` to the safetensors header; the bytes of the tensors stay."""
    data = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


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
    refused(folder, "split into several files")


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


# ---- bad input: tensors ---------------------------------------------------------------------


def test_tensor_missing(folder: Path) -> None:
    write_tensors(folder, h__0__mlp__c_fc__bias=None)
    refused(folder, "'h.0.mlp.c_fc.bias' is missing")


def test_more_layers_in_config_than_in_file(folder: Path) -> None:
    edit_config(folder, n_layer=2**31 - 1)
    refused(folder, "'h.1.ln_1.weight' is missing")


def test_tensor_wrongly_shaped(folder: Path) -> None:
    write_tensors(folder, wpe__weight=np.zeros((9, 8), np.float32))
    refused(folder, "'wpe.weight'", "shape [9, 8]", "wants [8, 8]")


def test_tensor_transposed(folder: Path) -> None:
    write_tensors(folder, h__0__mlp__c_fc__weight=np.zeros((32, 8), np.float32))
    refused(folder, "'h.0.mlp.c_fc.weight'", "shape [32, 8]", "wants [8, 32]")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tensor_not_finite(folder: Path, value: float) -> None:
    weight = random_tensors(CONFIG, 0)["wte.weight"]
    weight[3, 5] = value
    write_tensors(folder, wte__weight=weight)
    refused(folder, "'wte.weight'", "NaN or Inf", "[3, 5]")


def test_tensor_beyond_float32(folder: Path) -> None:
    write_tensors(folder, ln_f__bias=np.array([0] * 7 + [1e200]))
    refused(folder, "'ln_f.bias'", "NaN or Inf", "[7]")


def test_tensor_of_unsupported_dtype(folder: Path) -> None:
    write_tensors(folder, ln_f__bias=np.zeros(8, np.int8))
    refused(folder, "'ln_f.bias'", "dtype 'I8'", "F32")


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -1])
def test_truncated_file(folder: Path, kept: int) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:kept])
    refused(folder, WEIGHTS, "truncated")


def test_names_with_and_without_prefix(folder: Path) -> None:
    write_tensors(folder, transformer__ln_f__bias=np.zeros(8, np.float32))
    refused(folder, "'ln_f.bias'", "with and without 'transformer.'")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"dtype": "F32", "shape": [8]},
        {"dtype": 3, "shape": [8], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [-8], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [8.0], "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [True] * 3, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [8], "data_offsets": [32, 0]},
        {"dtype": "F32", "shape": [8], "data_offsets": [0, 32, 64]},
        {"dtype": "F32", "shape": [8], "data_offsets": [0, 31]},
        {"dtype": "F32", "shape": [8], "data_offsets": [2**40, 2**40 + 32]},
        {"dtype": "F32", "shape": [2**47] * 9, "data_offsets": [0, 32]},
        {"dtype": "F32", "shape": [8], "data_offsets": [4, 36]},  # overlaps another
    ],
    ids=str,
)
def test_header_entry(folder: Path, entry: object) -> None:
    edit_header(folder, lambda header: header.update({"ln_f.bias": entry}))
    refused(folder, "ln_f.bias", WEIGHTS)


def test_header_with_a_name_twice(folder: Path) -> None:
    text = b'{"a": {}, "a": {}}'
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text)
    refused(folder, "malformed header", "twice")


def test_hostile_tensor_name_stays_on_one_line(folder: Path) -> None:
    edit_header(folder, lambda header: header.update({"x\n\x1b[2J" + "y" * 999: 3}))
    assert len(refused(folder, r"\n\x1b").replace(str(folder), "")) < 300


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


# ---- mutated files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("fuzz") / "model", CONFIG)


MUTATION = st.tuples(
    st.integers(0, 2**13),  # where
    st.integers(0, 40),  # how many bytes go
    st.one_of(st.binary(max_size=12), st.sampled_from([b"9" * 30, b"-1", b"null", b"[[", b'"'])),
)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from([WEIGHTS, WEIGHTS, "config.json", "tokenizer.json"]),
    mutations=st.lists(MUTATION, min_size=1, max_size=3),
)
def test_mutated_files_raise_nothing_but_error(
    pristine: Path, name: str, mutations: list[tuple[int, int, bytes]]
) -> None:
    original = (pristine / name).read_bytes()
    data = original
    for where, gone, new in mutations:
        at = where % (len(data) + 1)
        data = data[:at] + new + data[at + gone :]
    (pristine / name).write_bytes(data)
    tracemalloc.start()
    try:
        model = load_model(pristine)
        model.decode(model.encode("abc"))
    except Error as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        (pristine / name).write_bytes(original)
    assert peak < 16 * 2**20
