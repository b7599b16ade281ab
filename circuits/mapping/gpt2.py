"""GPT-2's blocks: LayerNorm, fused q, k and v, GELU; the embedding is the head."""

from __future__ import annotations

from ..cells import View
from ..checkpoints import Model
from .activation import map_gelu, map_relu
from .attention import Heads, map_attention
from .blocks import residual, stack
from .builder import Builder
from .linear import map_linear
from .normalization import map_layer_norm


def build(b: Builder, model: Model) -> None:
    """All arrays and terms from `embed` to `logits`."""
    stack(b, model, "h", _block, map_layer_norm, "ln_f", "wte")


def _block(b: Builder, model: Model, name: str, x: str) -> str:
    """One transformer block; returns the name of its residual stream."""
    config, tensors = model.config, model.tensors
    d, qkv, pre = config.width, f"{name}.attn.qkv", f"{name}.mlp.pre"
    y = map_layer_norm(b, f"{name}.ln_1", x, d, config.epsilon)
    b.nodes(qkv, (b.positions, 3 * d))
    map_linear(b, tensors, f"{name}.attn.c_attn", y, qkv, norm=f"{name}.ln_1", transposed=True)
    heads = Heads(config.heads, config.head_width)
    q, k, v = View(qkv, 0, d, heads.queries), View(qkv, d, 2 * d, heads.keys), View(qkv, 2 * d, 3 * d, heads.keys)
    context = map_attention(b, f"{name}.attn", q, k, v, heads)
    middle = residual(b, f"{name}.resid_mid", x, tensors, f"{name}.attn.c_proj", context, transposed=True)
    y = map_layer_norm(b, f"{name}.ln_2", middle, d, config.epsilon)
    b.nodes(pre, (b.positions, config.inner))
    map_linear(b, tensors, f"{name}.mlp.c_fc", y, pre, norm=f"{name}.ln_2", transposed=True)
    activate = map_relu if config.activation == "relu" else map_gelu
    act = activate(b, f"{name}.mlp", pre, config.inner)
    return residual(b, f"{name}.resid", middle, tensors, f"{name}.mlp.c_proj", act, transposed=True)
