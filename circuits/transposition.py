"""A matrix of couplings in the adjoint circuit: whose nodes drive it there, and into whose conveyors its columns lead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .cells import Coupling, Transposed, View

if TYPE_CHECKING:
    from .adjoint import Backward

Array = Any


def transpose(back: Backward, term: Coupling) -> None:
    """Adds what `term` is in the adjoint circuit."""
    if not back.seen(term.source):
        return
    if term.elementwise:
        _each(back, term)
        return
    for part in back.parts(term.target):
        rows = term.weight[part.start : part.stop]
        for into, columns in _columns(back, term):
            _add(back, term, View(part.name), into, rows[:, columns].T, f".{part.start}.{columns.start}")


def _add(back: Backward, term: Coupling, source: View, target: str, weight: Array, end: str) -> None:
    kind = Transposed if back.shared else Coupling
    name = back.prefix + term.name
    programmable = term.programmable and not back.shared
    name = name if name not in back.circuit.terms else name + end
    back.circuit.add(kind(name, target, source, weight, False, term.balanced, term.elementwise, programmable))


def _each(back: Backward, term: Coupling) -> None:
    """One coupling a node: from the adjoint of what it drives to that of what it reads."""
    driven, read = back.one(View(term.target)), back.one(term.source)
    assert driven is not None and read is not None
    weight, view = term.weight, View(driven.name, mirrored=term.source.mirrored)
    if np.ndim(weight):
        weight = view.of(np.broadcast_to(weight, back.forward.arrays[term.target].shape)[None])[0]
    _add(back, term, view, read.name, weight, ".each")


def _columns(back: Backward, term: Coupling) -> list[tuple[str, slice]]:
    """(adjoint array, columns of the weight that read what it stands for). Where the view has other axes than its
    array, an array of adjoint nodes in the view's order stands between."""
    view, width = term.source, term.weight.shape[1]
    parts = back.seen(view)
    if not view.axes and not view.groups and (parts[0].shape[-1] == width or len(parts) > 1):
        begin = view.start or 0
        return [(part.name, slice(part.start - begin, part.stop - begin)) for part in parts]
    part = back.one(view)
    assert part is not None
    shape = view.of(np.empty((1, *back.forward.arrays[view.array].shape), bool)).shape[1:]
    inner = next(n for n in range(len(shape)) if math.prod(shape[n:]) == width)
    between = back.beside(f"{part.name}.{term.name}", view.array, (*shape[:inner], width))
    turned = tuple(int(axis) for axis in np.argsort(view.axes)) if view.axes else ()
    back.circuit.couple(
        between, View(between, split=shape[inner:], axes=turned), part.name, 1.0, elementwise=True, programmable=False
    )
    return [(between, slice(0, width))]
