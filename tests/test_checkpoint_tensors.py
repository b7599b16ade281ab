"""Tensor files: everything wrong with one is a single clear line, whatever its bytes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from broken_folders import CONFIG, WEIGHTS, edit_config, edit_header, refused, write_tensors
from gpt2_folders import random_tensors, write_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.errors import Error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", CONFIG)


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
