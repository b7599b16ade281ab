"""A circuit whose cells follow the laws of transistors: what a device-level netlist has, as far as it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Error
from .channel import check_poles_come_later
from .coupling import Coupling
from .lift import Lift, lift_of, overdrive
from .mos.coupling import fingers
from .product import Product
from .rectifier import Rectifier
from .softmax import Softmax
from .tanh_pair import TanhPair
from .transistor_built import of_transistors
from .transistor_feedback import feedback_of_transistors
from .transistor_line import line_of_transistors
from .transistor_product import product_of_transistors
from .transistor_softmax import softmax_of_transistors
from .transistor_transfer import rectifier_of_transistors, tanh_of_transistors
from .transit import behind

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .node import NodeArray

CONTROL = 0.05  # V either way, of a product's gates: where their slopes are taken


def machine_of_transistors(
    circuit: Circuit, card: DeviceCard, *, pair: DeviceCard | None = None, feedback: bool = True, centre: float = 0.8
) -> Circuit:
    """All couplings, products and feedback devices of a circuit by the laws of a card's transistors.

    card: of couplings; pair: of products and feedback devices (None: `card` itself, or the pair of a quad). centre [V]:
    gates of a product at control 0. feedback: whether feedback devices bend. Tanh pairs, rectifiers and softmax units
    stay ideal where the card has no cell of theirs; couplings and products follow at once where it has no `transit`.

    Raises Error for couplings of singles without the card of a pair.
    """
    check_poles_come_later(circuit, "machine_of_transistors")
    pair = pair or card.pair or card
    if pair.unit != "pair":
        raise Error(f"couplings are of unit {card.unit!r}: give the card of a pair for feedback devices, pair=…")
    free = [node for node in circuit.arrays.values() if not node.clamped and not node.is_inner]
    terms: list[Any] = []
    inner: list[Any] = []

    def add(found: tuple[Any, Any]) -> None:
        terms.extend(found[0])
        inner.extend(found[1])

    feeding = replace(pair, cells={**card.cells, **pair.cells})
    lifts = _lifts(free, circuit, feeding, add) if feedback else {}

    def late(term: Any, end: str, gates: tuple[Any, ...]) -> tuple[Any, Any]:
        transit = card.cells.get("transit")
        return ([term], []) if transit is None else behind(term, end, circuit, transit.late(*gates))

    def lifted(term: Any, gates: tuple[Any, ...]) -> tuple[Any, Any]:
        """Late, and weaker while its drivers' sides are lifted."""
        found, inner = late(term, "source", gates)
        lift = lifts.get(term.source.array)
        if lift is not None and inner and term.card.unit != "quad":
            lost = lift.body * overdrive(term.card, gates[0]) * lift.volts
            found[0] = replace(found[0], control=lift.control, late=lift.late, lost=lost)
        return found, inner

    for term in circuit.terms.values():
        if isinstance(term, Coupling):
            build = line_of_transistors if term.elementwise else of_transistors
            add(lifted(build(term, circuit, card), _gates(term, circuit, card)))
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
    for node in free if feedback else ():
        terms.append(feedback_of_transistors(node, circuit, feeding, lifts.get(node.name)))
    return circuit.with_terms(terms, inner)


def _lifts(
    nodes: list[NodeArray], circuit: Circuit, card: DeviceCard, add: Callable[[tuple[Any, Any]], None]
) -> dict[str, Lift]:
    """How far sides stand above V_CM, by array, where it is known; what that takes is added."""
    lifts = {}
    for node in nodes:
        found = lift_of(node, circuit, card)
        if found is not None:
            lifts[node.name] = found[0]
            add(([found[1]], [found[2]]))
    return lifts


def _gates(term: Coupling, circuit: Circuit, card: DeviceCard) -> tuple[Any, ...]:
    """Gate voltages of a coupling's transistors; of a quad those of both its pairs."""
    siemens = np.abs(term.siemens(circuit))
    control = card.control(siemens[siemens > 0] / fingers(card, float(siemens.max())))
    return (card.bias + control / 2, card.bias - control / 2) if card.unit == "quad" else (control,)
