"""Float32 products out of TF32 ones: what the parts are, and what is left out. `tests/gpu` multiplies them."""

from __future__ import annotations

from typing import Any

import numpy as np
from host_kernels import HostKernel, eleven_bits

from dsmachine.circuits.threefold import PARTS

Array = Any


def parts(x: Array, second: bool) -> Array:
    """As the kernel takes them apart, compiled for the processor."""
    rows, columns = x.shape
    out = np.zeros((rows, 3 * columns), np.float32)
    apart = (np.int64(stride // x.itemsize) for stride in x.strides)
    HostKernel(PARTS, "parts")((x.size,), (1,), (np.int32(rows), np.int32(columns), *apart, np.int32(second), x, out))
    return out.reshape(rows, 3, columns)


def test_parts_are_the_number() -> None:
    """High parts have 11 bits, low ones 13, and their sum is exact, for numbers of any size and sign and zero."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 70)) * 2.0 ** rng.integers(-60, 60, (40, 70))).astype(np.float32)
    x[0, :3] = 0, 1, -(2 - 2.0**-23)
    for second, (low, high, again) in ((False, (0, 1, 2)), (True, (1, 0, 2))):
        found = parts(x, second)
        assert (found[:, low] + found[:, high] == x).all()
        assert (found[:, again] == found[:, high]).all()
        for part, bits in ((high, 11), (low, 13)):
            mantissa = np.frexp(found[:, part])[0] * 2.0**bits
            assert (mantissa == np.round(mantissa)).all()
        assert (np.abs(found[:, low]) <= 2.0**-11 * np.abs(x)).all()


def test_three_products_are_one() -> None:
    """Of matrices that lie either way round: within 2⁻²¹ of |a| |b| where low parts too are rounded to 11 bits."""
    rng = np.random.default_rng(1)
    a, w = (rng.normal(size=shape).astype(np.float32) for shape in ((30, 500), (500, 20)))
    for second in (w.T, np.ascontiguousarray(w.T)):
        first, other = (eleven_bits(parts(x, k)).reshape(len(x), -1) for x, k in ((a, False), (second, True)))
        off = first @ other.T - a.astype(float) @ w.astype(float)
        assert (np.abs(off) <= 2.0**-21 * (np.abs(a).astype(float) @ np.abs(w))).all()
        plain = eleven_bits(a) @ eleven_bits(w) - a.astype(float) @ w.astype(float)
        assert np.sqrt((off**2).mean()) < 1e-3 * np.sqrt((plain**2).mean())
