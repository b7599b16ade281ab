"""GPT-2's blocks: LayerNorm, fused q, k and v, GELU; the embedding is the head."""

from __future__ import annotations

from typing import Any

from ..cells import View
from ..checkpoints import Model
from .activation import map_gelu, map_relu
from .attention import Heads, map_attention
from .builder import Builder
from .linear import folded, linear
from .normalization import map_layer_norm

Array = Any


def build(b: Builder, model: Model) -> None:
    """All arrays and terms from `embed` to `logits`."""
    x = "embed"
    for layer in range(model.config.layers):
        b.layer = f"h.{layer}"
        x = _block(b, model, b.layer, x)
    b.layer = "head"
    y = map_layer_norm(b, "ln_f", x, model.config.width, model.config.epsilon)
    b.nodes("logits", (b.positions, model.config.vocabulary))
    b.dense("wte", y, "logits", *folded(model.tensors, "ln_f", *linear(model.tensors, "wte")))


def _block(b: Builder, model: Model, name: str, x: str) -> str:
    """One transformer block; returns the name of its residual stream."""
    config, tensors = model.config, model.tensors
    shape, d = (b.positions, config.width), config.width
    y = map_layer_norm(b, f"{name}.ln_1", x, d, config.epsilon)
    qkv = f"{name}.attn.qkv"
    b.nodes(qkv, (b.positions, 3 * d))
    b.dense(f"{name}.attn.c_attn", y, qkv, *_folded(tensors, f"{name}.ln_1", f"{name}.attn.c_attn"))
    heads = Heads(config.heads, d // config.heads)
    q, k, v = View(qkv, 0, d, heads.queries), View(qkv, d, 2 * d, heads.keys), View(qkv, 2 * d, 3 * d, heads.keys)
    context = map_attention(b, f"{name}.attn", q, k, v, heads)
    middle = f"{name}.resid_mid"
    b.nodes(middle, shape)
    b.each(f"{middle}.skip", x, middle, 1.0)
    b.dense(f"{name}.attn.c_proj", context, middle, *linear(tensors, f"{name}.attn.c_proj", transposed=True))
    y = map_layer_norm(b, f"{name}.ln_2", middle, d, config.epsilon)
    pre = f"{name}.mlp.pre"
    b.nodes(pre, (b.positions, config.inner))
    b.dense(f"{name}.mlp.c_fc", y, pre, *_folded(tensors, f"{name}.ln_2", f"{name}.mlp.c_fc"))
    activate = map_relu if config.activation == "relu" else map_gelu
    act = activate(b, f"{name}.mlp", pre, config.inner)
    out = f"{name}.resid"
    b.nodes(out, shape)
    b.each(f"{out}.skip", middle, out, 1.0)
    b.dense(f"{name}.mlp.c_proj", act, out, *linear(tensors, f"{name}.mlp.c_proj", transposed=True))
    return out


def _folded(tensors: Any, norm: str, name: str) -> tuple[Array, Array | None]:
    return folded(tensors, norm, *linear(tensors, name, transposed=True))
