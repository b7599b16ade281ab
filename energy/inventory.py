"""What a circuit is made of, array by array: what a chip must have for it, and what it reads from elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..circuits.cells import Term, View
from ..circuits.circuit import Circuit
from ..circuits.technology import Technology
from .account import driver_counts

BLOCK = re.compile(r"^([a-z]+\.)(\d+)\b")  # of layers h.0, layers.31 and of what is in them


@dataclass(frozen=True)
class Read:
    """Values of another array that one of the cells reads: it falls into so many blocks, each of which reads its own
    share of them."""

    array: str
    values: int
    blocks: int


@dataclass(frozen=True)
class Piece:
    """The nodes of one array with all that drives them.

    Attributes:
        array, layer: their names.
        nodes: nodes that exist; 0 of inputs, which belong to the converters.
        units: coupling units, through which nodes drive current into these: couplings and products.
        counts: cells by kind ("coupling", "product", "tanh", …).
        weights: programmed values; distinct: those of them that are not the same at every position.
        held: keys and values on hold capacitors.
        together: nodes that must stand on one chip.
        silicon: area [m²] of nodes, cells, conveyors, and of the buffers behind these nodes.
        reads: what its cells read.
    """

    array: str
    layer: str
    nodes: int
    units: int
    counts: Mapping[str, int]
    weights: int
    distinct: int
    held: int
    together: int
    silicon: float
    reads: tuple[Read, ...]


def inventory(circuit: Circuit, technology: Technology) -> list[Piece]:
    """One piece an array, in the order in which they were added. Tails are inside their softmax units."""
    drivers = driver_counts(circuit, technology)
    return [
        _piece(circuit, technology, name, drivers.get(name, 0))
        for name, node in circuit.arrays.items()
        if not node.is_inner
    ]


def deep(pieces: list[Piece], layers: int) -> list[Piece]:
    """The pieces of a circuit with so many blocks, from those of one whose middle block stands for all but the first
    and the last (`sketch`)."""
    labels = list(dict.fromkeys(piece.layer for piece in pieces if BLOCK.fullmatch(piece.layer)))
    more = layers - len(labels)
    if more <= 0:
        return pieces
    begin, end = (next(i for i, piece in enumerate(pieces) if piece.layer == label) for label in labels[-2:])
    repeated = [_shifted(piece, by) for by in range(more + 1) for piece in pieces[begin:end]]
    return pieces[:begin] + repeated + [_shifted(piece, more) for piece in pieces[end:]]


def _shifted(piece: Piece, by: int) -> Piece:
    """The same piece so many blocks later."""
    reads = tuple(replace(read, array=_renamed(read.array, by)) for read in piece.reads)
    return replace(piece, array=_renamed(piece.array, by), layer=_renamed(piece.layer, by), reads=reads)


def _renamed(name: str, by: int) -> str:
    """ "h.1.mlp.act" → "h.3.mlp.act"; names outside of blocks stay."""
    return BLOCK.sub(lambda found: f"{found[1]}{int(found[2]) + by}", name, count=1)


def _piece(circuit: Circuit, technology: Technology, name: str, buffers: int) -> Piece:
    node, terms = circuit.arrays[name], circuit.into(name)
    counts: Counter[str] = Counter()
    for term in terms:
        counts[term.kind] += term.count(circuit)
    conveyors = node.count if any(term.conveyed for term in terms) else 0
    silicon = node.area(technology) + sum(term.area(circuit, technology) for term in terms)
    silicon += buffers * technology.buffer.area + conveyors * technology.conveyor.area
    return Piece(
        array=name,
        layer=node.layer,
        nodes=0 if node.clamped and not node.stored else node.count,
        units=sum(term.count(circuit) for term in terms if term.drivers()),
        counts=dict(counts),
        weights=sum(term.weights(circuit) for term in terms),
        distinct=sum(term.weights(circuit) for term in terms) // max(1, prod(node.shape[:-1])),
        held=node.count if node.clamped and node.stored else 0,
        together=max((term.together(circuit) for term in terms), default=1),
        silicon=silicon,
        reads=tuple(
            Read(view.array, _values(circuit, view), term.blocks(circuit))
            for term in terms
            for view in _outside(circuit, term)
        ),
    )


def _outside(circuit: Circuit, term: Term) -> list[View]:
    """Nodes that a cell reads: not its own target, and not the tails inside softmax units."""
    return [
        view for view in dict.fromkeys(term.sources)
        if view.array != term.target and not circuit.arrays[view.array].is_inner
    ]  # fmt: skip


def _values(circuit: Circuit, view: View) -> int:
    """Nodes of a view that exist."""
    return int(np.count_nonzero(view.of(circuit.arrays[view.array].present[None])))
