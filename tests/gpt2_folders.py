"""Small random GPT-2-architecture models, written as Hugging Face folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from dsmachine.circuits.config import Config
from dsmachine.circuits.families.gpt2 import shapes

SHAPES = (
    Config(layers=1, width=8, heads=2, context=8, vocabulary=12),
    Config(layers=2, width=24, heads=3, context=16, vocabulary=40, epsilon=1e-3),
    Config(layers=4, width=32, heads=1, context=20, vocabulary=33),
)


def characters(vocabulary: int) -> str:
    """The alphabet of a model with this many tokens: a, b, c, …"""
    return "".join(chr(ord("a") + i) for i in range(vocabulary))


def config_table(config: Config) -> dict[str, Any]:
    """config.json as transformers writes the parts that matter."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": {"gelu": "gelu_new"}.get(config.activation, config.activation),
        "n_layer": config.layers,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_positions": config.context,
        "vocab_size": config.vocabulary,
        "layer_norm_epsilon": config.epsilon,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def random_tensors(config: Config, seed: int) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Weights large enough that attention, GELU and LayerNorm all leave their linear range."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes(config):
        scale = 1 / np.sqrt(shape[0]) if len(shape) == 2 and "wte" not in name else 0.3
        offset = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
        tensors[name] = (offset + scale * rng.standard_normal(shape)).astype(np.float32)
    return tensors


def write_folder(folder: Path, config: Config, *, seed: int = 0, prefix: str = "") -> Path:
    """Write a whole model; `prefix` goes before every tensor name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_table(config)))
    tensors = {prefix + name: t for name, t in random_tensors(config, seed).items()}
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    vocabulary = {c: i for i, c in enumerate(characters(config.vocabulary))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
