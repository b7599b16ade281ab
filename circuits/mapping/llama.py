"""Llama's blocks: RMSNorm, rotary positions, grouped-query attention, gated SiLU; the head may be the embedding."""

from __future__ import annotations

from ..cells import View
from ..checkpoints import Model
from .activation import map_gated_silu
from .attention import Heads, map_attention
from .blocks import residual, stack
from .builder import Builder
from .linear import map_linear
from .normalization import map_rms_norm
from .rotary import rotate


def build(b: Builder, model: Model) -> None:
    """All arrays and terms from `embed` to `logits`."""
    stack(b, model, "layers", _block, map_rms_norm, "norm", "embed_tokens")


def _block(b: Builder, model: Model, name: str, x: str) -> str:
    """One transformer block; returns the name of its residual stream."""
    config, tensors = model.config, model.tensors
    y = map_rms_norm(b, f"{name}.input_layernorm", x, config.width, config.epsilon)
    context = _attend(b, model, name, y)
    middle = residual(b, f"{name}.resid_mid", x, tensors, f"{name}.self_attn.o_proj", context)
    norm = f"{name}.post_attention_layernorm"
    y = map_rms_norm(b, norm, middle, config.width, config.epsilon)
    for part in ("gate", "up"):
        b.nodes(f"{name}.mlp.{part}", (b.positions, config.inner))
        map_linear(b, tensors, f"{name}.mlp.{part}_proj", y, f"{name}.mlp.{part}", norm=norm)
    act = map_gated_silu(b, f"{name}.mlp", f"{name}.mlp.gate", f"{name}.mlp.up", config.inner)
    return residual(b, f"{name}.resid", middle, tensors, f"{name}.mlp.down_proj", act)


def _attend(b: Builder, model: Model, name: str, y: str) -> View:
    """From the normalised residual stream to the context."""
    config, tensors = model.config, model.tensors
    heads = Heads(config.heads, config.head_width, config.heads // config.kv_heads)
    for part, count in (("q", config.heads), ("k", config.kv_heads), ("v", config.kv_heads)):
        b.nodes(f"{name}.attn.{part}", (b.positions, count * config.head_width))
        term, norm = f"{name}.self_attn.{part}_proj", f"{name}.input_layernorm"
        map_linear(b, tensors, term, y, f"{name}.attn.{part}", norm=norm)
    assert config.rope is not None
    frequencies = config.rope.frequencies(config.head_width)
    q = rotate(b, f"{name}.attn.q", heads.queries[:2], frequencies)
    k = rotate(b, f"{name}.attn.k", heads.keys[:1], frequencies)
    v = View(f"{name}.attn.v", split=heads.keys)
    return map_attention(b, f"{name}.attn", q, k, v, heads, "igrtd,jgtd->grij")
