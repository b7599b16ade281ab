"""Weights larger than the device's memory: they stay on the host and pass by, group by group.

Every group's arrays stand in one block on the host. The device has two rooms, each as large as the largest block that
it takes; groups take turns in them, so that an array is always at the same place, but there only while its group is at
hand. While a group works in one room, the next one's block is copied into the other. A copy waits for the work of the
group that was there before; a group's work waits for its copy; the processor waits for neither.

What passes by is what cells that sum over nodes hold: matrices. What the kernels of an array read stays.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..circuits.cells import Term
from .backend import Backend, moving

Array = Any
ALIGNED = 64  # numbers


class Store:
    """The weights of some groups' terms. loads: how often a group's were copied to the device."""

    def __init__(self, backend: Backend, groups: Sequence[Sequence[Term]]) -> None:
        self.backend, self.loads = backend, 0
        found = [[(term, name, value) for term in terms for name, value in _large(term)] for terms in groups]
        self._blocks = [_block(backend, [value for _, _, value in arrays]) for arrays in found]
        self._turns = [number for number, block in enumerate(self._blocks) if len(block)]
        self._room_of = {number: turn % 2 for turn, number in enumerate(self._turns)}
        self._rooms = [self._room(room) for room in range(2)]
        self._views: dict[str, dict[str, Array]] = {}
        for number, arrays in enumerate(found):
            places = _places([value for _, _, value in arrays])
            for (term, name, value), begin in zip(arrays, places, strict=False):
                view = self._rooms[self._room_of[number]].numbers[begin : begin + value.size].reshape(value.shape)
                self._views.setdefault(term.name, {})[name] = view

    @property
    def blocks(self) -> int:
        """How many groups have any: two stay where they are."""
        return len(self._turns)

    @property
    def nbytes(self) -> tuple[int, int]:
        """(on the host, on the device)."""
        return sum(block.nbytes for block in self._blocks), sum(room.numbers.nbytes for room in self._rooms)

    def placed(self, term: Term) -> Term:
        """As `Backend.place`; what passes by are views of a room."""
        lent = copy.copy(term)
        vars(lent).update(self._views.get(term.name, {}))
        return self.backend.place(lent)

    @contextmanager
    def at_hand(self, number: int) -> Iterator[None]:
        """The weights of a group are on the device in here, those of the next one on their way."""
        if number not in self._room_of:
            yield
            return
        self._bring(number)
        room = self._rooms[self._room_of[number]]
        room.wait()
        after = self._turns[(self._turns.index(number) + 1) % len(self._turns)]
        if self._room_of[after] != self._room_of[number]:
            self._bring(after)
        try:
            yield
        finally:
            room.leave()

    def _bring(self, number: int) -> None:
        room = self._rooms[self._room_of[number]]
        if room.holds != number:
            room.fill(self._blocks[number])
            room.holds = number
            self.loads += 1

    def _room(self, room: int) -> Room:
        size = max((len(self._blocks[number]) for number, at in self._room_of.items() if at == room), default=0)
        return (Room if self.backend.kind == "numpy" else DeviceRoom)(self.backend, size)


class Room:
    """Where one group's weights are at a time; holds: the number of the group."""

    def __init__(self, backend: Backend, size: int) -> None:
        self.backend, self.holds = backend, -1
        self.numbers = backend.xp.empty(size, backend.dtype)

    def fill(self, block: Array) -> None:
        """Copy a block in, when the group that is there has done its work."""
        self.numbers[: len(block)] = block

    def wait(self) -> None:
        """Work from here on needs what was filled in."""

    def leave(self) -> None:
        """Work up to here needed it."""


class DeviceRoom(Room):
    """On a GPU: copies run on a stream of their own."""

    def __init__(self, backend: Backend, size: int) -> None:
        super().__init__(backend, size)
        cuda = backend.xp.cuda
        self._copier = cuda.Stream(non_blocking=True)
        self._filled, self._left = (cuda.Event(disable_timing=True) for _ in range(2))
        self.leave()  # the memory may have been somebody's

    def fill(self, block: Array) -> None:
        self._copier.wait_event(self._left)
        self.numbers.data.copy_from_host_async(block.ctypes.data, block.nbytes, self._copier)
        self._filled.record(self._copier)

    def wait(self) -> None:
        self.backend.xp.cuda.get_current_stream().wait_event(self._filled)

    def leave(self) -> None:
        self._left.record(self.backend.xp.cuda.get_current_stream())


def _large(term: Term) -> Iterator[tuple[str, Array]]:
    """(name, array) of what a term holds and no kernel reads."""
    if not term.sources or term.inline is not None:
        return
    for name, value in moving(term):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
            yield name, value


def _places(arrays: Sequence[Array]) -> list[int]:
    """Where each array begins in a block, and where the block ends."""
    sizes = [math.ceil(array.size / ALIGNED) * ALIGNED for array in arrays]
    return [0, *np.cumsum(sizes).tolist()]


def _block(backend: Backend, arrays: Sequence[Array]) -> Array:
    """Arrays in a row on the host."""
    *begins, size = _places(arrays)
    block = backend.shelf(size)
    block[:] = 0
    for array, begin in zip(arrays, begins, strict=True):
        block[begin : begin + array.size] = array.reshape(-1)
    return block
