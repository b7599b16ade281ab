"""What a node drives: rows of coupling units through buffers, and gates of product units (DESIGN §1).

A row is cut into tiles of at most `wire.tile` units, each behind a buffer of its own, whose gate the node drives; the
wire of a tile is the buffer's to charge. Buffer and node are two lags in series; the circuit keeps one, of the sum of
their time constants (Elmore), so that a node's capacitance is

    C = C_own + C_gate (product units + buffers) + g τ_buffer,        τ_buffer = C_wire min(row, tile) / G_buffer
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .circuit import Circuit
from .technology import Technology

Array = Any


def rows(circuit: Circuit) -> tuple[dict[str, Array], dict[str, Array]]:
    """(coupling units, gates) that a node of each array drives, by column of its last axis.

    Columns of an array that different cells read (q, k, v) differ; positions, whose causal reach differs, share a mean.
    """
    units, gates = ({name: np.zeros(node.shape[-1]) for name, node in circuit.arrays.items()} for _ in range(2))
    for term in circuit.terms.values():
        for view, crossed, driven in term.fan_out(circuit):
            units[view.array][view.start : view.stop] += crossed
            gates[view.array][view.start : view.stop] += driven
    return units, gates


def buffers(units: Array, technology: Technology) -> Array:
    """Buffers behind a node whose row has so many coupling units: one a tile."""
    return np.ceil(units / technology.wire.tile)


def load_nodes(circuit: Circuit, technology: Technology) -> Circuit:
    """Give every free node the capacitance of what it drives."""
    units, gates = rows(circuit)
    wire, changed = technology.wire, []
    for node in circuit.arrays.values():
        if not node.clamped:
            row = units[node.name]
            charge = wire.capacitance * np.minimum(row, wire.tile) / technology.buffer.conductance
            load = wire.gate_capacitance * (gates[node.name] + buffers(row, technology)) + node.conductance * charge
            each = float(load[0]) if np.ptp(load) == 0 else load
            changed.append(node.loaded(technology.node.capacitance + each))
    return circuit.with_terms((), changed)
