"""What the families share: one pass and its weights, norms, causal attention, activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..tensors import Tensors

Array = NDArray[Any]
ROOT_2_PI = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Pass:
    """One forward pass: sizes, weights, who is shown each activation, and the options of `forward`."""

    config: Config
    tensors: Tensors
    record: Callable[[str, Array], None]
    softmax: str
    order: int
    activation: str
    dtype: np.dtype[Any]

    def weight(self, name: str) -> Array:
        """One tensor in the dtype of the arithmetic, converted when it is needed and not kept."""
        return np.asarray(self.tensors[name], self.dtype)

    def rows(self, name: str, index: NDArray[np.intp]) -> Array:
        """Some rows of a matrix."""
        return self.tensors.rows(name, index).astype(self.dtype)

    def project(self, name: str, x: Array) -> Array:
        """x Wᵀ, and + b where there is one; W stored (outputs, inputs)."""
        y = times(x, self.weight(f"{name}.weight").T)
        return y + self.weight(f"{name}.bias") if f"{name}.bias" in self.tensors else y

    def logits(self, x: Array, embedding: str) -> None:
        """x against the rows of the token embedding, or of a matrix of their own."""
        name = "score" if self.config.labels else embedding if self.config.tied else "lm_head"
        self.record("logits", times(x, self.weight(f"{name}.weight").T))


def times(x: Array, matrix: Array) -> Array:
    """x M over the last axis of x, one product for the whole batch."""
    y = x.reshape(-1, len(matrix)) @ matrix
    return np.asarray(y.reshape(*x.shape[:-1], -1))


def layer_norm(work: Pass, name: str, x: Array) -> Array:
    """(x − mean)/√(variance + ε), recorded, then gain and bias, returned."""
    mean = x.mean(-1, keepdims=True)
    diff = x - mean
    root = np.sqrt((diff * diff).mean(-1, keepdims=True) + work.config.epsilon)
    norm = diff / root
    for part, value in (("mean", mean), ("diff", diff), ("root", root), ("norm", norm)):
        work.record(f"{name}.{part}", value)
    return np.asarray(norm * work.weight(f"{name}.weight") + work.weight(f"{name}.bias"))


def rms_norm(work: Pass, name: str, x: Array) -> Array:
    """x/√(mean x² + ε), recorded, then gain, returned."""
    root = np.sqrt((x * x).mean(-1, keepdims=True) + work.config.epsilon)
    norm = x / root
    work.record(f"{name}.root", root)
    work.record(f"{name}.norm", norm)
    return np.asarray(norm * work.weight(f"{name}.weight"))


def attention(work: Pass, name: str, q: Array, k: Array, v: Array) -> Array:
    """Causal attention of q (…, P, H·dh) over k, v (…, P, KV·dh) → (…, P, H·dh); H/KV queries share a key."""
    config = work.config
    q, k, v = (_by_head(x, config.head_width) for x in (q, k, v))  # (…, H or KV, P, dh)
    shared = config.heads // config.kv_heads
    k, v = (np.repeat(x, shared, axis=-3) if shared > 1 else x for x in (k, v))
    mask = np.tri(q.shape[-2], dtype=bool)
    score = np.where(mask, q @ np.swapaxes(k, -1, -2) / math.sqrt(config.head_width), 0)
    work.record(f"{name}.score", score)
    if work.softmax == "exact":
        weight = _softmax(score, mask)
        work.record(f"{name}.prob", weight)
        context = weight @ v
    else:
        series = np.where(mask, _exp_series(score, work.order), 0)
        total = series.sum(-1, keepdims=True)
        work.record(f"{name}.exp", series)
        work.record(f"{name}.expsum", np.swapaxes(total, -2, -3))
        context = series @ v / total
    context = np.swapaxes(context, -2, -3)
    context = context.reshape(*context.shape[:-2], -1)
    work.record(f"{name}.context", context)
    return context


def _by_head(x: Array, head_width: int) -> Array:
    """(…, P, heads·dh) → (…, heads, P, dh)."""
    return np.swapaxes(x.reshape(*x.shape[:-1], -1, head_width), -2, -3)


def _softmax(score: Array, mask: Array) -> Array:
    """Exact softmax over the last axis, 0 where `mask` is false."""
    peak = np.where(mask, score, -np.inf).max(-1, keepdims=True)
    weight = np.where(mask, np.exp(np.minimum(score - peak, 0)), 0)
    return np.asarray(weight / weight.sum(-1, keepdims=True))


def _exp_series(score: Array, order: int) -> Array:
    """Σₖ sᵏ/k!, k = 0 … order, by Horner's rule."""
    total = np.ones_like(score)
    for k in range(order, 0, -1):
        total = 1 + score * total / k
    return total


def gelu_or_relu(work: Pass, name: str, x: Array) -> Array:
    """The activation of an MLP without a gate, its intermediates recorded between ``pre`` and ``act``."""
    work.record(f"{name}.pre", x)
    if work.activation == "relu":
        y = np.maximum(x, 0)
    else:
        square = x * x
        arg = ROOT_2_PI * (x + 0.044715 * square * x)
        if work.activation == "paper":
            arg = arg / 2
        work.record(f"{name}.square", square)
        y = 0.5 * x * (1 + tanh(work, name, arg))
    work.record(f"{name}.act", y)
    return y


def tanh(work: Pass, name: str, arg: Array) -> Array:
    """tanh, or its series to fifth order with the coefficient of the activation; it and its powers recorded."""
    work.record(f"{name}.arg", arg)
    if work.activation in ("taylor", "paper"):
        arg2 = arg * arg
        arg3 = arg2 * arg
        arg5 = arg3 * arg2
        for power, value in ((2, arg2), (3, arg3), (5, arg5)):
            work.record(f"{name}.arg{power}", value)
        value = arg - arg3 / 3 + (2 / 15 if work.activation == "taylor" else 1 / 5) * arg5
    else:
        value = np.tanh(arg)
    work.record(f"{name}.tanh", value)
    return np.asarray(value)
