"""A circuit whose cells follow the laws of transistors: what a device-level netlist has, as far as it is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..devices.laws import displaced
from .coupling import Coupling
from .product import Product
from .rectifier import Rectifier
from .softmax import Softmax
from .tanh_pair import TanhPair
from .transistor import TransistorCoupling, of_transistors
from .transistor_feedback import common_mode, feedback_of_transistors
from .transistor_line import line_of_transistors
from .transistor_product import product_of_transistors
from .transistor_softmax import softmax_of_transistors
from .transistor_transfer import rectifier_of_transistors, tanh_of_transistors

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard


def machine_of_transistors(
    circuit: Circuit, card: DeviceCard, *, feedback: bool = True, centre: float = 0.8
) -> Circuit:
    """All couplings, products and feedback devices of a circuit by the laws of a card's transistors.

    centre [V]: gates of a product at control 0. feedback: whether feedback devices bend. Tanh pairs, rectifiers and
    softmax units stay ideal where the card has no cell of theirs.
    """
    pair = card.pair or card
    free = [node for node in circuit.arrays.values() if not node.clamped and not node.is_inner]
    seen: dict[str, DeviceCard] = {}
    if feedback and card.unit == "pair":
        seen = {node.name: displaced(pair, *common_mode(node, circuit, pair)) for node in free}
    terms: list[Any] = []
    inner: list[Any] = []
    for term in circuit.terms.values():
        if isinstance(term, Coupling):
            build = line_of_transistors if term.elementwise else seen_by_crossbar
            terms.append(build(term, circuit, card, seen.get(term.source.array)))
        elif isinstance(term, Product):
            bias = card.bias if card.unit == "quad" else centre
            terms.append(product_of_transistors(term, circuit, pair, bias, seen.get(term.b.array)))
        elif isinstance(term, TanhPair) and "tanh" in card.cells:
            more, nodes = tanh_of_transistors(term, circuit, card.cells["tanh"])
            terms, inner = terms + more, inner + nodes
        elif isinstance(term, Rectifier) and "rectifier" in card.cells:
            terms.append(rectifier_of_transistors(term, circuit, pair, card.cells["rectifier"]))
        elif isinstance(term, Softmax) and "softmax" in card.cells:
            more, nodes = softmax_of_transistors(term, circuit, card.cells["softmax"])
            terms, inner = terms + more, inner + nodes
    bends = [feedback_of_transistors(node, circuit, pair) for node in free] if feedback else []
    return circuit.with_terms([*terms, *bends], inner)


def seen_by_crossbar(term: Coupling, circuit: Circuit, card: DeviceCard, seen: DeviceCard | None) -> TransistorCoupling:
    """A dense coupling; seen: the card at its driver's common mode, the gates are those of `card`."""
    found = of_transistors(term, circuit, card)
    if seen is None:
        return found
    return replace(found, card=seen, written=found.control(circuit)).programmed(circuit)
