"""The array module of an array: NumPy, or the GPU's that works alike."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

Array = Any


def module_of(x: Array) -> Any:
    """numpy, or the module whose array x is (cupy)."""
    if isinstance(x, np.ndarray | np.generic | float | int):
        return np
    return sys.modules[type(x).__module__.partition(".")[0]]


def on_host(x: Array) -> Array:
    """The array as NumPy's, once the work queued on the current stream is done."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def matmul(a: Array, b: Array, out: Array | None = None, scale: float = 1.0) -> Array:
    """scale a @ b: (…, m, k) and (…, k, n) or (k, n); out (…, m, n): where to, else new memory."""
    if module_of(a) is np:
        found = np.matmul(a, b, out=out)
        if scale != 1.0:
            found *= scale
        return found
    from .cublas import product

    return product(a, b, out, scale)
