"""Conveyors and buffers of a technology, in a circuit: what they let through, how late, and what noise they add.

    conveyor   a node gets α = c/(1 + r_x L) of what is pushed into it, and noise of its own (`cells/node.py`)
    buffer     a cell that asks a node for current sees b/(1 + r_b L) of its volts; inputs stand on ideal drivers

Their gains are the same at all times. With couplings of L = ΣG, all of a node's, at a terminal of r + jωℓ a slow signal
arrives later by

    conveyor   τ_c + ℓ L/(1 + r_x L)        buffer   τ_b + ℓ_b L

which is a lag of what a cell reads, in one with its channels' (`cells/transit.py`), or of its mirrors. One number a
term for buffers and delays, L the mean over its nodes. Inputs stand still and are not late. Ideal softmax units have
nothing that could be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from . import checks
from .cells import InnerNode, NodeArray, Term, TransitNode, behind
from .cells.channel import check_poles_come_later
from .cells.conveyor_errors import ConveyorErrors, Conveyors
from .cells.mos.node import HOLD
from .cells.mos.support import Support
from .cells.transistor_feedback import FeedbackBend
from .circuit import Circuit
from .technology import Technology, as_technology
from .technology_parts import Buffer, Conveyor


def with_followers(circuit: Circuit, technology: Technology | str, *, input_resistance: float | None = None) -> Circuit:
    """A copy of a circuit with a technology's conveyors and buffers. input_resistance: r_x [Ω] instead of its own.

    Raises Error for a circuit whose conveyors have poles: `with_channels` made them for the r_x that they had then.
    """
    checks.made("circuit", circuit, Circuit, "give a Circuit; that of a chip is its .circuit")
    tech = as_technology(technology)
    check_poles_come_later(circuit, "with_followers")
    conveyor = tech.conveyor
    ohms = conveyor.input_resistance if input_resistance is None else input_resistance
    used = {term.target for term in circuit.terms.values() if term.conveyed}
    nodes = [
        replace(
            node,
            input_resistance=ohms,
            current_gain=conveyor.current_gain,
            noise_siemens=conveyor.noise_conductance,
            noise_ohms=conveyor.noise_resistance,
        )
        for node in circuit.arrays.values()
        if node.name in used and not node.clamped and not node.is_inner
    ]
    terms = _buffered(circuit, tech.buffer)
    return _late(circuit.with_terms(terms, nodes), conveyor, tech.buffer)


def with_common_mode(circuit: Circuit, support: Support) -> Circuit:
    """A copy of a circuit behind a class's conveyors and buffers whose cells know where these leave the sides.

    What both conveyors deliver alike goes into the resistors that hold a node, i/2h, and its buffers add their offset.
    Feedback devices and couplings of transistors then have so much less of overdrive, χ times (`cells/lift.py`). Nodes
    of driven feedback are taken as at V_CM, where their amplifier holds them.
    """
    checks.made(
        "support", support, Support, "give transistors_of(card, conveyor='A').support; ideal conveyors leave V_CM alone"
    )
    stands = {}
    bends = {term.target: term for term in circuit.terms.values() if isinstance(term, FeedbackBend)}
    for node in circuit.arrays.values():
        if node.feedback is None and not node.clamped and not node.is_inner:
            held = 2 * node.conductance * float(np.mean(node.ratio)) * (HOLD if node.name in bends else 1.0)
            stands[node.name] = support.common_current / held
    terms: list[Term] = []
    for term in circuit.terms.values():
        if isinstance(term, FeedbackBend):
            terms.append(term.raised(circuit, stands.get(term.target, 0.0)))
        elif _behind(circuit, term):
            above = [stands.get(_driver(circuit, view.array), 0.0) for view in term.drivers()]
            terms.append(term.raised(circuit, float(np.mean(above)) + support.buffer_offset))
    return circuit.with_terms(terms, [])


def with_unequal_conveyors(circuit: Circuit, errors: ConveyorErrors) -> Circuit:
    """A copy of a circuit whose conveyors' transistors differ on a chip that `fabricate` makes by Pelgrom's law: nodes
    are off by what `errors` (`measure_conveyor_errors`) says, with the couplings that hang on them now."""
    checks.made("errors", errors, ConveyorErrors, "give what measure_conveyor_errors returns")
    nodes = []
    for node in circuit.arrays.values():
        if not any(term.conveyed for term in circuit.into(node.name)) or node.clamped or node.is_inner:
            continue
        load = np.broadcast_to(circuit.conveyed_load(node.name), node.shape)
        nodes.append(replace(node, conveyors=Conveyors(errors, load * node.attenuation(load))))
    return circuit.with_terms((), nodes)


def _buffered(circuit: Circuit, buffer: Buffer) -> list[Term]:
    """Cells behind a technology's buffers, but for ideal ones."""
    if buffer.gain == 1 and not buffer.output_resistance:
        return []
    asked = _loads(circuit)[1]
    terms: list[Term] = []
    for term in circuit.terms.values():
        if _behind(circuit, term):
            load = float(np.mean([asked[_driver(circuit, view.array)] for view in term.drivers()]))
            terms.append(term.buffered(circuit, buffer.gain / (1 + buffer.output_resistance * load)))
    return terms


