"""Llama: RMSNorm, rotary positions, grouped keys and values, gated SiLU, no biases.

Linear weights are stored (outputs, inputs), each head's pairs as the halves of its rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config, Rope
from ..metadata import Metadata
from ..tensors import Tensors
from .family import SOFTMAX_KEY, SOFTMAXES, Family, Shapes, head, head_width, labels

SCALINGS = {"default": "none", "linear": "linear", "llama3": "llama3"}
BASE = 1e4  # where a checkpoint gives none
OPTIONS: dict[str, object] = {"attention_bias": False, "mlp_bias": False, "quantization_config": None}


def read(metadata: Metadata) -> Config:
    """Sizes of a Llama-architecture model."""
    metadata.require(OPTIONS)
    width, heads = metadata.natural("hidden_size"), metadata.natural("num_attention_heads")
    explicit = metadata.get("head_dim") is not None
    context = metadata.natural("max_position_embeddings")
    config = Config(
        layers=metadata.natural("num_hidden_layers"),
        width=width,
        heads=heads,
        context=context,
        vocabulary=metadata.natural("vocab_size"),
        epsilon=metadata.number("rms_norm_eps", 1e-6, most=1),
        activation=metadata.text("hidden_act", {"silu": "silu", "swish": "silu"}, "silu"),
        softmax=metadata.text(SOFTMAX_KEY, SOFTMAXES, "exact"),
        family="llama",
        kv_heads=metadata.natural("num_key_value_heads", default=heads),
        head_width=metadata.natural("head_dim")
        if explicit
        else head_width(metadata, ("hidden_size", width), ("num_attention_heads", heads)),
        inner=metadata.natural("intermediate_size"),
        tied=metadata.switch("tie_word_embeddings", False),
        rope=_rope(metadata, context),
        labels=labels(metadata),
    )
    check_heads(metadata, config, "num_key_value_heads", "head_dim")
    return config


def check_heads(metadata: Metadata, config: Config, kv_key: str, width_key: str) -> None:
    """Raise `Error` unless queries share keys evenly and a head consists of pairs."""
    if config.heads % config.kv_heads:
        raise metadata.wrong(kv_key, config.kv_heads, f"it must divide the {config.heads} heads")
    if config.head_width % 2:
        raise metadata.wrong(width_key, config.head_width, "rotary positions need an even head width")


def _rope(metadata: Metadata, context: int) -> Rope:
    """``rope_parameters``, or ``rope_theta`` and ``rope_scaling`` as before transformers 5."""
    metadata.require({"partial_rotary_factor": 1.0})
    table = metadata.part("rope_parameters", "rope_scaling") or Metadata(metadata.path, {})
    table.require({"partial_rotary_factor": 1.0})
    base = (table if table.get("rope_theta") is not None else metadata).number("rope_theta", BASE)
    scaling = table.text("rope_type" if table.get("rope_type") is not None else "type", SCALINGS, "default")
    if scaling == "none":
        return Rope(base)
    factor = table.number("factor")
    if scaling == "linear":
        return Rope(base, scaling, factor)
    low, high = table.number("low_freq_factor"), table.number("high_freq_factor")
    if not low < high:
        raise table.wrong("low_freq_factor", low, f"it must be less than high_freq_factor ({high:g})")
    return Rope(base, scaling, factor, low, high, table.natural("original_max_position_embeddings", default=context))


def shapes(config: Config) -> Shapes:
    """Name and shape of every tensor."""
    d, inner = config.width, config.inner
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    linears = {"self_attn.q_proj": (queries, d), "self_attn.k_proj": (keys, d), "self_attn.v_proj": (keys, d)}
    linears |= {"self_attn.o_proj": (d, queries)}
    linears |= {"mlp.gate_proj": (inner, d), "mlp.up_proj": (inner, d), "mlp.down_proj": (d, inner)}
    yield "embed_tokens.weight", (config.vocabulary, d)
    for layer in range(config.layers):
        yield f"layers.{layer}.input_layernorm.weight", (d,)
        yield f"layers.{layer}.post_attention_layernorm.weight", (d,)
        for name, shape in linears.items():
            yield f"layers.{layer}.{name}.weight", shape
    yield "norm.weight", (d,)
    yield from head(config)


def embed(tensors: Tensors, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """The token's row; positions come in with the rotation of queries and keys."""
    return tensors.rows("embed_tokens.weight", ids).astype(np.float64)


LLAMA = Family("llama", ("model.",), read, shapes, embed, "embed_tokens")
