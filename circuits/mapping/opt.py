"""OPT's blocks: LayerNorm first, q, k and v apart, ReLU from rectifiers; the embedding is the head."""

from __future__ import annotations

from ..cells import View
from ..checkpoints import Model
from .activation import map_relu
from .attention import Heads, map_attention
from .blocks import residual, stack
from .builder import Builder
from .linear import map_linear
from .normalization import map_layer_norm


def build(b: Builder, model: Model) -> None:
    """All arrays and terms from `embed` to `logits`."""
    stack(b, model, "layers", _block, map_layer_norm, "final_layer_norm", "embed_tokens")


def _block(b: Builder, model: Model, name: str, x: str) -> str:
    """One transformer block; returns the name of its residual stream."""
    config, tensors = model.config, model.tensors
    norm = f"{name}.self_attn_layer_norm"
    y = map_layer_norm(b, norm, x, config.width, config.epsilon)
    for part in "qkv":
        b.nodes(f"{name}.attn.{part}", (b.positions, config.width))
        term = f"{name}.self_attn.{part}_proj"
        map_linear(b, tensors, term, y, f"{name}.attn.{part}", norm=norm)
    heads = Heads(config.heads, config.head_width)
    q = View(f"{name}.attn.q", split=heads.queries)
    k, v = (View(f"{name}.attn.{part}", split=heads.keys) for part in "kv")
    context = map_attention(b, f"{name}.attn", q, k, v, heads)
    middle = residual(b, f"{name}.resid_mid", x, tensors, f"{name}.self_attn.out_proj", context)
    norm, pre = f"{name}.final_layer_norm", f"{name}.mlp.pre"
    y = map_layer_norm(b, norm, middle, config.width, config.epsilon)
    b.nodes(pre, (b.positions, config.inner))
    map_linear(b, tensors, f"{name}.fc1", y, pre, norm=norm)
    act = map_relu(b, f"{name}.mlp", pre, config.inner)
    return residual(b, f"{name}.resid", middle, tensors, f"{name}.fc2", act)
