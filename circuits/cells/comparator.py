"""Comparator: which side of zero a node is on, I = g U gain for v > knee, 0 for v < −knee: the slope of a rectifier.

The pair's tail current goes to one side or the other; in between the law is the derivative of the rectifier's knee.
No noise: a pair that is steered all to one side hands on its tail's alone, which is left out, as the other cells' is.
Supply: its tail, always, and what its mirror delivers, on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .power import Meter
from .siemens import Siemens
from .smooth import ramp_slope, ramp_slope_slope
from .spice import elements
from .term import Array, Inline
from .transfer import Transfer

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .spice import Sheet

SUBCIRCUIT = """.subckt comparator in x i=1 w=1
* I(x) = i for v > w, 0 for v < -w, smooth between
B1 0 x I=V(in)<(-{w}) ? 0 : (V(in)>({w}) ? ({i}) : ({i})*(V(in)/({w})*0.5+0.5)*(V(in)/({w})*0.5+0.5)*(2-V(in)/({w})))
.ends"""


@dataclass(frozen=True)
class Comparator(Transfer):
    """f(x) = gain for x > knee, 0 for x < −knee (logical units). tail_current [A] of each."""

    gain: Array = 1.0
    knee: float = 1e-3
    tail_current: float = 1e-6
    kind: ClassVar[str] = "comparator"

    def f(self, x: Array) -> Array:
        return self.gain * ramp_slope(x, self.knee)

    @property
    def inline(self) -> Inline:
        return Inline("v0 * ramp_slope(r0, v1)", (self.source,), (self.gain, self.knee))

    def slope(self, x: Array) -> Array:
        return self.gain * ramp_slope_slope(x, self.knee)

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens()

    def meter(self, circuit: Circuit) -> Meter:
        delivered = float(self.full_current(circuit, self.gain).sum())
        return Meter(standing=self.tail_current * self.count(circuit) + delivered)

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return self.count(circuit) * technology.rectifier.area

    def spice(self, sheet: Sheet) -> list[str]:
        sheet.need(SUBCIRCUIT)
        values = (self.gain * sheet.amperes(self.target), self.knee * sheet.units(self.source))
        ends = (sheet.nodes(self.source), sheet.ports(self.target))
        return elements(
            sheet.prefix("X"), "%s %s comparator i=%.12g w=%.12g", sheet.present(self.target), *ends, *values
        )
