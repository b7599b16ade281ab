"""Tanh pair: a differential pair in weak inversion, I = I_T tanh(v / 2nV_T) (DESIGN §4).

Logical law f(x) = gain · tanh(x): the input's unit is scaled to 2nV_T by a resistive divider in front of the pair,
the output mirror's ratio makes I_T the current of `gain` logical units.
Noise: shot noise of the tail split by the pair, 2qI_T·sech²: one-sided density 4kT·G with G = (q I_T / 2kT)·f′
-> equivalent conductance of the output. Mismatch: input-referred offset (V_t) of the pair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from .spice import elements
from .term import Array, Signals
from .transfer import Transfer

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .spice import Sheet

SLOPE_FACTOR = 1.12  # n of the pair in weak inversion, measured on a 45 nm card (0.3 V overdrive off)

SUBCIRCUIT = """.subckt tanh_pair in x i=1 a=1 b=0
* I(x) = i tanh(a v + b); i: tail current through the output mirror, b: offset of the pair
B1 0 x I=({i})*tanh(({a})*V(in)+({b}))
.ends"""


@dataclass(frozen=True)
class TanhPair(Transfer):
    """f(x) = gain · tanh(x + shift); shift is the pair's offset in logical units (0 unless fabricated)."""

    gain: Array = 1.0
    shift: Array = 0.0
    kind: ClassVar[str] = "tanh"

    def f(self, x: Array) -> Array:
        xp = x.__array_namespace__()
        return self.gain * xp.tanh(x + self.shift)

    def slope(self, x: Array) -> Array:
        xp = x.__array_namespace__()
        return self.gain * (1 - xp.tanh(x + self.shift) ** 2)

    def conductance(self, circuit: Circuit, x: Signals) -> Array:
        """Half the pair's output conductance current-equivalent: G_eq = g·U_t·f′ / (2·2nV_T)."""
        node = circuit.arrays[self.target]
        thermal = 2 * SLOPE_FACTOR * circuit.thermal_voltage
        return (
            node.conductance
            * circuit.units(self.target)
            * abs(self.slope(self.source.of(x[self.source.array])))
            / (2 * thermal)
        )

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return self.count(circuit) * technology.tanh.area

    def spice(self, sheet: Sheet) -> list[str]:
        sheet.need(SUBCIRCUIT)
        pattern = "%s %s tanh_pair i=%.12g a=%.12g b=%.12g"
        values = (self.gain * sheet.amperes(self.target), 1 / sheet.units(self.source), self.shift)
        ends = (sheet.nodes(self.source), sheet.ports(self.target))
        return elements(sheet.prefix("X"), pattern, sheet.present(self.target), *ends, *values)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TanhPair:
        if not spread.offset:
            return self
        shape = circuit.arrays[self.target].shape
        full_scale = self.source.of(circuit.full_scale(self.source.array)[None])[0]
        return replace(self, shift=spread.offset * full_scale * draw(self.name, "offset", shape))
