"""What observers keep of a run: on the device, and on the host only when it is asked for or there is much of it."""

from __future__ import annotations

from typing import Any

from .backend import Backend

Array = Any
MOST = 256e6  # bytes on the device


class Held:
    """Lists of arrays, by name."""

    keeps = ("lists",)

    def __init__(self) -> None:
        self._lists: dict[str, list[Array]] = {}
        self._waiting: list[tuple[list[Array], int]] = []
        self._bytes = 0
        self._backend = Backend()

    def begin(self, backend: Backend) -> None:
        """Where the arrays will be."""
        self._backend = backend

    def keep(self, name: str, value: Array) -> None:
        """Append to a list an array that nobody else writes to or needs to have freed."""
        into = self._lists.setdefault(name, [])
        self._waiting.append((into, len(into)))
        into.append(value)
        self._bytes += value.nbytes
        if self._bytes > MOST:
            self._fetch()

    @property
    def lists(self) -> dict[str, list[Array]]:
        """All that was kept, on the host."""
        self._fetch()
        return self._lists

    @lists.setter
    def lists(self, lists: dict[str, list[Array]]) -> None:
        self._lists = lists

    def _fetch(self) -> None:
        """Bring what is on the device to the host, in one transfer."""
        arrays = [into[k] for into, k in self._waiting]
        for (into, k), value in zip(self._waiting, self._backend.fetched(arrays), strict=True):
            into[k] = value
        self._waiting, self._bytes = [], 0

    def __getstate__(self) -> dict[str, Any]:
        """Sent to another process, all is on the host."""
        return {"_lists": self.lists, "_waiting": [], "_bytes": 0, "_backend": Backend()}
