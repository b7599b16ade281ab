"""OPT and Llama folders and GGUF files that are refused: one line that names thing, value and fix; exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf_files
import hf_models
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file, save_file

from dsmachine.commands import main

Refused = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    """Ask for a model's circuit, which must be refused with a line that holds all `words`."""

    def run(model: Path, *words: str) -> str:
        assert main(["info", str(model)]) == 2
        out, err = capfd.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
        for word in words:
            assert word in err
        return err

    return run


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    return hf_models.write(tmp_path / "opt", hf_models.make("opt"))


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return hf_models.write(tmp_path / "llama", hf_models.make("llama"))


def edit(folder: Path, **changes: object) -> None:
    """Change keys of config.json."""
    table = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(table | changes))


@pytest.mark.parametrize(
    "key,value,words",
    [
        ("do_layer_norm_before", False, ("post-norm", "opt-350m", "opt-1.3b")),
        ("word_embed_proj_dim", 12, ("word_embed_proj_dim 12", "hidden_size, 24")),
        ("activation_function", "gelu", ("'gelu'", "'relu'")),
        ("enable_bias", False, ("enable_bias False", "use a model with True")),
        ("_remove_final_layer_norm", True, ("_remove_final_layer_norm True",)),
        ("num_attention_heads", 5, ("hidden_size 24", "no multiple of num_attention_heads 5")),
        ("ffn_dim", 57, ("shape [56, 24]", "wants [57, 24]")),
        ("max_position_embeddings", 18, ("'model.decoder.embed_positions.weight'", "[18, 24]", "[20, 24]")),
        ("tie_word_embeddings", "yes", ("tie_word_embeddings is 'yes'", "true or false")),
        ("model_type", "mistral", ("'mistral'", "'gpt2'", "'opt'", "'llama'")),
    ],
)
def test_opt(opt: Path, refused: Refused, key: str, value: object, words: tuple[str, ...]) -> None:
    edit(opt, **{key: value})
    refused(opt, "config.json" if key not in ("ffn_dim", "max_position_embeddings") else "safetensors", *words)


@pytest.mark.parametrize(
    "key,value,words",
    [
        ("attention_bias", True, ("attention_bias True", "use a model with False")),
        ("mlp_bias", True, ("mlp_bias True",)),
        ("hidden_act", "gelu", ("hidden_act 'gelu'", "'silu'")),
        ("num_key_value_heads", 4, ("num_key_value_heads is 4", "divide the 6 heads")),
        ("head_dim", 7, ("head_dim is 7", "even")),
        ("quantization_config", {"bits": 4}, ("quantization_config",)),
        ("partial_rotary_factor", 0.5, ("partial_rotary_factor 0.5",)),
        ("rope_parameters", {"rope_type": "yarn", "factor": 2.0}, ("rope_parameters.rope_type 'yarn'", "'llama3'")),
        ("rope_parameters", {"rope_type": "dynamic", "factor": 2.0}, ("'dynamic'", "'linear'")),
        ("rope_parameters", {"rope_type": "longrope"}, ("'longrope'",)),
        ("rope_parameters", {"rope_type": "linear"}, ("rope_parameters.factor is None",)),
        ("rope_parameters", {"rope_theta": float("inf")}, ("rope_parameters.rope_theta is inf",)),
        ("rope_parameters", [1], ("rope_parameters is [1]", "table")),
        (
            "rope_parameters",
            hf_models.LLAMA3_ROPE | {"low_freq_factor": 4.0},
            ("rope_parameters.low_freq_factor is 4.0", "less than high_freq_factor"),
        ),
    ],
)
def test_llama(llama: Path, refused: Refused, key: str, value: object, words: tuple[str, ...]) -> None:
    edit(llama, **{key: value})
    refused(llama, "config.json", *words)


def test_old_key_of_scaling(llama: Path, refused: Refused) -> None:
    edit(llama, rope_parameters=None, rope_scaling={"type": "yarn", "factor": 4.0})
    refused(llama, "config.json", "rope_scaling.type 'yarn'")


def test_logits_of_their_own_that_are_missing(llama: Path, refused: Refused) -> None:
    edit(llama, tie_word_embeddings=False)
    refused(llama, "'lm_head.weight' is missing")


def test_names_with_and_without_the_prefix(llama: Path, refused: Refused) -> None:
    tensors = load_file(llama / "model.safetensors")
    save_file(tensors | {"norm.weight": np.ones(24, np.float32)}, llama / "model.safetensors")
    refused(llama, "'norm.weight'", "with and without 'model.'")


def test_a_file_of_another_kind(llama: Path, refused: Refused) -> None:
    refused(llama / "model.safetensors", "is a file", "folder that holds config.json, or a .gguf file")
    (llama / "fake.gguf").write_bytes((llama / "model.safetensors").read_bytes())
    refused(llama / "fake.gguf", "fake.gguf is no GGUF file")


def test_gguf_of_another_architecture(tmp_path: Path, refused: Refused) -> None:
    gguf_files.write(tmp_path / "m.gguf", hf_models.make("llama"))
    data = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0qwen2", 1))
    refused(tmp_path / "m.gguf", "m.gguf: general.architecture 'qwen2' is unsupported", "'llama'")


@pytest.mark.parametrize("kind", [Type.Q5_0, Type.BF16])
def test_gguf_of_another_type(kind: Type, tmp_path: Path, refused: Refused) -> None:
    model = hf_models.make("llama", hidden_size=32, num_attention_heads=4, intermediate_size=32)
    gguf_files.write(tmp_path / "m.gguf", model, lambda name: kind)
    refused(tmp_path / "m.gguf", f"has the type {kind.name}", "F32, F16, Q4_0, Q4_1, Q8_0, Q4_K, Q6_K")
