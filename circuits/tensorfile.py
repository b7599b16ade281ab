"""Tensors of a ``.safetensors`` file, memory-mapped, after the header has been checked.

Layout (safetensors 0.x): 8 bytes N, little-endian; N bytes of JSON that give every tensor a dtype,
a shape and a byte range; then the bytes, back to back. Nothing of the file is trusted: whatever is
wrong with it is one `Error`, raised before a byte of it becomes a number.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import Error

MAX_HEADER_BYTES = 4 * 2**20
MAX_RANK = 8
CHUNK = 2**20  # elements looked at together in the search for NaN
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
FIX = "download or save the model again"


def shown(value: object) -> str:
    """Untrusted text for an error message: quoted, on one line, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def place(path: Path) -> str:
    """A path for an error message, on one line whatever its name holds."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: dtype name, shape, first and last byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class TensorFile(Mapping[str, NDArray[np.float32]]):
    """Name → float32 array, read when asked for; float32 tensors are views of the file.

    Raises `Error` when the file is missing, truncated or malformed, or a tensor has an unsupported
    dtype; `check_finite` when one holds NaN or Inf.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = read_header(path)
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        entry = self.entry(name)
        raw = self._bytes[entry.begin : entry.end]
        return _float32(raw, entry.dtype).reshape(entry.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, name: str) -> Entry:
        """Dtype and shape without reading; `KeyError` when absent, `Error` for other dtypes."""
        entry = self._entries[name]
        if entry.dtype not in ITEM_BYTES:
            raise Error(
                f"tensor {shown(name)} in {place(self.path)} has dtype {shown(entry.dtype)}: "
                f"save the model as one of {', '.join(ITEM_BYTES)}"
            )
        return entry

    def check_finite(self, name: str) -> None:
        """Raise `Error` when a value is NaN or Inf as float32; reads the file piece by piece."""
        entry = self.entry(name)
        size = ITEM_BYTES[entry.dtype]
        for begin in range(entry.begin, entry.end, CHUNK * size):
            raw = self._bytes[begin : min(begin + CHUNK * size, entry.end)]
            wrong = np.flatnonzero(~np.isfinite(_float32(raw, entry.dtype)))
            if len(wrong):
                flat = (begin - entry.begin) // size + int(wrong[0])
                at = tuple(int(i) for i in np.unravel_index(flat, entry.shape))
                raise Error(
                    f"tensor {shown(name)} in {place(self.path)} is NaN or Inf in float32 at {list(at)}: "
                    "weights must be finite; " + FIX
                )


def _float32(raw: NDArray[np.uint8], dtype: str) -> NDArray[np.float32]:
    """Little-endian bytes of `dtype` as a flat float32 array."""
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    values = raw.view({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype])
    with np.errstate(over="ignore"):
        return np.require(values, dtype=np.float32, requirements="A")


def read_header(path: Path) -> dict[str, Entry]:
    """Names and places of all tensors; `Error` for anything but a whole, well-formed file."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
                raise Error(
                    f"{place(path)} is truncated or no safetensors file ({size} bytes, header of {length}): {FIX}"
                )
            text = file.read(length)
    except OSError as error:
        raise Error(f"{place(path)} cannot be read: {error.strerror}; {FIX}") from None
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Error(f"{place(path)} has a malformed header ({shown(str(error))}): {FIX}") from None
    if not isinstance(header, dict):
        raise Error(f"{place(path)} has a header that is no table of tensors: {FIX}")
    header.pop("__metadata__", None)
    data = 8 + length
    entries = {name: _entry(path, name, value, data, size) for name, value in header.items()}
    _check_disjoint(path, entries)
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name appears twice")
    return table


def _entry(path: Path, name: str, value: object, data: int, size: int) -> Entry:
    """One checked header entry; `data` is where the bytes start, `size` the file's length."""
    where = f"tensor {shown(name)} in {place(path)}"
    fields = value if isinstance(value, dict) else {}
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _naturals(shape) or not _naturals(offsets):
        raise Error(f"{where} has a malformed header entry {shown(value)}: {FIX}")
    assert isinstance(shape, list) and isinstance(offsets, list)
    if len(shape) > MAX_RANK or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Error(f"{where} has a malformed header entry {shown(value)}: {FIX}")
    begin, end = data + offsets[0], data + offsets[1]
    if end > size:
        raise Error(f"{where} is truncated: it ends at byte {end} of {size}; {FIX}")
    if dtype in ITEM_BYTES and math.prod(shape) * ITEM_BYTES[dtype] != end - begin:
        raise Error(f"{where} has {end - begin} bytes, not those of {dtype} {shown(shape)}: {FIX}")
    return Entry(dtype, tuple(shape), begin, end)


def _naturals(value: object) -> bool:
    """Whether `value` is a list of integers from 0 to 2⁴⁸."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**48 for n in value)


def _check_disjoint(path: Path, entries: Mapping[str, Entry]) -> None:
    spans = sorted((entry.begin, entry.end, name) for name, entry in entries.items())
    for (_, end, name), (begin, _, other) in itertools.pairwise(spans):
        if begin < end:
            raise Error(f"tensors {shown(name)} and {shown(other)} in {place(path)} overlap: {FIX}")
