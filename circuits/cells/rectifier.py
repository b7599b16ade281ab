"""Rectifier: a node read through a diode-connected mirror, I = g U max(v, 0) (ReLU).

The knee is the smooth ramp of `smooth.py`, `knee` wide, so the law is exactly max(x, 0) outside |x| < knee.
Noise: the mirror conducts like the resistor it stands for, 4kT·|dI/dv| = 4kT g U_t f′/U_s, 0 while off.
Mismatch: gain β.
Supply: a bias that keeps the mirror awake, and the current it carries, in both of its branches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import module_of
from .channel import LEAST, Channels, left, time_constant
from .comparator import Comparator
from .mos.rectifier import rectifiers
from .power import Costs, Law, Meter
from .siemens import Siemens
from .smooth import ramp, ramp_slope
from .spice import elements, knee
from .term import Array, Inline, Signals, View
from .transfer import CellSiemens, Transfer

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

SUBCIRCUIT = f""".subckt rectifier in x g=1 w=1
* I(x) = g max(v, 0), smooth over |v| < w
B1 0 x I=V(in)<(-{{w}}) ? 0 : (V(in)>({{w}}) ? ({{g}})*V(in) : 2*({{g}})*({{w}})*{knee("V(in)*0.5/({w})+0.5")})
.ends"""


@dataclass(frozen=True)
class Rectifier(Transfer):
    """f(x) = gain · max(x, 0), smoothed over |x| < knee (logical units).

    bias_current [A] of each; channels: noise of its transistors, as measured.
    """

    gain: Array = 1.0
    knee: float = 1e-3
    bias_current: float = 1e-6
    channels: Channels | None = None
    kind: ClassVar[str] = "rectifier"
    ends: ClassVar[tuple[str, ...]] = ("source",)

    def f(self, x: Array) -> Array:
        return self.gain * ramp(x, self.knee)

    @property
    def inline(self) -> Inline | None:
        return Inline("v0 * ramp(r0, v1)", (self.source,), (self.gain, self.knee))

    def slope(self, x: Array) -> Array:
        return self.gain * ramp_slope(x, self.knee)

    @property
    def inline_slope(self) -> Inline | None:
        return Inline("v0 * ramp_slope(r0, v1)", (self.source,), (self.gain, self.knee))

    def add_slope(self, back: Backward, slope: str) -> None:
        """f′ is gain or 0: a comparator of the input."""
        back.circuit.add(Comparator(slope, slope, back.hold(self.source), self.gain, self.knee, self.bias_current))

    def noise(self, circuit: Circuit) -> Siemens:
        node = circuit.arrays[self.target]
        u_in = np.asarray(self.source.of(circuit.units(self.source.array)[None])[0], float)
        if self.channels is not None:
            tau = time_constant(node)
            full = self.full_current(circuit, self.gain)
            law = RectifierSiemens(self, self.channels, full, u_in, tau, circuit.thermal_voltage)
            return Siemens(moving=law)
        return self.slope_siemens(node.conductance * node.unit / u_in)

    def meter(self, circuit: Circuit) -> Meter:
        rest = Mirrored(self.source, self.knee, 2 * self.full_current(circuit, self.gain))
        return Meter(standing=self.bias_current * self.count(circuit), rest=rest)

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return self.count(circuit) * technology.rectifier.area

    def spice(self, sheet: Sheet) -> list[str]:
        sheet.need(SUBCIRCUIT)
        unit = sheet.units(self.source)
        values = (self.gain * sheet.amperes(self.target) / unit, self.knee * unit)
        ends = (sheet.nodes(self.source), sheet.ports(self.target))
        return elements(
            sheet.prefix("X"), "%s %s rectifier g=%.12g w=%.12g", sheet.present(self.target), *ends, *values
        )

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return rectifiers(sheet, self)

    def measured(self, channels: Channels | None) -> Rectifier:
        return replace(self, channels=channels)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Rectifier:
        if not spread.mismatch:
            return self
        shape = circuit.arrays[self.target].shape
        return replace(self, gain=self.gain * (1 + spread.mismatch * draw(self.name, "beta", shape)))


@dataclass(frozen=True)
class Mirrored(Law):
    """Power law of a mirror: supply Σ A max(x, 0), no heat in its own elements."""

    source: View
    knee: float
    amperes: Array

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source.array,)

    def pair(self, x: Signals) -> tuple[Array, Array]:
        y = self.source.of(x[self.source.array])
        return y, y

    def flows(self, y: Array, c: Array) -> tuple[Array, Array]:
        amperes = ramp(y, self.knee)
        return amperes, np.zeros_like(amperes)

    @property
    def costs(self) -> Costs:
        return Costs("amperes = ramp(y, least); watts = 0;", 0.0, self.amperes, least=self.knee)


@dataclass(frozen=True)
class RectifierSiemens(CellSiemens):
    """ΣG of the circuit of `mos/rectifier.py` while it conducts; of I in its diode ±κI leave.

    (κ/2)² (n + 4 G_conveyor) + G_mirrors(I),        n = 2G ⅔ (1 + q + q²)/(1 + q),   q = √(1 − v/V_ov)

    The input device has n, Klaassen and Prins' noise (Philips Res. Repts. 22, 1967) of a square-law transistor that
    delivers the current of v, q the conductance at its far end; 2G at rest. It, what its conveyor adds to the diode,
    and of the mirrors the diode, κ²/2 parts to one, pass the diode's pole, and half of these and of all others the
    turning mirror's (`channel.py`). κ: the copies' gain. full [A]: current of a logical unit, unit [V] of the input.
    """

    cell: Rectifier
    channels: Channels
    full: Array
    unit: Array
    tau: Array
    thermal_voltage: float

    def __call__(self, x: Signals) -> Array:
        signal = self.cell.source.of(x[self.cell.source.array])
        on, above = ramp_slope(signal, self.cell.knee), ramp(signal, self.cell.knee)
        xp, channels = module_of(signal), self.channels
        amperes = self.full / channels.doubled * above + LEAST
        q = xp.sqrt(xp.maximum(1 - self.unit / channels.overdrive * above, 0))
        device = 2 * self.full / self.unit * (2 / 3) * (1 + q + q * q) / (1 + q)
        mirrors = channels.rectifier.siemens(amperes, self.thermal_voltage)
        diode = 1 / (1 + 2 / channels.doubled**2)
        first, second = (
            channel.seconds(amperes, self.thermal_voltage) / self.tau
            for channel in (channels.rectifier, channels.turner)
        )
        passed = on * (device + 4 * channels.conveyor) * (channels.doubled / 2) ** 2 + mirrors * diode
        both = passed * (left(first) + 3 * left(first, second)) / 4
        return both + mirrors * (1 - diode) * (1 + left(second)) / 2
