"""OPT's forward pass, pre-norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .parts import Pass, attention, gelu_or_relu, layer_norm

PADDING_ROWS = 2  # in front of the positions


def run(work: Pass, ids: NDArray[np.intp]) -> None:
    """Record every activation of tokens (…, P)."""
    places = np.arange(ids.shape[-1]) + PADDING_ROWS
    x = work.rows("embed_tokens.weight", ids) + work.rows("embed_positions.weight", places)
    work.record("embed", x)
    for layer in range(work.config.layers):
        h = f"layers.{layer}"
        y = layer_norm(work, f"{h}.self_attn_layer_norm", x)
        q, k, v = (work.project(f"{h}.self_attn.{part}_proj", y) for part in "qkv")
        for part, value in zip("qkv", (q, k, v), strict=True):
            work.record(f"{h}.attn.{part}", value)
        x = x + work.project(f"{h}.self_attn.out_proj", attention(work, f"{h}.attn", q, k, v))
        work.record(f"{h}.resid_mid", x)
        pre = work.project(f"{h}.fc1", layer_norm(work, f"{h}.final_layer_norm", x))
        x = x + work.project(f"{h}.fc2", gelu_or_relu(work, f"{h}.mlp", pre))
        work.record(f"{h}.resid", x)
    work.logits(layer_norm(work, "final_layer_norm", x), "embed_tokens")
