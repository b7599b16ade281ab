"""Pieces of a circuit on chips, filled one after another in the order of the circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..circuits.errors import Error
from ..circuits.technology import Technology
from .inventory import Piece
from .machine import Machine

NAMES = ("nodes", "couplings", "m² of silicon")
EXACT = 1e-9  # relative: shares of an array are not whole numbers


@dataclass(frozen=True)
class Span:
    """The first and the last chip that hold a piece."""

    first: int
    last: int

    @property
    def chips(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Room:
    """On one chip: (nodes, couplings, silicon [m²]), and couplings that one node may have."""

    most: tuple[float, float, float]
    fan_in: float


@dataclass(frozen=True)
class Packing:
    """span: of each piece, by its array; chips: in all; used: nodes, couplings, silicon; cut: nodes that were cut
    into partial sums; partial: nodes that these are."""

    span: dict[str, Span]
    chips: int
    used: tuple[float, float, float]
    cut: int
    partial: int


def room_of(machine: Machine, technology: Technology) -> Room:
    """What one chip holds. Raises Error for a chip filled by area that its converters fill already."""
    chip, converter = machine.chip, technology.converter
    fan_in = math.inf if chip.fan_in is None else chip.fan_in
    if chip.nodes is not None and chip.couplings is not None:
        return Room((chip.nodes, chip.couplings, math.inf), fan_in)
    taken = converter.dac_count * converter.dac_area + converter.adc_count * converter.adc_area
    if taken >= chip.area:
        raise Error(
            f"chip.area of {machine.name} is {chip.area * 1e6:.4g} mm², its converters take {taken * 1e6:.4g} mm²: "
            "raise it, or lower converter.dac_count and converter.adc_count"
        )
    return Room((math.inf, math.inf, chip.area - taken), fan_in)


def pack(pieces: Sequence[Piece], room: Room, technology: Technology, where: str) -> Packing:
    """Chips as they are filled. where: what errors call the machine.

    Raises Error for nodes that must be on one chip and do not fit.
    """
    span: dict[str, Span] = {}
    free, chip = list(room.most), 0
    used, cut, partial = [0.0, 0.0, 0.0], 0, 0
    for piece in pieces:
        parts = _parts(piece, room)
        cut += piece.nodes if parts else 0
        partial += piece.nodes * parts
        whole = _demand(piece, parts, technology)
        groups = max(1, piece.nodes // piece.together)
        each = [need / groups for need in whole]
        most = _fitting(room.most, each, groups)
        if not most:
            raise _short(piece, room, each, where)
        now = _fitting(free, each, groups)
        first = chip if now else chip + 1
        left = groups - now
        if left:
            further = math.ceil(left / most)
            chip += further
            free, now = list(room.most), left - (further - 1) * most
        free = [there - now * need for there, need in zip(free, each, strict=True)]
        used = [before + need for before, need in zip(used, whole, strict=True)]
        span[piece.array] = Span(first, chip)
    return Packing(span, chip + 1, (used[0], used[1], used[2]), cut, partial)


def _parts(piece: Piece, room: Room) -> int:
    """Partial sums of one node of a piece; 0: it is not cut. Its nodes' couplings are taken to be equally many."""
    row = piece.units / max(1, piece.nodes)
    return math.ceil(row / room.fan_in) if row > room.fan_in else 0


def _demand(piece: Piece, parts: int, technology: Technology) -> tuple[float, float, float]:
    """(nodes, couplings, silicon) of a piece whose nodes are cut into so many parts."""
    more = piece.nodes * parts
    area = technology.node.area + technology.coupling.area + technology.conveyor.area + technology.buffer.area
    return piece.nodes + more, piece.units + more, piece.silicon + more * area


def _fitting(there: Sequence[float], each: Sequence[float], groups: int) -> int:
    """How many of so many groups fit."""
    return int(min([groups, *(have / need * (1 + EXACT) for have, need in zip(there, each, strict=True) if need)]))


def _short(piece: Piece, room: Room, each: Sequence[float], where: str) -> Error:
    """What is short for nodes that must be on one chip, and by how much."""
    have, need, name = max(zip(room.most, each, NAMES, strict=True), key=lambda found: found[1] / max(1e-30, found[0]))
    rows = f"a row of {piece.together} nodes of {piece.array!r}, which share a softmax," if piece.together > 1 else (
        f"a node of {piece.array!r}"
    )  # fmt: skip
    return Error(
        f"{rows} needs {need:,.6g} {name} on one chip, {where} has {have:,.6g}, {need - have:,.6g} too few: "
        "take fewer tokens, or a machine with larger chips"
    )
