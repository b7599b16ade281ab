"""Bytes that arrays own, counted from their making until nobody refers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Ledger:
    """Bytes owned now, by part, and as they were when they were most.

    part: what new arrays belong to; grain: allocations are rounded up to so many bytes; reuses: whether operators write
    into temporaries, as NumPy's do.
    """

    def __init__(self, part: str, *, grain: int = 1, reuses: bool = False) -> None:
        self.part, self.grain, self.reuses = part, grain, reuses
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.total, self.peak = 0, 0

    def add(self, part: str, size: int) -> None:
        self.now[part] += size
        self.total += size
        if self.total > self.peak:
            self.peak, self.most = self.total, self.now.copy()

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """New arrays in here belong to a part."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before


class Owned:
    """A piece of memory; it goes when the last array on it goes."""

    __slots__ = ("ledger", "part", "size")

    def __init__(self, ledger: Ledger, size: int) -> None:
        self.ledger, self.part, self.size = ledger, ledger.part, -(-size // ledger.grain) * ledger.grain
        ledger.add(self.part, self.size)

    def __del__(self) -> None:
        self.ledger.add(self.part, -self.size)

    def move(self, part: str) -> None:
        """It belongs to another part from now on."""
        self.ledger.add(self.part, -self.size)
        self.part = part
        self.ledger.add(part, self.size)
