"""Channels' charge: couplings follow their drivers late by the transit time of their transistors (`transit_card.py`).

    I_i = Σ_j s_ij I(V_ij, v_j) − C(V_ij) dv_j/dt  ≈  Σ_j s_ij I(V_ij, y_j),        τ dy/dt = v − y

One τ a term, that of its strongest devices: a gate near its threshold has longer, but conducts little. Voltages that
stand still, as inputs do, have their channels' charge in place and need none of this.

Conveyors and buffers make a cell later still (`followers.py`): the same lag then has the sum of all delays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .inner import InnerDrive, InnerNode
from .spice import elements
from .term import Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit
    from .node import NodeArray
    from .spice import Sheet

SIEMENS = 1e-5  # of a node that has only a time constant


@dataclass(frozen=True)
class TransitNode(InnerNode):
    """y of an array that a coupling reads. stands_for: that array, whose nodes drive the transistors themselves."""

    stands_for: str = ""
    kind: ClassVar[str] = "transit"

    @property
    def bends(self) -> bool:
        return False


@dataclass(frozen=True)
class TransitDrive(InnerDrive):
    """v into y; where the nodes' sides are lifted (`lift.py`) v (1 − lost (x_c − x_y)): what of the couplings' current
    is left, x_c of `control` and x_y of `late`."""

    source: View
    control: str = ""
    late: str = ""
    lost: Array = 0.0
    kind: ClassVar[str] = "transit"

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.source, View(self.control), View(self.late)) if self.late else (self.source,)

    def drive(self, x: Signals) -> Array:
        v = x[self.source.array]
        return v * (1 - self.lost * (x[self.control] - x[self.late])) if self.late else v

    @property
    def inline(self) -> Inline:
        if not self.late:
            return Inline("r0", (self.source,))
        return Inline("r0 * (1 - v0 * (r1 - r2))", self.sources, (self.lost,))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        moved = dx.get(self.source.array, 0.0)
        if not self.late:
            return moved
        lifted = dx.get(self.control, 0.0) - dx.get(self.late, 0.0)
        left = 1 - self.lost * (x[self.control] - x[self.late])
        return moved * left - x[self.source.array] * self.lost * lifted

    def spice(self, sheet: Sheet) -> list[str]:
        here, ports, nodes = sheet.present(self.target), sheet.ports(self.target), sheet.nodes(self.source)
        if not self.late:
            return elements(sheet.prefix("G"), f"0 %s %s 0 {SIEMENS:.12g}", here, ports, nodes)
        control, late = (np.broadcast_to(sheet.names[name], here.shape) for name in (self.control, self.late))
        per_volt = np.broadcast_to(self.lost / sheet.circuit.units(self.control), here.shape)
        law = f"0 %s I={SIEMENS:.12g}*V(%s)*(1-(%.12g)*(V(%s)-V(%s)))"
        return elements(sheet.prefix("B"), law, here, ports, nodes, per_volt, control, late)


def behind(term: Any, end: str, circuit: Circuit, seconds: float) -> tuple[list[Term], list[InnerNode]]:
    """(a term that reads its view `end` late, and what drives the nodes that it then reads; those nodes). Inputs are
    read as they are, and so is what nothing is late of; what is late already becomes later."""
    view = getattr(term, end)
    node, name = circuit.arrays[view.array], f"{term.name}.transit" + (f".{end}" if end == "a" else "")
    if node.clamped or not seconds > 0:
        return [term], []
    if isinstance(node, TransitNode):
        return [term], [node.later(seconds)]
    drive, late = lag_of(node, name, seconds, circuit.arrays[term.target].layer)
    return [drive, replace(term, **{end: replace(view, array=name)})], [late]


def lag_of(node: NodeArray, name: str, seconds: float, layer: str) -> tuple[TransitDrive, TransitNode]:
    """What drives an array of this name that is behind `node`, and that array."""
    late = TransitNode(
        name, node.shape, unit=node.unit, full_scale=node.full_scale, conductance=SIEMENS,
        capacitance=seconds * SIEMENS, exists=node.exists, stands_for=node.name, layer=layer,
    )  # fmt: skip
    return TransitDrive(name, name, View(node.name)), late
