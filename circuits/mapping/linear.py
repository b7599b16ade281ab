"""Weights as couplings: (out, in) matrices in float64, the gain and bias of the norm before them folded in.

W (γ ∘ y + β) + b = (W diag γ) y + (b + W β)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = Any


def tensor(tensors: Mapping[str, Array], name: str) -> Array | None:
    """A tensor of the checkpoint in float64, None where it has no such tensor."""
    return np.asarray(tensors[name], np.float64) if name in tensors else None


def linear(tensors: Mapping[str, Array], name: str, *, transposed: bool = False) -> tuple[Array, Array | None]:
    """(out, in) weight and bias of a layer; `transposed`: stored as (in, out), as GPT-2's Conv1D."""
    stored = tensors[f"{name}.weight"]
    return np.array(stored.T if transposed else stored, np.float64, order="C"), tensor(tensors, f"{name}.bias")


def folded(tensors: Mapping[str, Array], norm: str, weight: Array, bias: Array | None) -> tuple[Array, Array | None]:
    """Weight (scaled in place) and bias of a layer that reads what `norm` normalises, before its gain and bias."""
    gain, shift = (tensor(tensors, f"{norm}.{part}") for part in ("weight", "bias"))
    if shift is not None:
        extra = weight @ shift
        bias = extra if bias is None else bias + extra
    weight *= gain
    return weight, bias
