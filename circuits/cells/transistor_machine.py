"""A circuit whose cells follow the laws of transistors: what a device-level netlist has, as far as it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .coupling import Coupling
from .mos.coupling import fingers
from .product import Product
from .rectifier import Rectifier
from .softmax import Softmax
from .tanh_pair import TanhPair
from .transistor import of_transistors
from .transistor_feedback import feedback_of_transistors
from .transistor_line import line_of_transistors
from .transistor_product import product_of_transistors
from .transistor_softmax import softmax_of_transistors
from .transistor_transfer import rectifier_of_transistors, tanh_of_transistors
from .transit import behind

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard

CONTROL = 0.05  # V either way, of a product's gates: where their slopes are taken


def machine_of_transistors(
    circuit: Circuit, card: DeviceCard, *, feedback: bool = True, centre: float = 0.8
) -> Circuit:
    """All couplings, products and feedback devices of a circuit by the laws of a card's transistors.

    centre [V]: gates of a product at control 0. feedback: whether feedback devices bend. Tanh pairs, rectifiers and
    softmax units stay ideal where the card has no cell of theirs; couplings and products follow at once where it has no
    `transit`.
    """
    pair = card.pair or card
    free = [node for node in circuit.arrays.values() if not node.clamped and not node.is_inner]
    terms: list[Any] = []
    inner: list[Any] = []

    def add(found: tuple[Any, Any]) -> None:
        terms.extend(found[0])
        inner.extend(found[1])

    def late(term: Any, end: str, gates: tuple[Any, ...]) -> tuple[Any, Any]:
        transit = card.cells.get("transit")
        return ([term], []) if transit is None else behind(term, end, circuit, transit.late(*gates))

    for term in circuit.terms.values():
        if isinstance(term, Coupling):
            build = line_of_transistors if term.elementwise else of_transistors
            add(late(build(term, circuit, card), "source", _gates(term, circuit, card)))
        elif isinstance(term, Product):
            bias = card.bias if card.unit == "quad" else centre
            built = product_of_transistors(term, circuit, pair, bias)
            add(late(built, "b", (np.array(bias + CONTROL), np.array(bias - CONTROL))))
        elif isinstance(term, TanhPair) and "tanh" in card.cells:
            add(tanh_of_transistors(term, circuit, card.cells["tanh"]))
        elif isinstance(term, Rectifier) and "rectifier" in card.cells:
            terms.append(rectifier_of_transistors(term, circuit, pair, card.cells["rectifier"]))
        elif isinstance(term, Softmax) and "softmax" in card.cells:
            add(softmax_of_transistors(term, circuit, card.cells["softmax"]))
    bends = [feedback_of_transistors(node, circuit, card) for node in free] if feedback else []
    return circuit.with_terms([*terms, *bends], inner)


def _gates(term: Coupling, circuit: Circuit, card: DeviceCard) -> tuple[Any, ...]:
    """Gate voltages of a coupling's transistors; of a quad those of both its pairs."""
    siemens = np.abs(term.siemens(circuit))
    control = card.control(siemens[siemens > 0] / fingers(card, float(siemens.max())))
    return (card.bias + control / 2, card.bias - control / 2) if card.unit == "quad" else (control,)
