"""Weights as couplings: (out, in) matrices, the gain and bias of the norm before them folded in.

W (γ ∘ y + β) + b = (W diag γ) y + (b + W β)

A matrix is written once, in the type that the circuit holds it in; what is not folded is the checkpoint's own array.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cells import View
from ..rows import by_rows

if TYPE_CHECKING:
    from .builder import Builder

Array = Any


def tensor(tensors: Mapping[str, Array], name: str) -> Array | None:
    """A tensor of the checkpoint in float64, None where it has no such tensor."""
    return np.asarray(tensors[name], np.float64) if name in tensors else None


def map_linear(
    b: Builder,
    tensors: Mapping[str, Array],
    term: str,
    source: str | View,
    target: str,
    *,
    norm: str | None = None,
    transposed: bool = False,
) -> None:
    """Couplings `term`, named as its tensors are, from `source` to `target`; norm: what is folded in; transposed: see
    `linear`. What was done to the tensors is noted down for their gradients (`gradients.py`)."""
    weight, bias = linear(tensors, term, transposed=transposed)
    if norm is None:
        b.dense(term, source, target, weight, bias)
    else:
        b.normed(term, source, target, tensors, norm, weight, bias)
    b.circuit.notes.setdefault("tensors", {})[term] = {"norm": norm, "transposed": transposed}


def linear(tensors: Mapping[str, Array], name: str, *, transposed: bool = False) -> tuple[Array, Array | None]:
    """(out, in) weight, as stored, and bias of a layer; `transposed`: stored as (in, out), as GPT-2's Conv1D."""
    stored = tensors[f"{name}.weight"]
    return stored.T if transposed else stored, tensor(tensors, f"{name}.bias")


def folded(
    tensors: Mapping[str, Array], norm: str, weight: Array, bias: Array | None, *, dtype: Any
) -> tuple[Array, Array | None]:
    """New weight of `dtype`, and bias, of a layer that reads what `norm` normalises, before its gain and bias."""
    gain, shift = np.asarray(tensors[f"{norm}.weight"], np.float64), tensor(tensors, f"{norm}.bias")
    if shift is not None:
        extra = np.concatenate(by_rows(lambda rows: weight[rows].astype(np.float64) @ shift, weight.shape))
        bias = extra if bias is None else bias + extra
    scaled = np.empty(weight.shape, dtype)

    def scale(rows: slice) -> None:
        np.multiply(weight[rows], gain, out=scaled[rows], casting="same_kind")

    by_rows(scale, weight.shape)
    return scaled, bias
