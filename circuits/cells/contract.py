"""Contractions of two arrays as one batched matrix product, on any array module.

`np.einsum` leaves the matrix units idle as soon as an index is shared by both factors and the result; sorting
the indices into batch / free / summed turns every such contraction into `matmul`, whose kernels are the fast
ones on both processors and accelerators.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import matmul, module_of

Array = Any


@lru_cache(maxsize=256)
def _plan(spec: str) -> tuple[str, str, str, str, str]:
    """(batch, free a, free b, summed, out) of a spec "ab,bc->ac"."""
    inputs, out = spec.split("->")
    a, b = inputs.split(",")
    batch = "".join(i for i in a if i in b and i in out)
    summed = "".join(i for i in a if i in b and i not in out)
    free_a = "".join(i for i in a if i not in b)
    free_b = "".join(i for i in b if i not in a)
    if set(free_a + free_b) - set(out):
        raise ValueError(f"contraction {spec!r}: an index of one factor alone must appear in the result")
    return batch, free_a, free_b, summed, out


def _arrange(x: Array, have: str, want: str) -> Array:
    return x.transpose(0, *(1 + have.index(i) for i in want))


def contract(spec: str, a: Array, b: Array, scale: float = 1.0) -> Array:
    """scale times einsum of (K, …) factors (one K may be 1); K is carried along. `spec` names the other axes:
    "ihd,jhd->hij"."""
    xp = module_of(a)
    batch, free_a, free_b, summed, out = _plan(spec)
    left, right = spec.split("->")[0].split(",")
    if not free_a and not free_b:
        if not summed:
            product = _arrange(a, left, batch) * _arrange(b, right, batch)
            return _arrange(product if scale == 1.0 else scale * product, batch, out)
        first, second = _arrange(a, left, batch + summed), _arrange(b, right, batch + summed)
        if xp is np:
            product = np.einsum(f"Z{batch + summed},Z{batch + summed}->Z{batch}", first, second)
        else:
            product = (first * second).sum(axis=tuple(range(1 + len(batch), 1 + len(batch + summed))))
        return _arrange(product if scale == 1.0 else scale * product, batch, out)
    sizes = dict(zip(left, a.shape[1:], strict=True)) | dict(zip(right, b.shape[1:], strict=True))
    head = tuple(sizes[i] for i in batch)
    rows, cols, inner = (_size(sizes, i) for i in (free_a, free_b, summed))
    first = _arrange(a, left, batch + free_a + summed).reshape(a.shape[0], *head, rows, inner)
    second = _arrange(b, right, batch + summed + free_b).reshape(b.shape[0], *head, inner, cols)
    if _whole(sizes, free_a) and _whole(sizes, free_b):
        shape = (max(len(a), len(b)), *(sizes[i] for i in out))
        found = xp.empty_like(a, dtype=np.result_type(a.dtype, b.dtype), order="C", shape=shape)
        into = _arrange(found, out, batch + free_a + free_b).reshape(len(found), *head, rows, cols)
        matmul(first, second, into, scale)
        return found
    product = matmul(first, second, scale=scale).reshape(-1, *head, *(sizes[i] for i in free_a + free_b))
    return _arrange(product, batch + free_a + free_b, out)


def _whole(sizes: dict[str, int], indices: str) -> bool:
    """Whether these indices are rows or columns of a matrix however they lie: one at most counts."""
    return sum(sizes[i] > 1 for i in indices) <= 1


def _size(sizes: dict[str, int], indices: str) -> int:
    size = 1
    for i in indices:
        size *= sizes[i]
    return size
