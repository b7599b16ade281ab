"""What a product is in the adjoint circuit: two products, the forward nodes on their control ports.

    t = K Σ a b        adjoint of a += K Σ b t′,        adjoint of b += K Σ a t′        (t′: adjoint of t)

A square is one device, K Σ a a, whose adjoint 2 K a t′ is one product too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .term import Array, View

if TYPE_CHECKING:
    from ..backward import Backward, Part
    from .product import Product


def back_through(back: Backward, term: Product) -> None:
    """Adds the products that `term` becomes."""
    part = back.one(View(term.target))
    assert part is not None
    (of_a, of_b), out = term.spec.split("->")[0].split(","), term.spec.split("->")[1]
    name = back.prefix + term.name
    if term.a == term.b and of_a == of_b:
        _add(back, term, name, (term.a, of_b), (term.a, of_a), part, out, 2.0)
        return
    _add(back, term, f"{name}.a", (term.b, of_b), (term.a, of_a), part, out, 1.0)
    _add(back, term, f"{name}.b", (term.a, of_a), (term.b, of_b), part, out, 1.0)


def _add(
    back: Backward, term: Product, name: str, control: tuple[View, str], into: tuple[View, str], part: Part, out: str,
    factor: float,
) -> None:  # fmt: skip
    """Products of the control's nodes and the target's adjoint into that of `into`."""
    if back.one(into[0]) is None:
        return
    sizes = term.sizes(back.forward)
    gain, rest = _gain(term, out, into[1], sizes)
    if rest is not None:
        part = _scaled(back, term, part, rest)
    view = back.hold(control[0])
    back.multiply(name, view, f"{control[1]},{out}->{into[1]}", part, into[0], sizes, factor * gain)


def _gain(term: Product, out: str, into: str, sizes: dict[str, int]) -> tuple[Array, Array | None]:
    """(gain by the letters of `into`, None), or (1, gain of each node of the target) where it varies along others."""
    if np.ndim(term.gain) == 0:
        return float(term.gain), None
    gain = np.broadcast_to(term.gain, term.shape)
    each = gain.reshape([sizes[i] for i in out])
    for axis, letter in enumerate(out):
        if letter not in into and np.ptp(each, axis=axis).any():
            return 1.0, gain
    kept = [i for i in out if i in into]
    each = each[tuple(slice(None) if i in into else 0 for i in out)]
    order = [kept.index(i) for i in into if i in kept]
    return each.transpose(order).reshape([sizes[i] if i in kept else 1 for i in into]), None


def _scaled(back: Backward, term: Product, part: Part, gain: Array) -> Part:
    """An array of `gain` times the adjoint of the target."""
    scaled = f"{back.prefix}{term.name}.scaled"
    if scaled not in back.circuit.arrays:
        back.beside(scaled, term.target)
        back.circuit.couple(scaled, part.name, scaled, gain.copy(), elementwise=True, programmable=False)
    return replace(part, name=scaled)
