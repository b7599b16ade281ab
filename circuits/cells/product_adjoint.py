"""What a product is in the adjoint circuit: two products, the forward nodes on their control ports.

    t = K Σ a b        adjoint of a += K Σ b t′,        adjoint of b += K Σ a t′        (t′: adjoint of t)

A square is one device, K Σ a a, whose adjoint 2 K a t′ is one product too.

Devices that err, K (1 + s_a n_b) for each node of a and of b, are in the derivative with their error:

    adjoint of a += s_a K Σ (n_b b) t′        adjoint of b += n_b K Σ (s_a a) t′

so the adjoint of a chip has it, and is exact for that chip. The device of b's adjoint is the forward one, its gate at
the same a, read the other way round. That of a's adjoint has its gate at b: it is another transistor, which here errs
as its twin does. A backward machine that is fabricated draws errors of its own for both, and its gradients are off by
as much; that difference is the devices', not the method's.
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
        both = None if term.errors is None else (term.signs * term.errors, np.ones(1))
        _add(back, term, name, (term.a, of_b), (term.a, of_a), part, out, both, 2.0)
        return
    of = (None, None) if term.errors is None else ((term.errors, term.signs), (term.signs, term.errors))
    _add(back, term, f"{name}.a", (term.b, of_b), (term.a, of_a), part, out, of[0])
    _add(back, term, f"{name}.b", (term.a, of_a), (term.b, of_b), part, out, of[1])


def _add(
    back: Backward, term: Product, name: str, control: tuple[View, str], into: tuple[View, str], part: Part, out: str,
    errors: tuple[Array, Array] | None, factor: float = 1.0,
) -> None:  # fmt: skip
    """Products of the control's nodes and the target's adjoint into that of `into`; errors: by the nodes of both."""
    if back.one(into[0]) is None:
        return
    sizes = term.sizes(back.forward)
    gain, rest = _gain(term, out, into[1], sizes)
    if rest is not None:
        part = _scaled(back, term, part, rest)
    view = back.hold(control[0])
    back.multiply(name, view, f"{control[1]},{out}->{into[1]}", part, into[0], sizes, factor * gain, errors)


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
