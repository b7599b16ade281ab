"""Gradients of programmed values from the adjoint of the nodes that they drive: dL/dw_ij = Σ a_i x_j (`adjoint.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .coupling import Coupling

Array = Any


def coupling_gradient(term: Coupling, x: Array, a: Array, own: Array) -> Array:
    """dL/dw, summed over K and positions: Σ a_i x_j; passive couplings load their node too, Σ a_i (x_j − sign(w) x_i).

    x: what the couplings read, (K, …) as they see it; a, own: adjoint and value of the nodes they drive (K, *shape).
    """
    if term.elementwise:
        each = a * (x - np.sign(term.weight) * own if term.passive else x)
        return summed(each, np.shape(term.weight))
    out, width = term.weight.shape
    rows = a.reshape(-1, out)
    found = rows.T @ x.reshape(-1, width)
    if term.passive:
        found = found - np.sign(term.weight) * (rows * own.reshape(-1, out)).sum(axis=0)[:, None]
    return found


def summed(each: Array, shape: tuple[int, ...]) -> Array:
    """Sums (K, *shape of the target) over what a value of `shape` is shared by."""
    wide = (1,) * (each.ndim - len(shape)) + shape
    over = tuple(axis for axis, size in enumerate(wide) if size == 1)
    return each.sum(axis=over, keepdims=True).reshape(shape)
