"""Joules that a GPU has drawn, by NVML: its counter of energy, or where it has none, its power sampled.

    E(t) = counter                            the whole board, in millijoules since its driver was loaded
    E(t) = Σ ½ (P_k + P_k+1) (t_k+1 − t_k)    power of the whole board in milliwatts, every 20 ms

Either is read before and after what is weighed. Both move some ten times a second, so what is weighed should take a
second or more. The library comes with every driver and is called directly: no package is needed.
Source: NVML API reference (nvmlDeviceGetTotalEnergyConsumption: Volta and later; nvmlDeviceGetPowerUsage).
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"
INTERVAL = 0.02  # s


@dataclass(frozen=True)
class PowerMeter:
    """joules: drawn since some fixed time; source: what counts them."""

    joules: Callable[[], float]
    source: str


@contextlib.contextmanager
def power_meter(gpu: str) -> Iterator[PowerMeter | None]:
    """A meter of the GPU of this UUID ("GPU-…"), None where NVML is not there or says nothing of it."""
    board = Board.find(gpu)
    if board is None:
        yield None
    elif board.energy() is not None:
        yield PowerMeter(lambda: board.energy() or 0.0, "NVML energy counter of the board")
    elif board.power() is not None:
        with Samples(board) as samples:
            yield PowerMeter(samples.joules, f"NVML power of the board, every {INTERVAL * 1e3:.0f} ms")
    else:
        yield None


class Board:
    """One GPU, as NVML sees it."""

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    @classmethod
    def find(cls, gpu: str) -> Board | None:
        """The GPU of a UUID, None where there is no NVML or it knows no such GPU."""
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError:
            return None
        handle = ctypes.c_void_p()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(gpu.encode(), ctypes.byref(handle)):
            return None
        return cls(library, handle)

    def energy(self) -> float | None:
        """Joules since the driver was loaded, None where they are not counted."""
        found = ctypes.c_ulonglong()
        failed = self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(found))
        return None if failed else found.value / 1e3

    def power(self) -> float | None:
        """Watts now, None where they are not measured."""
        found = ctypes.c_uint()
        failed = self._library.nvmlDeviceGetPowerUsage(self._handle, ctypes.byref(found))
        return None if failed else found.value / 1e3


class Samples:
    """Integral of a board's power by the trapezoidal rule, sampled by a thread while the context lasts."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock, self._over = threading.Lock(), threading.Event()
        self._joules, self._watts, self._at = 0.0, board.power() or 0.0, time.perf_counter()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Samples:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        self._thread.join()

    def joules(self) -> float:
        """Drawn since the beginning, up to now."""
        with self._lock:
            watts, now = self._board.power(), time.perf_counter()
            if watts is not None:
                self._joules += 0.5 * (self._watts + watts) * (now - self._at)
                self._watts, self._at = watts, now
            return self._joules

    def _follow(self) -> None:
        while not self._over.wait(INTERVAL):
            self.joules()
