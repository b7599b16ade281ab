"""Damaged checkpoints of every form: loading works or is refused in one line, and never takes much memory."""

from __future__ import annotations

import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf_files
import hf_models
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutations, overwritten

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.errors import Error

INDEX = "model.safetensors.index.json"
MEMORY = 16 * 2**20  # bytes; the files are a tenth of it
NUMBERS = [b"\0" * 8, b"\xff" * 8, struct.pack("<Q", 2**40), struct.pack("<Q", 2**31 - 1), struct.pack("<I", 14)]
TEXTS = [b"9" * 30, b"-1", b"null", b"[[", b'"', b"1e400", b"NaN", b"true", b"{}", b"../"]
FUZZ = settings(
    max_examples=350, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def load_or_refuse(path: Path, text: str) -> None:
    """Load, tokenize, embed; anything but success or a one-line `Error` fails, as does much memory."""
    tracemalloc.start()
    try:
        model = load_model(path)
        ids = model.encode(text)
        model.decode(ids)
        model.embed(ids)
    except Error as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama in two files with an index."""
    place = tmp_path_factory.mktemp("fuzz") / "model"
    return hf_models.write(place, hf_models.make("llama"), max_shard_size="25KB")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "small.gguf"
    gguf_files.write(path, hf_models.make("llama", hidden_size=32, num_attention_heads=4), lambda name: Type.F16)
    return path


@FUZZ
@given(
    name=st.sampled_from(["config.json", INDEX, "model-00001-of-00002.safetensors", "tokenizer.json"]),
    changes=mutations(TEXTS + NUMBERS, 2**10),
)
def test_a_folder(folder: Path, name: str, changes: list[tuple[int, int, bytes]]) -> None:
    original = (folder / name).read_bytes()
    (folder / name).write_bytes(overwritten(original, changes, keep_length=False))
    try:
        load_or_refuse(folder, "ABC")
    finally:
        (folder / name).write_bytes(original)


@FUZZ
@given(changes=mutations(NUMBERS, 2**12), keep_length=st.booleans())
def test_a_gguf_file(file: Path, changes: list[tuple[int, int, bytes]], keep_length: bool) -> None:
    original = file.read_bytes()
    try:
        file.write_bytes(overwritten(original, changes, keep_length))
        load_or_refuse(file, "ABC")
    finally:
        file.write_bytes(original)


def test_what_is_not_damaged_loads(folder: Path, file: Path) -> None:
    load_model(folder)
    load_model(file)


# ---- particular damage to GGUF files ---------------------------------------------------------


@pytest.fixture
def damaged(file: Path, tmp_path: Path) -> Callable[..., str]:
    """The line with which a copy of the file is refused after an edit of its bytes."""

    def refuse(edit: Callable[[bytearray], object], *words: str) -> str:
        data = bytearray(file.read_bytes())
        edit(data)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(bytes(data))
        tracemalloc.start()
        with pytest.raises(Error) as caught:
            load_model(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        line = str(caught.value)
        assert "\n" not in line and peak < MEMORY
        for word in ("damaged.gguf", *words):
            assert word in line
        return line

    return refuse


def put(form: str, at: int, number: int) -> Callable[[bytearray], object]:
    return lambda data: struct.pack_into(form, data, at, number)


def after(data: bytearray, text: bytes) -> int:
    return data.index(text) + len(text)


def test_begin_of_the_header(damaged: Callable[..., str]) -> None:
    damaged(bytearray.clear, "cannot be read")
    damaged(put("<I", 0, 0), "is no GGUF file")
    damaged(put("<I", 4, 1), "version 1", "versions 2 and 3")
    damaged(put(">I", 4, 3), "little-endian")
    damaged(put("<Q", 8, 2**60), f"{2**60} tensors")
    damaged(put("<Q", 16, 2**60), f"{2**60} keys")
    damaged(put("<Q", 24, 2**60), f"a string of {2**60} bytes")
    damaged(lambda data: data.__delitem__(slice(1000, None)), "truncated")
    damaged(lambda data: data.__delitem__(slice(-40, None)), "truncated", "it ends at byte")


def test_numbers_in_arrays_and_tensors(damaged: Callable[..., str]) -> None:
    tokens = b"tokenizer.ggml.tokens"
    damaged(lambda d: struct.pack_into("<Q", d, after(d, tokens) + 8, 2**50), "array of")
    damaged(lambda d: struct.pack_into("<I", d, after(d, tokens) + 4, 9), "unknown type 9")
    damaged(lambda d: struct.pack_into("<I", d, after(d, tokens), 99), "unknown type 99")
    tensor = b"blk.1.ffn_up.weight"
    damaged(lambda d: struct.pack_into("<I", d, after(d, tensor), 2**20), "of rank 1048576")
    damaged(lambda d: struct.pack_into("<Q", d, after(d, tensor) + 4, 2**62), "of sizes")
    damaged(lambda d: struct.pack_into("<Q", d, after(d, tensor) + 4, 2**40), "is truncated")
    damaged(lambda d: struct.pack_into("<I", d, after(d, tensor) + 20, 13), "'layers.1.mlp.up_proj.weight'", "Q5_K")
    damaged(lambda d: struct.pack_into("<I", d, after(d, tensor) + 20, 77), "type 77", "Q4_K")
    damaged(lambda d: struct.pack_into("<I", d, after(d, tensor) + 20, 12), "no multiple of 256", "Q4_K")
    damaged(lambda d: struct.pack_into("<Q", d, after(d, tensor) + 24, 32), "overlap")
    damaged(lambda d: d.__setitem__(slice(d.index(tensor), d.index(tensor) + 5), b"blk.0"), "a tensor twice")
    damaged(lambda d: d.__setitem__(slice(after(d, tensor) - 6, after(d, tensor)), b".biass"), "without biases")
    damaged(lambda d: d.__setitem__(slice(-4, None), np.float32("nan").tobytes()), "NaN or Inf", "must be finite")


@pytest.mark.parametrize(
    "key,value,words",
    [
        ("llama__block_count", None, ["llama.block_count is None"]),
        ("llama__block_count", 3, ["'layers.2.input_layernorm.weight' is missing"]),
        ("llama__block_count", 2**32 - 1, ["llama.block_count is 4294967295"]),
        ("llama__embedding_length", 48, ["shape [40, 32]", "wants [40, 48]"]),
        ("llama__attention__head_count_kv", 3, ["head_count_kv is 3", "divide the 4 heads"]),
        ("llama__rope__dimension_count", 4, ["llama.rope.dimension_count 4 is unsupported"]),
        ("llama__rope__freq_base", 0.0, ["llama.rope.freq_base is 0.0"]),
        ("llama__rope__scaling__type", "yarn", ["'yarn' is unsupported"]),
        ("split__count", 2, ["split.count 2 is unsupported", "merge"]),
        ("tokenizer__ggml__model", "llama", ["tokenizer.ggml.model 'llama' is unsupported"]),
        ("tokenizer__ggml__pre", "qwen2", ["tokenizer.ggml.pre 'qwen2' is unsupported"]),
        ("tokenizer__ggml__pre", None, ["tokenizer.ggml.pre None is unsupported"]),
        ("tokenizer__ggml__tokens", ["A"] * 40, ["1 different tokens of 40"]),
        ("tokenizer__ggml__merges", ["A  B"], ["merges is 'A  B'"]),
        ("tokenizer__ggml__merges", ["A never"], ["is no tokenizer"]),
        ("general__alignment", 24, ["general.alignment 24"]),
    ],
    ids=str,
)
def test_metadata(key: str, value: Any, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    gguf_files.write(path, hf_models.make("llama", hidden_size=32, num_attention_heads=4), **{key: value})
    with pytest.raises(Error) as caught:
        load_model(path)
    for word in ["model.gguf", *words]:
        assert word in str(caught.value)


# ---- particular damage to shards and configurations ------------------------------------------


@pytest.mark.parametrize(
    "old,new,words",
    [
        ("model-00002-of-00002", "../model/model-00002-of-00002", ["'../model/", "same folder"]),
        ("model-00002-of-00002", "/etc/model", ["'/etc/model.safetensors'", "same folder"]),
        ("model-00002-of-00002.safetensors", "config.json", ["'config.json'", ".safetensors file"]),
        ("model-00002-of-00002", "model-00003-of-00003", ["model-00003-of-00003.safetensors", "No such file"]),
        ('"model-00002-of-00002.safetensors"', "3", ["'3'", "same folder"]),
        ("model.norm.weight", "model.nrom.weight", ["'model.nrom.weight' is missing"]),
        ('"weight_map"', '"weights"', ["has no weight_map"]),
    ],
)
def test_index(folder: Path, tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    text = (copy / INDEX).read_text()
    assert old in text
    (copy / INDEX).write_text(text.replace(old, new))
    with pytest.raises(Error) as caught:
        load_model(copy)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