def _behind(circuit: Circuit, term: Term) -> bool:
    """Whether a cell draws its current from nodes, and not from inputs."""
    asked = [circuit.arrays[view.array] for view in term.drivers()]
    return bool(asked) and not any(node.clamped and not node.stored for node in asked)


def _late(circuit: Circuit, conveyor: Conveyor, buffer: Buffer) -> Circuit:
    """With the delays of its conveyors and buffers."""
    if not any((conveyor.delay, conveyor.inductance, buffer.delay, buffer.inductance)):
        return circuit
    driven, asked = _loads(circuit)
    terms: list[Term] = []
    nodes: list[NodeArray] = []
    for term in circuit.terms.values():
        node = circuit.arrays[term.target]
        if not term.conveyed or node.is_inner:
            continue
        load = driven[node.name]
        seconds = conveyor.delay + conveyor.inductance * load / (1 + node.input_resistance * load)
        for name in term.inside:
            mirrors = circuit.arrays[name]
            assert isinstance(mirrors, InnerNode)
            nodes.append(mirrors.later(seconds))
        if term.inside:
            continue
        buffered = {view.array for view in term.drivers()}
        for end in term.ends:
            name = getattr(term, end).array
            more = buffer.delay + buffer.inductance * asked[_driver(circuit, name)] if name in buffered else 0.0
            found, late = behind(term, end, circuit, seconds + more)
            terms += found
            term = found[-1]
            nodes += late
    return circuit.with_terms(terms, nodes)


def _driver(circuit: Circuit, name: str) -> str:
    """The array that drives what a cell reads, whose channels may stand for it."""
    node = circuit.arrays[name]
    return node.stands_for if isinstance(node, TransitNode) else name


def _loads(circuit: Circuit) -> tuple[dict[str, float], dict[str, float]]:
    """(ΣG [S] at a node's conveyor, at its buffer), the mean over each array."""
    driven, asked = (dict.fromkeys(circuit.arrays, 0.0) for _ in range(2))
    for term, siemens in _conducting(circuit):
        driven[term.target] += siemens / circuit.arrays[term.target].count
        for name in {_driver(circuit, view.array) for view in term.drivers()}:
            asked[name] += siemens / circuit.arrays[name].count
    return driven, asked


def _conducting(circuit: Circuit) -> Iterator[tuple[Term, float]]:
    """(cells at conveyors, ΣG [S] of all of each)."""
    for term in circuit.terms.values():
        node = circuit.arrays[term.target]
        if term.conveyed and not node.is_inner:
            yield term, float((np.broadcast_to(term.loading(circuit)[0], node.shape) * node.present).sum())
