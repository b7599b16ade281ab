"""OPT's blocks: LayerNorm first, q, k and v apart, ReLU from rectifiers; the embedding is the head."""

from __future__ import annotations

from ..cells import View
from ..checkpoints import Model
from .activation import map_relu
from .attention import Heads, map_attention
from .builder import Builder
from .linear import folded, linear
from .normalization import map_layer_norm


def build(b: Builder, model: Model) -> None:
    """All arrays and terms from `embed` to `logits`."""
    x = "embed"
    for layer in range(model.config.layers):
        b.layer = f"layers.{layer}"
        x = _block(b, model, b.layer, x)
    b.layer = "head"
    y = map_layer_norm(b, "final_layer_norm", x, model.config.width, model.config.epsilon)
    b.nodes("logits", (b.positions, model.config.vocabulary))
    head = "embed_tokens" if model.config.tied else "lm_head"
    b.dense(head, y, "logits", *folded(model.tensors, "final_layer_norm", *linear(model.tensors, head)))


def _block(b: Builder, model: Model, name: str, x: str) -> str:
    """One transformer block; returns the name of its residual stream."""
    config, tensors = model.config, model.tensors
    shape, d = (b.positions, config.width), config.width
    norm = f"{name}.self_attn_layer_norm"
    y = map_layer_norm(b, norm, x, d, config.epsilon)
    for part in "qkv":
        b.nodes(f"{name}.attn.{part}", shape)
        term = f"{name}.self_attn.{part}_proj"
        b.dense(term, y, f"{name}.attn.{part}", *folded(tensors, norm, *linear(tensors, term)))
    heads = Heads(config.heads, d // config.heads)
    q = View(f"{name}.attn.q", split=heads.queries)
    k, v = (View(f"{name}.attn.{part}", split=heads.keys) for part in "kv")
    context = map_attention(b, f"{name}.attn", q, k, v, heads)
    middle = f"{name}.resid_mid"
    b.nodes(middle, shape)
    b.each(f"{middle}.skip", x, middle, 1.0)
    b.dense(f"{name}.self_attn.out_proj", context, middle, *linear(tensors, f"{name}.self_attn.out_proj"))
    norm, pre = f"{name}.final_layer_norm", f"{name}.mlp.pre"
    y = map_layer_norm(b, norm, middle, d, config.epsilon)
    b.nodes(pre, (b.positions, config.inner))
    b.dense(f"{name}.fc1", y, pre, *folded(tensors, norm, *linear(tensors, f"{name}.fc1")))
    act = map_relu(b, f"{name}.mlp", pre, config.inner)
    out = f"{name}.resid"
    b.nodes(out, shape)
    b.each(f"{out}.skip", middle, out, 1.0)
    b.dense(f"{name}.fc2", act, out, *linear(tensors, f"{name}.fc2"))
    return out
