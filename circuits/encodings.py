"""How numbers lie in a checkpoint: blocks of bytes, each the values of a few weights.

    F64 F32 F16 BF16   one value a block
    Q8_0               32 values  d·q                         d in binary16, q in 8 bits
    Q4_0               32 values  d·(q − 8)                   q in 4 bits
    Q4_1               32 values  d·q + m                     d, m in binary16
    Q4_K               256 values d·s·q − d′·s′               s, s′ in 6 bits for each 32 values
    Q6_K               256 values d·s·(q − 32)                q in 6 bits, s in 8 for each 16 values

The quantised ones are GGUF's; the `gguf` package turns them into numbers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import Error

BLOCKS_TOGETHER = 1 << 14  # of a quantised tensor, decoded in one go
HALF_EXPONENT = np.uint16(0x7C00)  # all of it set: Inf or NaN
Bytes = NDArray[np.uint8]
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """One way to store weights.

    Attributes:
        name: as checkpoints call it.
        values, size: weights in a block and its bytes.
        decode: bytes (…, blocks · size) → float32 (…, blocks · values).
        scales: which bytes of a block decide, as binary16, whether its values are finite; None: the value does.
    """

    name: str
    values: int
    size: int
    decode: Callable[[Bytes], Numbers]
    scales: slice | None = None

    def finite(self, blocks: Bytes) -> NDArray[np.bool_]:
        """Whether all values of each block are finite; `blocks` is (n, size)."""
        if self.scales is None:
            return np.isfinite(self.decode(blocks.reshape(-1)))  # one value a block
        bits = blocks[:, self.scales].view("<u2")
        return np.asarray(((bits & HALF_EXPONENT) != HALF_EXPONENT).all(axis=-1))


def _floats(dtype: str) -> Callable[[Bytes], Numbers]:
    def decode(raw: Bytes) -> Numbers:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.require(raw.view(dtype), dtype=np.float32, requirements="A")

    return decode


def _bfloat16(raw: Bytes) -> Numbers:
    return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _quantised(name: str, size: int) -> Callable[[Bytes], Numbers]:
    def decode(raw: Bytes) -> Numbers:
        """Many blocks as one row: the package goes through rows sixteen at a time in Python."""
        gguf = gguf_package()
        flat, step = raw.reshape(-1), BLOCKS_TOGETHER * size
        with np.errstate(over="ignore", invalid="ignore"):
            parts = [
                gguf.dequantize(np.ascontiguousarray(flat[None, k : k + step]), gguf.GGMLQuantizationType[name])[0]
                for k in range(0, len(flat), step)
            ]
        return np.concatenate(parts).reshape(*raw.shape[:-1], -1)

    return decode


def gguf_package() -> Any:
    """The `gguf` package, `Error` where it is not installed."""
    try:
        return importlib.import_module("gguf")
    except ImportError:
        raise Error("package 'gguf' is missing, which reads GGUF files: pip install 'gguf>=0.17'") from None


_ALL = (
    Encoding("F64", 1, 8, _floats("<f8")),
    Encoding("F32", 1, 4, _floats("<f4")),
    Encoding("F16", 1, 2, _floats("<f2"), slice(0, 2)),
    Encoding("BF16", 1, 2, _bfloat16),
    Encoding("Q8_0", 32, 34, _quantised("Q8_0", 34), slice(0, 2)),
    Encoding("Q4_0", 32, 18, _quantised("Q4_0", 18), slice(0, 2)),
    Encoding("Q4_1", 32, 20, _quantised("Q4_1", 20), slice(0, 4)),
    Encoding("Q4_K", 256, 144, _quantised("Q4_K", 144), slice(0, 4)),
    Encoding("Q6_K", 256, 210, _quantised("Q6_K", 210), slice(208, 210)),
)
SAFETENSORS = {e.name: e for e in _ALL[:4]}
GGUF = {e.name: e for e in _ALL if e.name not in ("F64", "BF16")}
