"""GPT-2's forward pass. Linear weights are stored (inputs, outputs)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .parts import Array, Pass, attention, gelu_or_relu, layer_norm, times


def run(work: Pass, ids: NDArray[np.intp]) -> None:
    """Record every activation of tokens (…, P)."""
    x = work.rows("wte.weight", ids) + work.rows("wpe.weight", np.arange(ids.shape[-1]))
    work.record("embed", x)
    for layer in range(work.config.layers):
        h = f"h.{layer}"
        qkv = _conv1d(work, f"{h}.attn.c_attn", layer_norm(work, f"{h}.ln_1", x))
        work.record(f"{h}.attn.qkv", qkv)
        q, k, v = np.split(qkv, 3, axis=-1)
        x = x + _conv1d(work, f"{h}.attn.c_proj", attention(work, f"{h}.attn", q, k, v))
        work.record(f"{h}.resid_mid", x)
        pre = _conv1d(work, f"{h}.mlp.c_fc", layer_norm(work, f"{h}.ln_2", x))
        x = x + _conv1d(work, f"{h}.mlp.c_proj", gelu_or_relu(work, f"{h}.mlp", pre))
        work.record(f"{h}.resid", x)
    work.logits(layer_norm(work, "ln_f", x), "wte")


def _conv1d(work: Pass, name: str, x: Array) -> Array:
    """x W + b, W stored (inputs, outputs)."""
    return times(x, work.weight(f"{name}.weight")) + work.weight(f"{name}.bias")
