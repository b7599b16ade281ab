"""Sizes and variant of a model, whatever file they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rope:
    """Rotary positions: at position p the pair i of a head turns by p·f_i, with dh the head width,

        f_i = base^(−2i/dh),   i = 0 … dh/2 − 1        ``none``
        f_i / factor                                   ``linear``
        f_i (s + (1 − s)/factor)                       ``llama3``

    where s = (context₀ f_i/2π − low)/(high − low), kept within 0 … 1: fast pairs stay, slow ones are divided.

    Attributes:
        base: theta of the checkpoint.
        scaling: ``"none"``, ``"linear"`` or ``"llama3"``.
        factor: by which slow pairs turn slower.
        low_factor, high_factor: turns within the original context below and above which a pair is slow and fast.
        original_context: context₀, positions that the unscaled model was trained for.
    """

    base: float
    scaling: str = "none"
    factor: float = 1.0
    low_factor: float = 1.0
    high_factor: float = 4.0
    original_context: int = 8192

    def frequencies(self, head_width: int) -> NDArray[np.float64]:
        """f (head_width/2,) in radians a position."""
        f = self.base ** (-np.arange(0, head_width, 2, dtype=np.float64) / head_width)
        if self.scaling == "linear":
            return np.asarray(f / self.factor)
        if self.scaling == "llama3":
            turns = self.original_context * f / (2 * np.pi)
            fast = np.clip((turns - self.low_factor) / (self.high_factor - self.low_factor), 0, 1)
            return np.asarray(f * (fast + (1 - fast) / self.factor))
        return f


@dataclass(frozen=True)
class Config:
    """Sizes and variant of a model.

    Attributes:
        layers, width, heads: the transformer's sizes.
        context: the most positions.
        vocabulary: the number of tokens.
        epsilon: what LayerNorm adds to the variance, RMSNorm to the mean square.
        activation: ``"gelu"`` (the tanh form, GPT-2's gelu_new), ``"relu"`` or ``"silu"``.
        softmax: the attention it was trained with, ``"exact"`` or ``"taylor3"``.
        family: ``"gpt2"``, ``"opt"`` or ``"llama"``.
        kv_heads: heads of keys and values, each shared by heads/kv_heads queries; 0: as many as heads.
        head_width: 0: width/heads.
        inner: width of the feed-forward layer; 0: 4 × width.
        tied: whether the logits read the token embedding, or a matrix of their own (``lm_head``).
        rope: rotary positions of the Llama family (base 10⁴ unless given), None in the others.
        labels: classes of a sequence classifier, whose ``score`` matrix reads the last token in place of the
            vocabulary's; 0: a language model.
    """

    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int
    epsilon: float = 1e-5
    activation: str = "gelu"
    softmax: str = "exact"
    family: str = "gpt2"
    kv_heads: int = 0
    head_width: int = 0
    inner: int = 0
    tied: bool = True
    rope: Rope | None = None
    labels: int = 0

    def __post_init__(self) -> None:
        resolved = {
            "kv_heads": self.kv_heads or self.heads,
            "head_width": self.head_width or self.width // self.heads,
            "inner": self.inner or 4 * self.width,
            "rope": self.rope or (Rope(1e4) if self.family == "llama" else None),
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    def plain(self) -> dict[str, Any]:
        """As JSON has it; `of_plain` makes it again."""
        return asdict(self)

    @classmethod
    def of_plain(cls, sizes: Mapping[str, Any]) -> Config:
        """What `plain` was of."""
        rope = sizes["rope"]
        return cls(**{**sizes, "rope": None if rope is None else Rope(**rope)})

    @property
    def outputs(self) -> int:
        """Logits of a position: of tokens, or of classes."""
        return self.labels or self.vocabulary
