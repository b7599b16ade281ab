"""OPT in the layout of 1.3B and 2.7B: pre-norm LayerNorm, ReLU, biases, learned positions from the third row on.

Linear weights are stored (outputs, inputs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..metadata import Metadata
from ..tensors import Tensors
from .family import SOFTMAX_KEY, SOFTMAXES, Family, Shapes, head, head_width, labels

FIRST_POSITION = 2  # rows of the position embedding that belong to padding
OPTIONS: dict[str, object] = {
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "_remove_final_layer_norm": False,
    "quantization_config": None,
}


def read(metadata: Metadata) -> Config:
    """Sizes of an OPT model."""
    metadata.require(OPTIONS)
    if not metadata.switch("do_layer_norm_before", True):
        verdict = "(post-norm, as opt-350m) is unsupported"
        raise metadata.wrong("do_layer_norm_before", False, "use a pre-norm OPT, such as opt-1.3b", verdict)
    width, heads = metadata.natural("hidden_size"), metadata.natural("num_attention_heads")
    projected = metadata.natural("word_embed_proj_dim", default=width)
    if projected != width:
        raise metadata.unsupported("word_embed_proj_dim", projected, f"use a model with hidden_size, {width}")
    return Config(
        layers=metadata.natural("num_hidden_layers"),
        width=width,
        heads=heads,
        context=metadata.natural("max_position_embeddings"),
        vocabulary=metadata.natural("vocab_size"),
        activation=metadata.text("activation_function", {"relu": "relu"}, "relu"),
        softmax=metadata.text(SOFTMAX_KEY, SOFTMAXES, "exact"),
        family="opt",
        head_width=head_width(metadata, ("hidden_size", width), ("num_attention_heads", heads)),
        inner=metadata.natural("ffn_dim"),
        tied=metadata.switch("tie_word_embeddings", True),
        labels=labels(metadata),
    )


def shapes(config: Config) -> Shapes:
    """Name and shape of every tensor."""
    d, inner = config.width, config.inner
    yield "embed_tokens.weight", (config.vocabulary, d)
    yield "embed_positions.weight", (config.context + FIRST_POSITION, d)
    linears = {f"self_attn.{part}_proj": (d, d) for part in ("q", "k", "v", "out")}
    linears |= {"fc1": (inner, d), "fc2": (d, inner)}
    for layer in range(config.layers):
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            yield f"layers.{layer}.{norm}.weight", (d,)
            yield f"layers.{layer}.{norm}.bias", (d,)
        for name, shape in linears.items():
            yield f"layers.{layer}.{name}.weight", shape
            yield f"layers.{layer}.{name}.bias", shape[:1]
    yield "final_layer_norm.weight", (d,)
    yield "final_layer_norm.bias", (d,)
    yield from head(config)


def embed(tensors: Tensors, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Token plus position."""
    places = tensors.rows("embed_positions.weight", FIRST_POSITION + np.arange(ids.shape[-1]))
    return tensors.rows("embed_tokens.weight", ids).astype(np.float64) + places


OPT = Family(
    "opt", ("model.decoder.", "decoder."), read, shapes, embed, "embed_tokens", ("embed_positions", FIRST_POSITION)
)
