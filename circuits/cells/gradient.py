"""Gradients of programmed values from the adjoint of the nodes that they drive: dL/dw_ij = Σ a_i x_j (`adjoint.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import matmul, module_of

if TYPE_CHECKING:
    from .coupling import Coupling

Array = Any


def coupling_gradient(term: Coupling, x: Array, a: Array, own: Array) -> Array:
    """dL/dw, summed over K and positions: Σ a_i x_j; passive couplings load their node too, Σ a_i (x_j − sign(w) x_i).

    x: what the couplings read, (K, …) as they see it; a, own: adjoint and value of the nodes they drive (K, *shape).
    """
    sign = module_of(a).asarray(np.sign(term.weight)) if term.passive else None
    if term.elementwise:
        return summed(a * (x if sign is None else x - sign * own), np.shape(term.weight))
    found = matrix_gradient(a, x, term.weight.shape)
    return found if sign is None else found - sign * summed(a * own, term.weight.shape[:1])[:, None]


def matrix_gradient(a: Array, x: Array, shape: tuple[int, ...]) -> Array:
    """Σ a_i x_j (out, in) over all but the last nodes of both, which are `shape`."""
    return matmul(a.reshape(-1, shape[0]).T, x.reshape(-1, shape[1]))


def summed(each: Array, shape: tuple[int, ...]) -> Array:
    """Sums (K, *shape of the target) over K and whatever a value of `shape` is shared by."""
    wide = (1,) * (each.ndim - len(shape)) + shape
    over = tuple(axis for axis, size in enumerate(wide) if size == 1)
    return each.sum(axis=over, keepdims=True).reshape(shape)
