"""A circuit whose cells follow the laws of transistors: what a device-level netlist has, as far as it is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..devices.laws import displaced
from ..errors import Error
from .coupling import Coupling
from .product import Product
from .rectifier import Rectifier
from .softmax import Softmax
from .tail import TailDrive
from .tanh_pair import TanhPair
from .transistor import TransistorCoupling
from .transistor_built import of_transistors
from .transistor_feedback import common_mode, feedback_of_transistors
from .transistor_line import line_of_transistors
from .transistor_product import product_of_transistors
from .transistor_softmax import softmax_of_transistors
from .transistor_transfer import rectifier_of_transistors, tanh_of_transistors

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard


def machine_of_transistors(
    circuit: Circuit, card: DeviceCard, *, pair: DeviceCard | None = None, feedback: bool = True, centre: float = 0.8
) -> Circuit:
    """All couplings, products and feedback devices of a circuit by the laws of a card's transistors.

    card: of couplings; pair: of products and feedback devices (None: `card` itself, or the pair of a quad). centre [V]:
    gates of a product at control 0. feedback: whether feedback devices bend. Tanh pairs, rectifiers and softmax units
    stay ideal where the card has no cell of theirs.

    Raises Error for couplings of singles without the card of a pair.
    """
    pair = pair or card.pair or card
    if pair.unit != "pair":
        raise Error(f"couplings are of unit {card.unit!r}: give the card of a pair for feedback devices, pair=…")
    free = [node for node in circuit.arrays.values() if not node.clamped and not node.is_tail]
    moved = {node.name: common_mode(node, circuit, pair) for node in free} if feedback else {}
    seen, of_pair = ({name: displaced(each, *c) for name, c in moved.items()} for each in (card, pair))
    terms: list[Any] = []
    for term in circuit.terms.values():
        if isinstance(term, Coupling):
            build = line_of_transistors if term.elementwise else seen_by_crossbar
            terms.append(build(term, circuit, card, seen.get(term.source.array)))
        elif isinstance(term, Product):
            bias = card.bias if card.unit == "quad" else centre
            terms.append(product_of_transistors(term, circuit, pair, bias, of_pair.get(term.b.array)))
        elif isinstance(term, TanhPair) and "tanh" in card.cells:
            terms.append(tanh_of_transistors(term, card.cells["tanh"]))
        elif isinstance(term, Rectifier) and "rectifier" in card.cells:
            terms.append(rectifier_of_transistors(term, circuit, pair, card.cells["rectifier"]))
        elif isinstance(term, Softmax) and "softmax" in card.cells:
            pairs = softmax_of_transistors(term, circuit, card.cells["softmax"])
            tail = [] if term.tail is None else [TailDrive(term.tail.array, term.tail.array, pairs)]
            terms += [pairs, *tail]
    bends = [feedback_of_transistors(node, circuit, pair) for node in free] if feedback else []
    return circuit.with_terms([*terms, *bends])


def seen_by_crossbar(term: Coupling, circuit: Circuit, card: DeviceCard, seen: DeviceCard | None) -> TransistorCoupling:
    """A dense coupling; seen: the card at its driver's common mode, the gates are those of `card`."""
    found = of_transistors(term, circuit, card)
    if seen is None:
        return found
    return replace(found, card=seen, written=found.control(circuit)).programmed(circuit)
