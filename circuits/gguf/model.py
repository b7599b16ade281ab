"""GGUF file → sizes, tensors, tokenizer of a Llama-architecture model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import Config, Rope
from ..encodings import gguf_package
from ..families.family import SOFTMAX_KEY, SOFTMAXES, head_width
from ..families.llama import BASE, check_heads
from ..metadata import Metadata
from ..tensors import Tensors
from .tensors import GgufFile
from .tokenizer import read_tokenizer

ARCHITECTURE = "general.architecture"


def read_gguf(path: Path) -> tuple[Config, Tensors, Any]:
    """Sizes, tensors and tokenizer; tensors are decoded when they are asked for."""
    gguf_package()
    file = GgufFile(path)
    metadata = Metadata(path, file.metadata)
    config = read_sizes(metadata, tied="lm_head.weight" not in file)
    file.head_width = config.head_width
    return config, Tensors(file, ("model.",)), read_tokenizer(metadata, config.vocabulary)


def read_sizes(metadata: Metadata, tied: bool) -> Config:
    """Sizes in the header of a Llama-architecture file."""
    architecture = metadata.get(ARCHITECTURE)
    if architecture != "llama":
        raise metadata.unsupported(ARCHITECTURE, architecture, "use a model of Llama architecture ('llama')")
    parts = metadata.get("split.count") or 1  # 0 in files that were merged
    if parts != 1:
        raise metadata.unsupported("split.count", parts, "merge the parts into one file")
    width, heads = metadata.natural("llama.embedding_length"), metadata.natural("llama.attention.head_count")
    config = Config(
        layers=metadata.natural("llama.block_count"),
        width=width,
        heads=heads,
        context=metadata.natural("llama.context_length"),
        vocabulary=metadata.natural("llama.vocab_size", default=_count(metadata.get("tokenizer.ggml.tokens"))),
        epsilon=metadata.number("llama.attention.layer_norm_rms_epsilon", most=1),
        activation="silu",
        softmax=metadata.text(SOFTMAX_KEY, SOFTMAXES, "exact"),
        family="llama",
        kv_heads=metadata.natural("llama.attention.head_count_kv", default=heads),
        head_width=_head_width(metadata, width, heads),
        inner=metadata.natural("llama.feed_forward_length"),
        tied=tied,
        rope=_rope(metadata),
    )
    check_heads(metadata, config, "llama.attention.head_count_kv", "llama.attention.key_length")
    return config


def _count(words: object) -> int:
    """Tokens of a list; 0 of what is none, which is no vocabulary."""
    return len(words) if isinstance(words, list | tuple) else 0


def _head_width(metadata: Metadata, width: int, heads: int) -> int:
    """Rows of a head, all of them turned, as many of the values as of the keys."""
    if metadata.get("llama.attention.key_length") is None:
        found = head_width(metadata, ("llama.embedding_length", width), ("llama.attention.head_count", heads))
    else:
        found = metadata.natural("llama.attention.key_length")
    for key in ("llama.attention.value_length", "llama.rope.dimension_count"):
        other = metadata.natural(key, default=found)
        if other != found:
            raise metadata.unsupported(key, other, f"use a model with {found}, its head width")
    return found


def _rope(metadata: Metadata) -> Rope:
    metadata.require({"llama.rope.scale_linear": 1.0})
    base = metadata.number("llama.rope.freq_base", BASE)
    scaling = metadata.text("llama.rope.scaling.type", {"none": "none", "linear": "linear"}, "none")
    if scaling == "none":
        return Rope(base)
    return Rope(base, scaling, metadata.number("llama.rope.scaling.factor"))
