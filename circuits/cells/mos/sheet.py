"""What a cell writes its transistors on (`Sheet` for level `device`).

A node of level `behavioural` is one SPICE node; here v is differential, and the same name carries v = V(p) − V(n) for
people and cross-checks. Around it:

    n:p n:n     the two sides, V_CM ± v/2, each with a capacitor 2C
    n:op n:on   the sides as its buffers deliver them, to the sources of coupling units
    n:xp n:xn   inputs of its two conveyors, held at V_CM; a current I into the node is (i(xp) − i(xn))/2

Global nodes: vdd, vcm, and the bias lines bn, bp, bc. Gates that a node drives (products, pairs) take no current at
rest: they are driven by ideal level shifters, as are the inputs' two sides.
A buffer stands only where a cell asks for a node's sides (`sides`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ..node import NodeArray
from ..spice import Array, Sheet, elements
from ..term import Term
from ..transistor_feedback import FeedbackBend
from ..transit import TransitNode
from . import follower
from .design import Transistors
from .rails import BIAS, BIAS_N, BIAS_P, CASCODE_P, KELVIN, OUTPUTS, RAILS, SIDES
from .unequal import Unequal


@dataclass
class DeviceSheet(Sheet):
    """A circuit on its way to transistors."""

    about: ClassVar[str] = "device-level"
    start: ClassVar[str] = "op"
    currents: ClassVar[tuple[str, ...]] = ("vvdd", "vvcm")
    transistors: Transistors = field(kw_only=True)
    _gates: dict[float, str] = field(default_factory=dict)  # control voltage -> the node that holds it
    _driving: set[str] = field(default_factory=set)  # nodes whose sides cells ask for

    def __post_init__(self) -> None:
        """Nodes of channels' charge are inside of transistors, which their driver drives."""
        arrays = self.circuit.arrays.values()
        late = [node for node in arrays if isinstance(node, TransitNode) and not node.clamped]
        self.names = dict(self.names) | {node.name: self.names[node.stands_for] for node in late}

    def node(self, node: NodeArray, standing: Array) -> list[str]:
        return node.spice_device(self)

    def term(self, term: Term) -> list[str]:
        return term.spice_device(self)

    def shows(self, node: NodeArray) -> bool:
        return not node.is_inner

    def initial(self, nodes: Array, volts: Array) -> tuple[Array, Array]:
        """Both sides of nodes and their voltages at t = 0."""
        middle = self.transistors.card.common_mode
        sides = np.concatenate([nodes + side for side in SIDES])
        return sides, np.concatenate([middle + volts / 2, middle - volts / 2])

    def feedback_errors(self, node: NodeArray) -> Unequal | None:
        """Of a chip: those of the devices that are a node's feedback, which the term that bends it has drawn."""
        bends = (term for term in self.circuit.into(node.name) if isinstance(term, FeedbackBend))
        return next((term.unequal for term in bends), None)

    def sides(self, nodes: Array) -> tuple[Array, Array]:
        """Nodes that carry V_CM ± v/2 of these and deliver current: their buffers stand in `drivers`."""
        self._driving.update(np.asarray(nodes, object).reshape(-1).tolist())
        return nodes + OUTPUTS[0], nodes + OUTPUTS[1]

    def drivers(self) -> list[str]:
        """Buffers of the nodes whose sides were asked for, and the two sides of such inputs."""
        lines: list[str] = []
        for node in self.circuit.arrays.values():
            if node.is_inner and not node.clamped:
                continue
            asked = np.array([name in self._driving for name in self.names[node.name].reshape(-1)])
            asked = asked.reshape(node.shape) & node.present
            if asked.any():
                write = follower.inputs if node.clamped else follower.buffers
                lines += write(self, node.name, asked)
        return lines

    @property
    def options(self) -> dict[str, float]:
        """The temperature that the device card was measured at."""
        return {"temp": self.transistors.card.temperature - KELVIN}

    def supplies(self) -> list[str]:
        """Rails and bias lines; the current of `vvdd` is what the machine draws."""
        unit, device = self.transistors.card, self.transistors.transistor
        lines = [
            f".global {RAILS}",
            f"Vvdd vdd 0 {unit.vdd:.12g}",
            f"Vvcm vcm 0 {unit.common_mode:.12g}",
            f"Ibias vdd bn {BIAS:g}",
        ]
        mirrors = {
            "bias1": ("bn bn 0", "n", *BIAS_N),
            "bias2": ("bp bn 0", "n", *BIAS_N),
            "bias3": ("bp bp vdd", "p", *BIAS_P),
            "bias4": ("bc bn 0", "n", *BIAS_N),
            "bias5": ("bc bc vdd", "p", *CASCODE_P),
        }
        return lines + [device(name, *mirror) for name, mirror in mirrors.items()]

    def gates(self, volts: Array) -> tuple[list[str], Array]:
        """Lines of constant sources for control voltages not had before, and the SPICE node of each value."""
        lines, label = [], self.prefix("V")
        values, where = np.unique(np.asarray(volts, float), return_inverse=True)
        for number, value in enumerate(values.tolist()):
            if value not in self._gates:
                self._gates[value] = f"gate:{len(self._gates)}"
                lines.append(f"{label}{number} {self._gates[value]} 0 {value:.12g}")
        found = np.array([self._gates[value] for value in values.tolist()], object)
        return lines, found[where].reshape(np.shape(volts))

    def level_shifts(self, nodes: Array, keep: Array, centre: float, scale: Array) -> tuple[list[str], Array]:
        """Lines that make `centre` + scale·v of each node, and the SPICE nodes that carry it."""
        label = self.prefix("B")
        keep = np.asarray(keep, bool)
        found = np.full(keep.shape, "0", object)
        found[keep] = [f"shift:{label}{k}" for k in range(int(keep.sum()))]
        pattern = f"%s 0 V={centre:.12g}+%.12g*V(%s)"
        return elements(label, pattern, keep, found, scale, nodes), found
