"""Llama's forward pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .parts import Array, Pass, attention, rms_norm, tanh


def run(work: Pass, ids: NDArray[np.intp]) -> None:
    """Record every activation of tokens (…, P)."""
    x = work.rows("embed_tokens.weight", ids)
    work.record("embed", x)
    turn = _turns(work, ids.shape[-1])
    for layer in range(work.config.layers):
        h = f"layers.{layer}"
        x = x + _attention(work, h, rms_norm(work, f"{h}.input_layernorm", x), turn)
        work.record(f"{h}.resid_mid", x)
        x = x + _feed_forward(work, f"{h}.mlp", rms_norm(work, f"{h}.post_attention_layernorm", x))
        work.record(f"{h}.resid", x)
    work.logits(rms_norm(work, "norm", x), "embed_tokens")


def _attention(work: Pass, h: str, y: Array, turn: tuple[Array, Array]) -> Array:
    q, k, v = (work.project(f"{h}.self_attn.{part}_proj", y) for part in "qkv")
    for part, value in zip("qkv", (q, k, v), strict=True):
        work.record(f"{h}.attn.{part}", value)
    q, k = (_rotated(x, turn) for x in (q, k))
    work.record(f"{h}.attn.q_rope", q)
    work.record(f"{h}.attn.k_rope", k)
    return work.project(f"{h}.self_attn.o_proj", attention(work, f"{h}.attn", q, k, v))


def _turns(work: Pass, positions: int) -> tuple[Array, Array]:
    """cos and sin of p·f_i, (P, 1, dh/2)."""
    assert work.config.rope is not None  # Config sees to it
    frequencies = work.config.rope.frequencies(work.config.head_width)
    angles = np.arange(positions)[:, None, None] * frequencies
    return np.cos(angles).astype(work.dtype), np.sin(angles).astype(work.dtype)


def _rotated(x: Array, turn: tuple[Array, Array]) -> Array:
    """(a cos − b sin, b cos + a sin) with a, b the halves of each head, x (…, P, heads·dh)."""
    cos, sin = turn
    a, b = np.split(x.reshape(*x.shape[:-1], -1, 2 * cos.shape[-1]), 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


def _feed_forward(work: Pass, name: str, y: Array) -> Array:
    """down(silu(gate)·up), silu(x) = x/2·(1 + tanh(x/2))."""
    gate, up = work.project(f"{name}.gate_proj", y), work.project(f"{name}.up_proj", y)
    work.record(f"{name}.gate", gate)
    work.record(f"{name}.up", up)
    half = gate / 2
    silu = half * (1 + tanh(work, name, half))
    act = silu * up
    work.record(f"{name}.silu", silu)
    work.record(f"{name}.act", act)
    return work.project(f"{name}.down_proj", act)
