"""A circuit whose cells follow the laws of transistors: what a device-level netlist has, as far as it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .coupling import Coupling
from .product import Product
from .rectifier import Rectifier
from .tanh_pair import TanhPair
from .transistor import of_transistors
from .transistor_feedback import feedback_of_transistors
from .transistor_line import line_of_transistors
from .transistor_product import product_of_transistors
from .transistor_transfer import rectifier_of_transistors, tanh_of_transistors

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard


def machine_of_transistors(circuit: Circuit, card: DeviceCard, *, feedback: bool = True, centre: float = 0.8) -> Circuit:
    """All couplings, products and feedback devices of a circuit by the laws of a card's transistors.

    centre [V]: gates of a product at control 0. feedback: whether feedback devices bend.
    """
    pair = card.pair or card
    terms: list[Any] = []
    for term in circuit.terms.values():
        if isinstance(term, Coupling):
            build = line_of_transistors if term.elementwise else of_transistors
            terms.append(build(term, circuit, card))
        elif isinstance(term, Product):
            terms.append(product_of_transistors(term, circuit, pair, card.bias if card.unit == "quad" else centre))
        elif isinstance(term, TanhPair) and "tanh" in card.cells:
            terms.append(tanh_of_transistors(term, card.cells["tanh"]))
        elif isinstance(term, Rectifier) and "rectifier" in card.cells:
            terms.append(rectifier_of_transistors(term, circuit, pair, card.cells["rectifier"]))
    free = [node for node in circuit.arrays.values() if not node.clamped and not node.is_tail] if feedback else []
    return circuit.with_terms([*terms, *(feedback_of_transistors(node, circuit, pair) for node in free)])
