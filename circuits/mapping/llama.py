"""Llama's blocks: RMSNorm, rotary positions, grouped-query attention, gated SiLU; the head may be the embedding."""

from __future__ import annotations

from ..cells import View
from ..checkpoints import Model
from .activation import map_gated_silu
from .attention import Heads, map_attention
from .builder import Builder
from .linear import folded, linear
from .normalization import map_rms_norm
from .rotary import rotate


def build(b: Builder, model: Model) -> None:
    """All arrays and terms from `embed` to `logits`."""
    x = "embed"
    for layer in range(model.config.layers):
        b.layer = f"layers.{layer}"
        x = _block(b, model, b.layer, x)
    b.layer = "head"
    y = map_rms_norm(b, "norm", x, model.config.width, model.config.epsilon)
    b.nodes("logits", (b.positions, model.config.vocabulary))
    head = "embed_tokens" if model.config.tied else "lm_head"
    b.dense(head, y, "logits", *folded(model.tensors, "norm", *linear(model.tensors, head)))


def _block(b: Builder, model: Model, name: str, x: str) -> str:
    """One transformer block; returns the name of its residual stream."""
    config, tensors = model.config, model.tensors
    shape, d = (b.positions, config.width), config.width
    context = _attend(b, model, name, map_rms_norm(b, f"{name}.input_layernorm", x, d, config.epsilon))
    middle = f"{name}.resid_mid"
    b.nodes(middle, shape)
    b.each(f"{middle}.skip", x, middle, 1.0)
    b.dense(f"{name}.self_attn.o_proj", context, middle, *linear(tensors, f"{name}.self_attn.o_proj"))
    norm = f"{name}.post_attention_layernorm"
    y = map_rms_norm(b, norm, middle, d, config.epsilon)
    for part in ("gate", "up"):
        b.nodes(f"{name}.mlp.{part}", (b.positions, config.inner))
        term = f"{name}.mlp.{part}_proj"
        b.dense(term, y, f"{name}.mlp.{part}", *folded(tensors, norm, *linear(tensors, term)))
    act = map_gated_silu(b, f"{name}.mlp", f"{name}.mlp.gate", f"{name}.mlp.up", config.inner)
    out = f"{name}.resid"
    b.nodes(out, shape)
    b.each(f"{out}.skip", middle, out, 1.0)
    b.dense(f"{name}.mlp.down_proj", act, out, *linear(tensors, f"{name}.mlp.down_proj"))
    return out


def _attend(b: Builder, model: Model, name: str, y: str) -> View:
    """From the normalised residual stream to the context."""
    config, tensors = model.config, model.tensors
    heads = Heads(config.heads, config.head_width, config.heads // config.kv_heads)
    for part, count in (("q", config.heads), ("k", config.kv_heads), ("v", config.kv_heads)):
        b.nodes(f"{name}.attn.{part}", (b.positions, count * config.head_width))
        term = f"{name}.self_attn.{part}_proj"
        weight = folded(tensors, f"{name}.input_layernorm", *linear(tensors, term))
        b.dense(term, y, f"{name}.attn.{part}", *weight)
    assert config.rope is not None
    frequencies = config.rope.frequencies(config.head_width)
    q = rotate(b, f"{name}.attn.q", heads.queries[:2], frequencies)
    k = rotate(b, f"{name}.attn.k", heads.keys[:1], frequencies)
    v = View(f"{name}.attn.v", split=heads.keys)
    return map_attention(b, f"{name}.attn", q, k, v, heads, "igrtd,jgtd->grij")
