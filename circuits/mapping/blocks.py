"""What transformers of every family share: a stack of blocks on a residual stream, and the head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cells import View
from ..checkpoints import Model
from .builder import Builder
from .linear import linear

Array = Any
Block = Callable[[Builder, Model, str, str], str]
Norm = Callable[[Builder, str, str, int, float], str]


def stack(b: Builder, model: Model, prefix: str, block: Block, norm: Norm, last: str, head: str) -> None:
    """All arrays and terms from `embed` to `logits`.

    block: from its name and that of the residual stream to the name of the next; norm: of the stream's end, with the
    tensor names `last` (its own) and `head` (the token embedding, where the model's logits read that).
    """
    config, x = model.config, "embed"
    for layer in range(config.layers):
        b.layer = f"{prefix}.{layer}"
        x = block(b, model, b.layer, x)
    b.layer = "head"
    y = norm(b, last, x, config.width, config.epsilon)
    b.nodes("logits", (b.positions, config.outputs))
    head = "score" if config.labels else head if config.tied else "lm_head"
    b.normed(head, y, "logits", model.tensors, last, *linear(model.tensors, head))


def residual(b: Builder, name: str, x: str, term: str, source: str | View, weight: Array, bias: Array | None) -> str:
    """The stream `name` = x + W source + b; returns its name."""
    b.nodes(name, b.circuit.arrays[x].shape)
    b.each(f"{name}.skip", x, name, 1.0)
    b.dense(term, source, name, weight, bias)
    return name
