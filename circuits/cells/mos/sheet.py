"""What a cell writes its transistors on (`Sheet` for level `device`).

A node of level `behavioural` is one SPICE node; here v is differential, and the same name carries v = V(p) − V(n) for
people and cross-checks. Around it:

    n:p n:n     the two sides, V_CM ± v/2, each with a capacitor C
    n:op n:on   the sides as its buffers deliver them, to the sources of coupling units
    n:xp n:xn   inputs of its two conveyors, held at V_CM; a current I into the node is i(xp) − i(xn)

Global nodes: vdd, vcm, and the bias lines bn, bp, bc. Gates that a node drives (products, pairs) take no current at
rest: they are driven by ideal level shifters, as are the inputs' two sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..spice import Array, Sheet, elements
from .design import Transistors

SIDES = (":p", ":n")
OUTPUTS = (":op", ":on")
INPUTS = (":xp", ":xn")
RAILS = "vdd vcm bn bp bc"
BIAS = 10e-6  # A, in each bias line
BIAS_N = (10.0, 0.5)  # µm, size of the n-channel mirror device that carries BIAS
BIAS_P = (6.0, 0.3)
CASCODE_P = (1.2, 0.3)  # diode whose V_SG biases p-channel cascodes


@dataclass
class DeviceSheet(Sheet):
    """A circuit on its way to transistors. gates: V sources of control voltages written so far, by value."""

    transistors: Transistors = field(kw_only=True)
    _gates: dict[float, str] = field(default_factory=dict)

    def supplies(self) -> list[str]:
        """Rails and bias lines; the current of `vvdd` is what the machine draws."""
        unit, device = self.transistors.units, self.transistors.transistor
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
