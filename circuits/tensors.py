"""A checkpoint's tensors by name, decoded when they are asked for.

Files are memory-mapped: what is opened is not read, what is read is one tensor, or a few of its rows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encodings import Bytes, Encoding, Numbers
from .errors import Error, place, shown
from .named import unknown

CHUNK = 2**20  # values looked at together in the search for NaN
FIX = "download or save the model again"


class TensorSource(Mapping[str, Numbers], ABC):
    """Name → float32 array, read when asked for; float32 tensors are views of the file.

    Attributes:
        path: the file that lists the tensors.
    """

    path: Path

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Without reading; `KeyError` when absent."""

    def __contains__(self, name: object) -> bool:
        """Without reading: Mapping's own would decode the tensor."""
        return any(name == other for other in self)

    @abstractmethod
    def encoding(self, name: str) -> Encoding:
        """How its values are stored; `Error` for a way that is not supported."""

    @abstractmethod
    def raw(self, name: str) -> Bytes:
        """The file's bytes, (bytes,)."""

    def __getitem__(self, name: str) -> Numbers:
        return self.encoding(name).decode(self._by_row(name)).reshape(self.shape(name))

    def rows(self, name: str, index: NDArray[np.integer[Any]]) -> Numbers:
        """tensor[index] of a matrix, (…, columns), the other rows left unread."""
        return self.encoding(name).decode(self._by_row(name)[index])

    def check_finite(self, name: str) -> None:
        """Raise `Error` when a value is NaN or Inf as float32; reads the file piece by piece."""
        encoding = self.encoding(name)
        blocks = self.raw(name).reshape(-1, encoding.size)
        step = max(1, CHUNK // encoding.values)
        for begin in range(0, len(blocks), step):
            wrong = np.flatnonzero(~encoding.finite(blocks[begin : begin + step]))
            if len(wrong):
                at = np.unravel_index((begin + int(wrong[0])) * encoding.values, self.shape(name))
                raise Error(
                    f"tensor {shown(name)} in {place(self.path)} is NaN or Inf in float32 at {[int(i) for i in at]}: "
                    "weights must be finite; " + FIX
                )

    def _by_row(self, name: str) -> Bytes:
        shape, encoding = self.shape(name), self.encoding(name)
        columns = shape[-1] if shape else 1
        return self.raw(name).reshape(math.prod(shape[:-1]), columns // encoding.values * encoding.size)


class Tensors(Mapping[str, Numbers]):
    """A source's tensors under the names without the family's prefix; lookups may have it."""

    def __init__(self, source: TensorSource, prefixes: Sequence[str] = ()) -> None:
        self._source = source
        self._prefixes = prefixes
        self._stored: dict[str, str] = {}
        for name in source:
            if self._stored.setdefault(self.bare(name), name) != name:
                raise Error(
                    f"tensor {shown(self.bare(name))} in {place(source.path)} is there "
                    f"with and without {' or '.join(map(repr, prefixes))}: keep one"
                )

    def __getitem__(self, name: str) -> Numbers:
        return self._source[self.stored(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.bare(name) in self._stored  # Mapping's own would decode the tensor

    def bare(self, name: str) -> str:
        """The name without the first of the prefixes that it has."""
        prefix = next((p for p in self._prefixes if name.startswith(p)), "")
        return name.removeprefix(prefix)

    def stored(self, name: str) -> str:
        """The name in the file."""
        if name not in self:
            raise unknown(name, self._stored, f"tensor in {place(self._source.path)}")
        return self._stored[self.bare(name)]

    def rows(self, name: str, index: NDArray[np.integer[Any]]) -> Numbers:
        """tensor[index] of a matrix, the other rows left unread."""
        return self._source.rows(self.stored(name), index)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise `Error` unless the tensor is there, of this shape, in a known encoding and finite."""
        if name not in self._stored:
            raise Error(
                f"tensor {shown(name)} is missing in {place(self._source.path)}: "
                "sizes and tensors must come from the same model"
            )
        stored = self.stored(name)
        found = self._source.shape(stored)
        if found != shape:
            raise Error(
                f"tensor {shown(stored)} in {place(self._source.path)} has shape {list(found)}, "
                f"the model wants {list(shape)}: they must come from the same model"
            )
        self._source.check_finite(stored)
