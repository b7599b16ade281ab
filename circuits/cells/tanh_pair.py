"""Tanh pair: a differential pair in weak inversion, I = I_T tanh(v / 2nV_T) (DESIGN §4).

Logical law f(x) = gain · tanh(x): the input's unit is scaled to 2nV_T by a resistive divider in front of the pair,
the output mirror's ratio makes I_T the current of `gain` logical units.
Noise: shot noise of both branches. I₁,₂ = I_T (1 ± y)/2 with y = tanh carry 2qI₁,₂ each; the common source hands a part
of either to the other branch, so the difference I₁ − I₂ fluctuates by 2(I₂i₁ − I₁i₂)/I_T: one-sided density

    8q I₁I₂/I_T = 2q I_T (1 − y²) = 4kT·G,        G = I_T (1 − y²) / (2 kT/q),   I_T = g U_t |gain|

The tail's own noise is common to both branches while y = 0. The output mirror is taken as noiseless and the pair as run
at I_T: a tail r times smaller, mirrored up, makes r times the density. With `channels`, what circuits of transistors
were measured to have, all of it is there (`TanhSiemens`).
Mismatch: input-referred offset (V_t) of the pair.
Supply: the pair's own tail, always; and its currents through the output mirror, whose branches carry g U_t |gain|
together however the pair splits it. That is also the largest current that the cell delivers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from ..arrays import module_of
from .channel import Channels, OutputMirrors, Tail, time_constant
from .mos.softmax import branch_area
from .mos.tanh_pair import SLOPE_FACTOR, tanh_pairs
from .power import Meter
from .siemens import Siemens
from .spice import elements
from .term import Array, Inline, Signals
from .transfer import CellSiemens, Transfer

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

SUBCIRCUIT = """.subckt tanh_pair in x i=1 a=1 b=0
* I(x) = i tanh(a v + b); i: tail current through the output mirror, b: offset of the pair
B1 0 x I=({i})*tanh(({a})*V(in)+({b}))
.ends"""


@dataclass(frozen=True)
class TanhPair(Transfer):
    """f(x) = gain · tanh(x + shift); shift is the pair's offset in logical units (0 unless fabricated).

    tail_current [A]: of the pair itself, in front of the output mirror; channels: noise of its transistors, as
    measured.
    """

    gain: Array = 1.0
    shift: Array = 0.0
    tail_current: float = 5e-6
    channels: Channels | None = None
    kind: ClassVar[str] = "tanh"
    ends: ClassVar[tuple[str, ...]] = ("source",)

    def f(self, x: Array) -> Array:
        xp = module_of(x)
        return self.gain * xp.tanh(x + self.shift)

    @property
    def inline(self) -> Inline:
        return Inline("v0 * tanh(r0 + v1)", (self.source,), (self.gain, self.shift))

    def slope(self, x: Array) -> Array:
        xp = module_of(x)
        return self.gain * (1 - xp.tanh(x + self.shift) ** 2)

    @property
    def inline_slope(self) -> Inline | None:
        law = "v0 * (1 - tanh(r0 + v1) * tanh(r0 + v1))"
        return Inline(law, (self.source,), (self.gain, self.shift))

    def add_slope(self, back: Backward, slope: str) -> None:
        """f′ = gain − y²/gain, by a product of the pair's own output y."""
        y, letters = back.driven(self.target), back.letters(self.target)
        back.circuit.bias(f"{slope}.most", slope, self.gain, programmable=False)
        back.circuit.multiply(slope, y, y, slope, f"{letters},{letters}->{letters}", -1 / self.gain)

    def noise(self, circuit: Circuit) -> Siemens:
        """G = I_T sech² / (2 kT/q), whose 4kT·G is the pair's shot noise; I_T f′/gain = I_T sech²."""
        if self.channels is not None:
            ratio = self.full_current(circuit, self.gain) / self.tail_current
            tau, volts = time_constant(circuit.arrays[self.target]), circuit.thermal_voltage
            tail = Tail(self.channels, self.tail_current, 2, tau, volts)
            return Siemens(moving=TanhSiemens(self, tail, OutputMirrors(self.channels, ratio, tau, volts)))
        node = circuit.arrays[self.target]
        return self.slope_siemens(node.conductance * node.unit / (2 * circuit.thermal_voltage))

    def meter(self, circuit: Circuit) -> Meter:
        delivered = float(self.full_current(circuit, self.gain).sum())
        return Meter(standing=self.tail_current * self.count(circuit) + delivered)

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return self.count(circuit) * technology.tanh.area

    def spice(self, sheet: Sheet) -> list[str]:
        sheet.need(SUBCIRCUIT)
        pattern = "%s %s tanh_pair i=%.12g a=%.12g b=%.12g"
        values = (self.gain * sheet.amperes(self.target), 1 / sheet.units(self.source), self.shift)
        ends = (sheet.nodes(self.source), sheet.ports(self.target))
        return elements(sheet.prefix("X"), pattern, sheet.present(self.target), *ends, *values)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return tanh_pairs(sheet, self)

    def measured(self, channels: Channels | None) -> TanhPair:
        return replace(self, channels=channels)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TanhPair:
        if not spread.offset:
            return self
        shape = circuit.arrays[self.target].shape
        full_scale = self.source.of(circuit.full_scale(self.source.array)[None])[0]
        return replace(self, shift=spread.offset * full_scale * draw(self.name, "pair offset", shape))

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TanhPair:
        """Off by what two gates differ, 2nV_T a logical unit; mirrors and the tail are not in it."""
        volts = flicker * math.sqrt(2 / branch_area(self.tail_current))
        drawn = draw(self.name, "flicker", circuit.arrays[self.target].shape)
        return replace(self, shift=self.shift + volts / (2 * SLOPE_FACTOR * circuit.thermal_voltage) * drawn)


@dataclass(frozen=True)
class TanhSiemens(CellSiemens):
    """ΣG of a pair of transistors, its tail and its output mirrors of ratio r; I₁,₂ = I_T (1 ± y)/2.

    r² [|1 − Y L|² G_b(I₁) + |1 + Y L|² G_b(I₂) + |Y L|² G_sink] + mirrors of I₁ and I₂,  Y = w₁ − w₂    (`channel.py`)

    A branch's own noise leaves in halves by both mirrors, the tail's as the tail current does.
    """

    cell: TanhPair
    tail: Tail
    mirrors: OutputMirrors

    def __call__(self, x: Signals) -> Array:
        signal, tail = self.cell.source.of(x[self.cell.source.array]), self.tail
        y = module_of(signal).tanh(signal + self.cell.shift)
        up, down = tail.amperes / 2 * (1 + y), tail.amperes / 2 * (1 - y)
        first, second, siemens = tail.noise(up), tail.noise(down), tail.sources(up) + tail.sources(down)
        share = (tail.sources(up) - tail.sources(down)) / siemens
        lagging = (share**2 * (first + second) - 2 * share * (first - second)) / 2
        late, sink = tail.late(siemens), share**2 * tail.shot / 2
        return sum(
            self.mirrors.noise(amperes, (first + second) / 2, lagging + sink * (1 + sign * y), late)
            for amperes, sign in ((up, 1), (down, -1))
        )
