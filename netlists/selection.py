"""Which part of a circuit: a tile `TERM[rows,columns]` at a position, a block `PREFIX`, or the whole.

A selection becomes a circuit of its own: the chosen nodes with the terms that drive them, and every array that they
only read as a clamped input. Solver, writer and cross-check then need no notion of a part.

tile:  the term's own couplings between rows (driven nodes) and columns (driving nodes) of one position, with bias,
       feedback and rail of the driven nodes. Other terms into them, and other columns, are not part of it: the tile's
       voltages are those of such a tile on a bench, not those of the machine.
block: every array that a term under the prefix drives, with all that drives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..circuits.cells import Term
from ..circuits.circuit import Circuit
from ..circuits.errors import Error

Array = Any
TILE = re.compile(r"(?P<term>.+)\[\s*(\d*)\s*:\s*(\d*)\s*,\s*(\d*)\s*:\s*(\d*)\s*\]", re.S)


@dataclass(frozen=True)
class Tile:
    """Rows (driven nodes) and columns (driving nodes) of a term, first and one past the last."""

    term: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.term}[{self.rows[0]}:{self.rows[1]},{self.columns[0]}:{self.columns[1]}]"


@dataclass(frozen=True)
class Block:
    """Every term under a prefix."""

    prefix: str

    def __str__(self) -> str:
        return self.prefix


Selection = Tile | Block


def parse_selection(text: str, circuit: Circuit) -> Selection:
    """`TERM[0:8,0:8]` or `PREFIX`, checked against the circuit.

    Raises Error for bad syntax, unknown terms and prefixes (with close matches), and ranges beyond the term.
    """
    if "[" in text and text not in circuit.terms:
        return _parse_tile(text, circuit)
    if not any(_under(name, text) for term in circuit.terms.values() for name in _labels(circuit, term)):
        raise Error(f"no term of {circuit.name!r} is under {text!r}: {_hint(text, _prefixes(circuit))}")
    return Block(text)


def _parse_tile(text: str, circuit: Circuit) -> Tile:
    found = TILE.fullmatch(text)
    if found is None:
        raise Error(f"tile {text!r} is not understood: write TERM[rows,columns], such as h.0.mlp.c_fc[0:8,0:8]")
    name = found["term"]
    if name not in circuit.terms:
        raise Error(f"{circuit.name!r} has no term {name!r}: {_hint(name, circuit.terms)}")
    term = circuit.terms[name]
    if not term.sources:
        raise Error(f"term {name!r} reads no nodes, so it has no tiles: choose a coupling, or a block")
    sizes = (circuit.arrays[term.target].shape[-1], term.columns(circuit))
    spans = []
    for what, first, last, size in zip(
        ("rows", "columns"), found.groups()[1::2], found.groups()[2::2], sizes, strict=True
    ):
        span = (int(first or 0), int(last or size))
        if not span[0] < span[1] <= size:
            raise Error(f"tile {text!r}: {what} {span[0]}:{span[1]} are outside 0:{size} of term {name!r}, or empty")
        spans.append(span)
    return Tile(name, spans[0], spans[1])


def _labels(circuit: Circuit, term: Term) -> tuple[str, ...]:
    return term.name, term.target, circuit.arrays[term.target].layer


def _under(name: str, prefix: str) -> bool:
    return bool(prefix) and (name == prefix or name.startswith(prefix + "."))


def _prefixes(circuit: Circuit) -> set[str]:
    words = [name.split(".") for name in circuit.terms]
    return {".".join(word[:n]) for word in words for n in range(1, len(word) + 1)}


def _hint(text: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(text, names, n=3, cutoff=0.4) or names[:3]
    return "did you mean " + ", ".join(repr(name) for name in close) + "?" if close else "it has no terms"


# --- the part as a circuit ------------------------------------------------------------------------------


def part_of(circuit: Circuit, selection: Selection, position: int | None) -> Circuit:
    """The selection as a circuit of its own; arrays that it only reads are clamped."""
    if isinstance(selection, Block):
        if position is not None:
            raise Error(
                f"position {position} with the block {selection.prefix!r}: a block has all positions, leave it out"
            )
        return _block(circuit, selection.prefix)
    return _tile(circuit, selection, position)


def _block(circuit: Circuit, prefix: str) -> Circuit:
    chosen = [t for t in circuit.terms.values() if any(_under(name, prefix) for name in _labels(circuit, t))]
    return subcircuit(circuit, {term.target for term in chosen})


def subcircuit(circuit: Circuit, free: set[str]) -> Circuit:
    """Arrays `free` with all that drives them; what they read beside is clamped."""
    terms = {t.name: t for t in circuit.terms.values() if t.target in free}
    needs = circuit.all_needs()
    needed = free.union(*(needs[name] for name in free))
    arrays = {n: a for n, a in circuit.arrays.items() if n in needed}
    output = circuit.output if circuit.output in free else None
    return replace(circuit, arrays=arrays, terms=terms, output=output).clamped(*(needed - free))


def acting(circuit: Circuit) -> Circuit:
    """The circuit without the terms that drive clamped arrays: the run holds those, whatever pushes."""
    terms = {t.name: t for t in circuit.terms.values() if not circuit.arrays[t.target].clamped}
    return replace(circuit, terms=terms)


def upstream(circuit: Circuit, names: Iterable[str]) -> Circuit:
    """All that these arrays depend on, themselves included."""
    found, todo = set[str](), [name for name in names if not circuit.arrays[name].clamped]
    needs = circuit.all_needs()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [n for n in needs[name] if not circuit.arrays[n].clamped]
    return subcircuit(circuit, found)


def _tile(circuit: Circuit, tile: Tile, position: int | None) -> Circuit:
    term = circuit.terms[tile.term]
    target = circuit.arrays[term.target]
    lead, width = target.shape[:-1], target.shape[-1]
    place = _place(lead, position, term.name)
    rows, columns = _mask(width, tile.rows), _mask(term.columns(circuit), tile.columns)
    here = np.zeros((int(np.prod(lead)), width), bool)
    here[place] = rows
    here = here.reshape(target.shape) & target.present
    part = subcircuit(circuit, {target.name})
    kept = {t.name: t for t in part.terms.values() if not t.sources} | {term.name: term.tile(rows, columns)}
    arrays = dict(part.arrays) | {target.name: replace(target, exists=here)}
    for name, seen in _driving(circuit, term, place, columns).items():
        node = circuit.arrays[name]
        if name == target.name:
            raise Error(f"term {term.name!r} drives the array that it reads: write the block or the whole circuit")
        arrays[name] = replace(arrays[name], exists=seen & node.present)
    part = replace(part, arrays=arrays, terms=kept)
    used = {target.name} | part.needs(target.name)
    return replace(part, arrays={name: node for name, node in part.arrays.items() if name in used})


def _place(lead: tuple[int, ...], position: int | None, term: str) -> int:
    """Index of the position among the leading axes of the driven array; the last by default."""
    count = int(np.prod(lead))
    if position is None:
        return count - 1
    if not 0 <= position < count:
        raise Error(f"position {position} is outside 0 … {count - 1} of term {term!r}: choose one inside")
    return position


def _mask(length: int, span: tuple[int, int]) -> Array:
    index = np.arange(length)
    return (index >= span[0]) & (index < span[1])


def _driving(circuit: Circuit, term: Term, place: int, columns: Array) -> dict[str, Array]:
    """Masks of the nodes that the tile's columns are, by array; arrays read by other ports are seen whole."""
    view = term.sources[-1]
    shape = circuit.arrays[view.array].shape
    index = view.of(np.arange(int(np.prod(shape))).reshape(1, *shape))[0]
    flat = index.reshape(-1, len(columns))
    target = circuit.arrays[term.target].shape
    positions = int(np.prod(target[:-1]))
    chosen = flat[place : place + 1] if len(flat) == positions else flat
    seen = np.zeros(int(np.prod(shape)), bool)
    seen[chosen[:, columns].reshape(-1)] = True
    found = {v.array: np.ones(circuit.arrays[v.array].shape, bool) for v in term.sources[:-1]}
    own = seen.reshape(shape)
    return found | {view.array: own if view.array not in found else found[view.array]}
