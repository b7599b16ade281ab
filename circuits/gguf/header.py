"""The header of a GGUF file, checked before anything is allocated or believed.

Layout (versions 2 and 3, little-endian): ``GGUF``; version, u32; counts of tensors and of keys, u64; the keys, each a
string, a type (u32) and a value; the tensors, each a name, a rank (u32), sizes with the row length first (u64), a type
(u32) and an offset (u64); padding; the bytes. A string is its length (u64) and its UTF-8; an array is a type, a count
(u64) and the values.
"""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..encodings import Bytes
from ..errors import Error, place, shown
from ..tensors import FIX

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 64 * 2**20
MAX_KEYS = 2**12
MAX_TENSORS = 2**16
MAX_VALUES = 2**20  # in all arrays together
MAX_NAME_BYTES = 2**8
MAX_RANK = 4
ALIGNMENT = 32
STRING, ARRAY, BOOL = 8, 9, 7
# u8 i8 u16 i16 u32 i32 f32 bool … u64 i64 f64, by their number in the file
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


@dataclass(frozen=True)
class Entry:
    """One tensor: number of its type, shape with the row length last, first byte after the header."""

    type: int
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Header:
    """What stands before the bytes of the tensors; `data` is where those begin."""

    values: dict[str, Any]
    entries: dict[str, Entry]
    data: int


class _Cursor:
    """Reads on from a place in the file; `Error` at its end."""

    def __init__(self, path: Path, raw: Bytes) -> None:
        self.path, self.raw, self.at = path, raw, 0
        self.values_left = MAX_VALUES

    def bytes(self, count: int) -> bytes:
        if count > len(self.raw) - self.at:
            raise Error(f"{place(self.path)} is truncated or damaged: {count} bytes at {self.at} of its header; {FIX}")
        self.at += count
        return self.raw[self.at - count : self.at].tobytes()

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def text(self, most: int = MAX_HEADER_BYTES) -> str:
        length = self.number("<Q")
        if length > most:
            raise self.malformed(f"a string of {length} bytes")
        try:
            return self.bytes(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.malformed("a string that is not UTF-8") from None

    def malformed(self, what: str) -> Error:
        return Error(f"{place(self.path)} has {what} in its header, near byte {self.at}: {FIX}")


def read_header(path: Path, raw: Bytes) -> Header:
    """Keys and tensors of a file whose bytes are `raw`; `Error` for anything but a whole, well-formed file."""
    cursor = _Cursor(path, raw[:MAX_HEADER_BYTES])
    if cursor.bytes(len(MAGIC)) != MAGIC:
        raise Error(f"{place(path)} is no GGUF file: {FIX}")
    version = cursor.number("<I")
    if version not in VERSIONS:
        raise Error(f"{place(path)} is GGUF version {version}: versions 2 and 3, little-endian, are read; convert it")
    tensors, keys = cursor.number("<Q"), cursor.number("<Q")
    if tensors > MAX_TENSORS or keys > MAX_KEYS:
        raise cursor.malformed(f"{tensors} tensors and {keys} keys (at most {MAX_TENSORS} and {MAX_KEYS})")
    values = _unique(cursor, "key", [_pair(cursor) for _ in range(keys)])
    entries = _unique(cursor, "tensor", [_tensor(cursor) for _ in range(tensors)])
    step = values.get("general.alignment", ALIGNMENT)
    if type(step) is not int or not 0 < step <= 2**16 or step & (step - 1):
        raise cursor.malformed(f"general.alignment {shown(step)}, no power of two up to 65536,")
    data = math.ceil(cursor.at / step) * step
    return Header(values, entries, data)


def check_places(path: Path, spans: dict[str, tuple[int, int]], size: int) -> None:
    """Raise `Error` when a tensor's (first, last) byte is beyond the file or in another tensor."""
    ordered = sorted((begin, end, name) for name, (begin, end) in spans.items())
    for _, end, name in ordered:
        if end > size:
            raise Error(f"tensor {shown(name)} in {place(path)} is truncated: it ends at byte {end} of {size}; {FIX}")
    for (_, end, name), (begin, _, other) in itertools.pairwise(ordered):
        if begin < end:
            raise Error(f"tensors {shown(name)} and {shown(other)} in {place(path)} overlap: {FIX}")


def _unique(cursor: _Cursor, what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise cursor.malformed(f"a {what} twice")
    return table


def _pair(cursor: _Cursor) -> tuple[str, Any]:
    name, kind = cursor.text(MAX_NAME_BYTES), cursor.number("<I")
    return name, _array(cursor) if kind == ARRAY else _value(cursor, kind)


def _value(cursor: _Cursor, kind: int) -> Any:
    if kind == STRING:
        return cursor.text()
    if kind not in SCALARS:
        raise cursor.malformed(f"a value of the unknown type {kind}")
    return cursor.number(SCALARS[kind])


def _array(cursor: _Cursor) -> list[Any]:
    kind, count = cursor.number("<I"), cursor.number("<Q")
    if count > cursor.values_left:
        raise cursor.malformed(f"an array of {count} values (at most {MAX_VALUES} in all)")
    cursor.values_left -= count
    if kind not in SCALARS:  # strings; an array in an array is no known type
        return [_value(cursor, kind) for _ in range(count)]
    form = np.dtype("?" if kind == BOOL else SCALARS[kind])
    found: list[Any] = np.frombuffer(cursor.bytes(count * form.itemsize), form).tolist()
    return found


def _tensor(cursor: _Cursor) -> tuple[str, Entry]:
    name, rank = cursor.text(MAX_NAME_BYTES), cursor.number("<I")
    if not 1 <= rank <= MAX_RANK:
        raise cursor.malformed(f"tensor {shown(name)} of rank {rank}")
    sizes = [cursor.number("<Q") for _ in range(rank)]
    if not 0 < math.prod(sizes) < 2**48:
        raise cursor.malformed(f"tensor {shown(name)} of sizes {sizes}")
    return name, Entry(cursor.number("<I"), tuple(reversed(sizes)), cursor.number("<Q"))
