"""Numbers that begin as 0 on the device, handed out from blocks: one filling and one transfer for very many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .backend import Backend

Array = Any
BLOCK = 1 << 16


class Pool:
    """Slices of blocks of `dtype`."""

    def __init__(self, backend: Backend, dtype: Any) -> None:
        self._backend, self._dtype = backend, dtype
        self.blocks: list[Array] = []
        self._used = BLOCK

    def renew(self) -> None:
        """Forget all blocks; what was taken stays with whoever took it."""
        self.blocks, self._used = [], BLOCK

    def take(self, size: int) -> Array:
        """A slice (size,) of zeros."""
        if not self.blocks or self._used + size > len(self.blocks[-1]):
            self.blocks = [*self.blocks[-1:], self._backend.xp.zeros(max(BLOCK, size), self._dtype)]
            self._used = 0
        begin, self._used = self._used, self._used + size
        return self.blocks[-1][begin : begin + size]


class Blocks:
    """Some blocks on the host, to look slices up in."""

    def __init__(self, backend: Backend, blocks: Iterable[Array]) -> None:
        self._backend = backend
        self._found = [(backend.address(block), block.nbytes, backend.host(block)) for block in blocks]

    def of(self, part: Array) -> Array:
        """A contiguous part of one of the blocks, in its shape."""
        address = self._backend.address(part)
        for begin, size, values in self._found:
            if begin <= address < begin + size:
                first = (address - begin) // values.itemsize
                return values[first : first + part.size].reshape(part.shape)
        raise KeyError(address)
