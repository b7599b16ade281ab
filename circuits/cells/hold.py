"""Hold capacitor: what a bank keeps of a token, or a coupling of its weight, while a switch is open (DESIGN §1).

    C dv/dt = −I_off sign(v) (1 − e^(−|v|/V_T)),  V_T = kT/q        |v(t)| ≈ max(|v(0)| − I_off t / C, 0)

The open switch leaks towards the common mode with its subthreshold current, which does not depend on |v| once that is a
few kT/q: 69 pA move 49 fF by 1.4 mV/µs. A `low-leakage` switch is one whose gate is driven under its source.
`HoldLeak` is the first law, in time; `drooped` the second, between turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import checks
from ..arrays import module_of
from ..errors import Error, shown
from .mos.rails import SIDES
from .power import Meter
from .siemens import Siemens
from .spice import elements
from .transfer import Transfer

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

Array = Any
HOLDS = ("plain", "low-leakage", "ideal")
SUBCIRCUIT = """.subckt hold_leak w x y i=0 vt=1
* what an open switch takes off the capacitor w, from x to y; vt: kT/q
B1 x y I=({i})*sgn(V(w))*(1-exp(-abs(V(w))/({vt})))
.ends"""


def leakage(technology: Technology, hold: str) -> float:
    """I_off [A] of a bank's switches: plain, low-leakage or ideal (none). Raises Error for others."""
    switch = technology.switch
    currents = {"plain": switch.off_current, "low-leakage": switch.low_leakage_current, "ideal": 0.0}
    if not checks.among(hold, currents):
        raise Error(f"hold {shown(hold)} is unknown: use {', '.join(HOLDS)}")
    return currents[hold]


def drooped(volts: Array, seconds: float, amperes: float, farads: float) -> Array:
    """What is left of held voltages after `seconds`."""
    return np.sign(volts) * np.maximum(np.abs(volts) - amperes * seconds / farads, 0.0)


class AtCapacitor:
    """A term whose elements sit at the control capacitors `target`, and are behavioural beside transistors too."""

    target: str

    def spice(self, sheet: Sheet) -> list[str]:
        names = sheet.names[self.target]
        return self._lines(sheet, names, np.full(names.shape, "0", object))

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """Between the capacitor's two sides."""
        names = sheet.names[self.target]
        return self._lines(sheet, names + SIDES[0], names + SIDES[1])

    def _lines(self, sheet: Sheet, x: Array, y: Array) -> list[str]:
        """Elements between the nodes x and y."""
        raise NotImplementedError


@dataclass(frozen=True)
class HoldLeak(AtCapacitor, Transfer):
    """Switches of the control capacitors `target`, which is also what they read. amperes: I_off of each, as a
    normalised current, and thermal: kT/q as a logical value; both broadcastable to the target's shape.

    Noise: shot noise of both directions, 2q I_off (1 + e^(−|v|/V_T)); at 0 V that of the conductance I_off/V_T.
    """

    amperes: Array = 0.0
    thermal: Array = 1.0
    kind: ClassVar[str] = "hold leak"

    def f(self, x: Array) -> Array:
        xp = module_of(x)
        return -self.amperes * xp.sign(x) * (1 - xp.exp(-abs(x) / self.thermal))

    def slope(self, x: Array) -> Array:
        return -self.amperes / self.thermal * module_of(x).exp(-abs(x) / self.thermal)

    @property
    def by_node(self) -> bool:
        return True

    @property
    def conveyed(self) -> bool:
        return False

    def noise(self, circuit: Circuit) -> Siemens:
        node = circuit.arrays[self.target]
        current = node.conductance * circuit.units(self.target) * self.amperes
        moving = self.slope_siemens(np.asarray(node.conductance / 2)).moving
        return Siemens(current / (2 * circuit.thermal_voltage), moving)

    def meter(self, circuit: Circuit) -> Meter:
        """Nothing from the supply: the capacitor's own charge."""
        return Meter()

    def _lines(self, sheet: Sheet, x: Array, y: Array) -> list[str]:
        sheet.need(SUBCIRCUIT)
        current, volts = sheet.amperes(self.target) * self.amperes, self.thermal * sheet.circuit.units(self.target)
        ends, here = (sheet.names[self.target], x, y), sheet.present(self.target)
        return elements(sheet.prefix("X"), "%s %s %s hold_leak i=%.12g vt=%.12g", here, *ends, current, volts)
