"""What a node drives: rows of coupling units through buffers, and gates of product units (DESIGN §1).

A row is cut into tiles of at most `wire.tile` units, each behind a buffer of its own, whose gate the node drives; the
wire of a tile is the buffer's to charge. The column that brings a node its currents is a line too. Node, row and column
are lags in series; the circuit keeps one, of the sum of their time constants (Elmore's, `wires.py`), so that a node's
capacitance is

    C = C_own + C_gate (product units + buffers) + g (τ_row + τ_column)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .circuit import Circuit
from .technology import Technology
from .wires import column, row

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
    changed = []
    for node in circuit.arrays.values():
        if not node.clamped:
            driven, place = np.unique(units[node.name], return_inverse=True)
            lags = np.array([row(technology, n).elmore for n in driven])[place]
            lags += column(technology, sum(term.fan_in(circuit) for term in circuit.into(node.name))).elmore
            count = gates[node.name] + buffers(units[node.name], technology)
            load = technology.wire.gate_capacitance * count + node.conductance * lags
            each = float(load[0]) if np.ptp(load) == 0 else load
            changed.append(node.loaded(technology.node.capacitance + each))
    return circuit.with_terms((), changed)
