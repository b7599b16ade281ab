"""A matrix of couplings in the adjoint circuit: whose nodes drive it there, and whose conveyors hold its columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .cells import Coupling, Transposed, View

if TYPE_CHECKING:
    from .backward import Backward

Array = Any


def transpose(back: Backward, term: Coupling) -> None:
    """Adds what `term` is in the adjoint circuit."""
    if not back.seen(term.source):
        return
    if term.elementwise:
        _each(back, term)
        return
    driven, read = back.parts(term.target), _columns(back, term)
    for part in driven:
        rows, row = term.weight[part.start : part.stop], f".{part.start}" if len(driven) > 1 else ""
        for into, columns in read:
            column = f".{columns.start}" if len(read) > 1 else ""
            _add(back, term, row + column, View(part.name), into, rows[:, columns].T)


def _add(back: Backward, term: Coupling, end: str, source: View, target: str, weight: Array) -> None:
    kind, name = Transposed if back.shared else Coupling, back.prefix + term.name + end
    programmable = term.programmable and not back.shared
    back.circuit.add(kind(name, target, source, weight, False, term.balanced, term.elementwise, programmable))


def _each(back: Backward, term: Coupling) -> None:
    """One coupling a node: from the adjoint of what it drives to that of what it reads."""
    driven, read = back.one(View(term.target)), back.one(term.source)
    assert driven is not None and read is not None
    weight, view = term.weight, View(driven.name, mirrored=term.source.mirrored)
    if np.ndim(weight):
        each = np.broadcast_to(weight, back.forward.arrays[term.target].shape)
        weight = view.of(each.reshape(1, *driven.shape))[0]
    _add(back, term, "", view, read.name, weight)


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
    units = view.of(back.forward.units(view.array)[None])[0]
    shape = units.shape
    inner = next(n for n in range(len(shape)) if math.prod(shape[n:]) == width)
    between = back.beside(f"{part.name}.{term.name}", view.array, (*shape[:inner], width))
    back.circuit.origin[between] = units.reshape(*shape[:inner], width)
    turned = tuple(int(axis) for axis in np.argsort(view.axes)) if view.axes else ()
    back.circuit.couple(
        between, View(between, split=shape[inner:], axes=turned), part.name, 1.0, elementwise=True, programmable=False
    )
    return [(between, slice(0, width))]
