"""Conveyors and buffers of a technology, in a circuit: what they let through, and what noise they add.

    conveyor   a node gets α = c/(1 + r_x L) of what is pushed into it, and noise of its own (`cells/node.py`)
    buffer     a cell that asks a node for current sees b times its volts; inputs stand on ideal drivers

The gains of both are the same at all times; their delays are not in here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .cells import Term
from .cells.conveyor_errors import ConveyorErrors, Conveyors
from .circuit import Circuit
from .technology import Technology


def with_followers(circuit: Circuit, technology: Technology, *, input_resistance: float | None = None) -> Circuit:
    """A copy of a circuit with a technology's conveyors and buffers. input_resistance: r_x [Ω] instead of its own."""
    conveyor, gain = technology.conveyor, technology.buffer.gain
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
    terms = [] if gain == 1 else [t.buffered(circuit, gain) for t in circuit.terms.values() if _behind(circuit, t)]
    return circuit.with_terms(terms, nodes)


def with_unequal_conveyors(circuit: Circuit, errors: ConveyorErrors) -> Circuit:
    """A copy of a circuit whose conveyors' transistors differ on a chip that `fabricate` makes by Pelgrom's law: nodes
    are off by what `errors` (`measure_conveyor_errors`) says, with the couplings that hang on them now."""
    nodes = []
    for node in circuit.arrays.values():
        into = [term for term in circuit.into(node.name) if term.conveyed]
        if not into or node.clamped or node.is_inner:
            continue
        load = sum((np.broadcast_to(term.loading(circuit)[0], node.shape) for term in into), np.zeros(node.shape))
        nodes.append(replace(node, conveyors=Conveyors(errors, load * node.attenuation(load))))
    return circuit.with_terms((), nodes)


def _behind(circuit: Circuit, term: Term) -> bool:
    """Whether a cell draws its current from nodes, and not from inputs."""
    asked = [circuit.arrays[view.array] for view in term.drivers()]
    return bool(asked) and not any(node.clamped and not node.stored for node in asked)
