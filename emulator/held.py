"""What observers keep of a run: on the device, and on the host only when it is asked for or there is much of it."""

from __future__ import annotations

from typing import Any

from .backend import Backend

Array = Any
MOST = 256e6  # bytes on the device


class Held:
    """Arrays in lists of an observer's, which are on the host after `fetch`."""

    def __init__(self) -> None:
        self._waiting: list[tuple[list[Array], int]] = []
        self._bytes = 0
        self._backend = Backend()

    def begin(self, backend: Backend) -> None:
        """Where the arrays will be."""
        self._backend = backend

    def keep(self, into: list[Array], value: Array) -> None:
        """Append an array that nobody else writes to or needs to have freed."""
        self._waiting.append((into, len(into)))
        into.append(value)
        self._bytes += value.nbytes
        if self._bytes > MOST:
            self.fetch()

    def fetch(self) -> None:
        """Bring what is on the device to the host, in one transfer."""
        arrays = [into[k] for into, k in self._waiting]
        for (into, k), value in zip(self._waiting, self._backend.fetched(arrays), strict=True):
            into[k] = value
        self._waiting, self._bytes = [], 0

    def __getstate__(self) -> dict[str, Any]:
        """Sent to another process, all is on the host."""
        self.fetch()
        return {"_waiting": [], "_bytes": 0, "_backend": Backend()}
