"""GPT-2: pre-norm LayerNorm, learned positions, one matrix for q, k and v; linear weights stored (inputs, outputs)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..metadata import Metadata
from ..tensors import Tensors
from .family import SOFTMAX_KEY, SOFTMAXES, Family, Shapes, head, head_width, labels

ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu"}
# Options that change the function; others (dropout, caching) do not.
OPTIONS: dict[str, object] = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "quantization_config": None,
}


def read(metadata: Metadata) -> Config:
    """Sizes of a GPT-2-architecture model."""
    metadata.require(OPTIONS)
    width, heads = metadata.natural("n_embd"), metadata.natural("n_head")
    inner = metadata.natural("n_inner", default=4 * width)
    if inner != 4 * width:
        raise metadata.unsupported("n_inner", inner, f"use 4 × n_embd ({4 * width})")
    return Config(
        layers=metadata.natural("n_layer"),
        width=width,
        heads=heads,
        context=metadata.natural("n_positions", "n_ctx"),
        vocabulary=metadata.natural("vocab_size"),
        epsilon=metadata.number("layer_norm_epsilon", 1e-5, most=1),
        activation=metadata.text("activation_function", ACTIVATIONS, "gelu_new"),
        softmax=metadata.text(SOFTMAX_KEY, SOFTMAXES, "exact"),
        head_width=head_width(metadata, ("n_embd", width), ("n_head", heads)),
        labels=labels(metadata),
    )


def shapes(config: Config) -> Shapes:
    """Name and shape of every tensor (tied embeddings)."""
    d = config.width
    yield "wte.weight", (config.vocabulary, d)
    yield "wpe.weight", (config.context, d)
    linears = {"attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d)}
    linears |= {"mlp.c_fc": (d, 4 * d), "mlp.c_proj": (4 * d, d)}
    for layer in range(config.layers):
        for norm in ("ln_1", "ln_2"):
            yield f"h.{layer}.{norm}.weight", (d,)
            yield f"h.{layer}.{norm}.bias", (d,)
        for name, shape in linears.items():
            yield f"h.{layer}.{name}.weight", shape
            yield f"h.{layer}.{name}.bias", shape[1:]
    yield "ln_f.weight", (d,)
    yield "ln_f.bias", (d,)
    yield from head(config)


def embed(tensors: Tensors, ids: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Token plus position."""
    places = tensors.rows("wpe.weight", np.arange(ids.shape[-1]))
    return tensors.rows("wte.weight", ids).astype(np.float64) + places


GPT2 = Family("gpt2", ("transformer.",), read, shapes, embed, "wte", ("wpe", 0))
