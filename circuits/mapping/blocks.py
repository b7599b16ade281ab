"""What transformers of every family share: a stack of blocks on a residual stream, and the head."""

from __future__ import annotations

from collections.abc import Callable

from ..cells import View
from ..checkpoints import Model
from ..tensors import Tensors
from .builder import Builder
from .linear import map_linear

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
    map_linear(b, model.tensors, head, y, "logits", norm=last)


def residual(
    b: Builder, name: str, x: str, tensors: Tensors, term: str, source: str | View, *, transposed: bool = False
) -> str:
    """The stream `name` = x + W source + b; returns its name."""
    b.nodes(name, b.circuit.arrays[x].shape)
    b.each(f"{name}.skip", x, name, 1.0)
    map_linear(b, tensors, term, source, name, transposed=transposed)
    return name
