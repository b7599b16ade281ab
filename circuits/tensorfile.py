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

from .encodings import SAFETENSORS, Bytes, Encoding
from .errors import Error, place, shown
from .tensors import FIX, TensorSource

MAX_HEADER_BYTES = 4 * 2**20
MAX_RANK = 8


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: dtype name, shape, first and last byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class TensorFile(TensorSource):
    """The tensors of one file.

    Raises `Error` when the file is missing, truncated or malformed, or a tensor has an unsupported
    dtype; `check_finite` when one holds NaN or Inf.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = read_header(path)
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entries[name].shape

    def encoding(self, name: str) -> Encoding:
        dtype = self._entries[name].dtype
        if dtype not in SAFETENSORS:
            raise Error(
                f"tensor {shown(name)} in {place(self.path)} has dtype {shown(dtype)}: "
                f"save the model as one of {', '.join(SAFETENSORS)}"
            )
        return SAFETENSORS[dtype]

    def raw(self, name: str) -> Bytes:
        entry = self._entries[name]
        return self._bytes[entry.begin : entry.end]


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
    if dtype in SAFETENSORS and math.prod(shape) * SAFETENSORS[dtype].size != end - begin:
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
