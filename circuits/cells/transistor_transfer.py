"""Tanh pair and rectifier of transistors: the ideal laws, bent as their cell cards say.

    tanh       f = gain (y₊ − y₋), y± late (`mirror.py`) behind (1 ± Σ_k c_k t^k)/2,      t = tanh(x + shift)
    rectifier  f(x) = (4 I₀/gU) Σ_k c_k t^k,          t = m [o(V, v) + e(V, v)]/4I₀ at v = U ramp(x)

The rectifier's current is one transistor's, f(V, v/2), which its conveyor halves and its mirror, measured up to I₀,
takes four times. Noise, power and area are those of the ideal cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import module_of
from ..errors import Error
from .mirror import BranchDrive, MirrorNode, mirrors
from .mos.coupling import fingers
from .mos.rectifier import COPIES
from .polynomials import Polynomial, derivative, text, value
from .rectifier import Rectifier
from .smooth import ramp, ramp_slope
from .spice import elements, knee
from .tanh_pair import TanhPair
from .term import Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from ..devices.cell_card import CellCard
    from .mismatch import Draw, Spread
    from .spice import Sheet


@dataclass(frozen=True)
class TransistorTanh(TanhPair):
    """law: c_k, lowest power first; up, down: the pair's mirrors, which hand on (1 ± Σ_k c_k t^k)/2 of its tail."""

    law: Polynomial = (0.0, 1.0)
    up: View = field(kw_only=True)
    down: View = field(kw_only=True)

    @property
    def sources(self) -> tuple[View, ...]:
        """The mirrors, and what the noise of the pair follows."""
        return self.up, self.down, self.source

    @property
    def inside(self) -> tuple[str, ...]:
        return self.up.array, self.down.array

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return [(self.source, 1, 0)]

    def f(self, x: Array) -> Array:
        return self.gain * self.share(x)

    def share(self, x: Array) -> Array:
        """Of the tail's current, what one branch has more than the other."""
        return value(self.law, module_of(x).tanh(x + self.shift))

    def slope(self, x: Array) -> Array:
        t = module_of(x).tanh(x + self.shift)
        return self.gain * value(derivative(self.law), t) * (1 - t * t)

    @property
    def inline_slope(self) -> Inline:
        t = "tanh(r0 + v1)"
        law = f"v0 * {text(derivative(self.law), t, '(REAL)%.17g')} * (1 - {t} * {t})"
        return Inline(law, (self.source,), (self.gain, self.shift))

    def drive(self, x: Signals) -> Array:
        return self.gain * (x[self.up.array] - x[self.down.array])

    @property
    def inline(self) -> Inline:
        return Inline("v0 * (r0 - r1)", (self.up, self.down), (self.gain,))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        return self.gain * (dx.get(self.up.array, 0.0) - dx.get(self.down.array, 0.0))

    def spice(self, sheet: Sheet) -> list[str]:
        here, port, siemens = sheet.present(self.target), sheet.ports(self.target), sheet.amperes(self.target)
        lines: list[str] = []
        for view, sign in ((self.up, 1), (self.down, -1)):
            passed = sign * self.gain * siemens / sheet.units(view)
            lines += elements(sheet.prefix("G"), "0 %s %s 0 %.12g", here, port, sheet.nodes(view), passed)
        return lines


@dataclass(frozen=True)
class TanhBranch(BranchDrive):
    """One branch of a tanh pair: (1 + sign Σ_k c_k t^k)/2 of its tail's current. pair: which it belongs to."""

    pair: TransistorTanh
    sign: int = 1

    def drive(self, x: Signals) -> Array:
        source = self.pair.source
        return (1 + self.sign * self.pair.share(source.of(x[source.array]))) / 2

    @property
    def inline(self) -> Inline:
        law = text(self.pair.law, "tanh(r0 + v0)", "(REAL)%.17g")
        return Inline(f"(1 + (REAL){self.sign} * {law}) / 2", (self.pair.source,), (self.pair.shift,))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        source = self.pair.source
        if source.array not in dx:
            return 0.0
        t = module_of(dx[source.array]).tanh(source.of(x[source.array]) + self.pair.shift)
        slope = value(derivative(self.pair.law), t) * (1 - t * t)
        return self.sign / 2 * slope * source.of(dx[source.array])

    def spice(self, sheet: Sheet) -> list[str]:
        law = text(self.pair.law, "tanh(({a})*V(in)+({b}))", "%.12g")
        name = sheet.prefix("tanh").rstrip(".").lower()
        sheet.need(
            f".subckt {name} in x i=1 a=1 b=0\n* I(x) = i (1 ± a polynomial of tanh)/2: a branch\n"
            f"B1 0 x I=({{i}})*(1+({self.sign})*({law}))/2\n.ends"
        )
        values = (sheet.amperes(self.target), 1 / sheet.units(self.pair.source), self.pair.shift)
        ends = (sheet.nodes(self.pair.source), sheet.ports(self.target))
        pattern = f"%s %s {name} i=%.12g a=%.12g b=%.12g"
        return elements(sheet.prefix("X"), pattern, sheet.present(self.target), *ends, *values)


@dataclass(frozen=True)
class TransistorRectifier(Rectifier):
    """law: c_k; entering: powers (n, *target) of ramp(x) in t, from the first on; leaving: 4 I₀/gU with the gain's
    sign (*target)."""

    law: Polynomial = (0.0, 1.0)
    entering: Array = 1.0
    leaving: Array = 1.0

    def _entering(self, y: Array) -> tuple[Array, Array]:
        """(t, dt/dy)."""
        t, slope = self.entering[-1], 0.0
        for power in self.entering[-2::-1]:
            slope = slope * y + t
            t = t * y + power
        return t * y, slope * y + t

    def f(self, x: Array) -> Array:
        return self.leaving * value(self.law, self._entering(ramp(x, self.knee))[0])

    def slope(self, x: Array) -> Array:
        t, slope = self._entering(ramp(x, self.knee))
        return self.leaving * value(derivative(self.law), t) * slope * ramp_slope(x, self.knee)

    @property
    def inline(self) -> Inline:
        y, first = "ramp(r0, v1)", 2
        t = f"v{first + len(self.entering) - 1}"
        for k in range(len(self.entering) - 2, -1, -1):
            t = f"(v{first + k} + {y} * {t})"
        law = text(self.law, f"({y} * {t})", "(REAL)%.17g")
        return Inline(f"v0 * {law}", (self.source,), (self.leaving, self.knee, *self.entering))

    @property
    def inline_slope(self) -> None:
        return None

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TransistorRectifier:
        found = super().fabricate(circuit, spread, draw)
        return replace(self, gain=found.gain, leaving=self.leaving * found.gain / self.gain)

    def spice(self, sheet: Sheet) -> list[str]:
        """The ramp of each node in logical units, then its current."""
        here, names = sheet.present(self.target), sheet.nodes(self.source)
        laws = np.full(here.shape, "", object)
        unit = np.broadcast_to(sheet.units(self.source), here.shape)
        amperes = np.broadcast_to(self.leaving * sheet.amperes(self.target), here.shape)
        port = sheet.names[self.target] + ":ramp"
        for at in np.argwhere(here):
            i = tuple(at)
            own = tuple(float(power[i]) for power in self.entering)
            laws[i] = f"{amperes[i]:.12g}*{text(self.law, text((0.0, *own), f'V({port[i]})', '%.12g'), '%.12g')}"
        x = [f"V({name})/{u:.12g}" for name, u in zip(names[here], unit[here], strict=True)]
        ramps = np.full(here.shape, "", object)
        w = self.knee
        ramps[here] = [
            f"{one}<{-w:g} ? 0 : ({one}>{w:g} ? {one} : {2 * w:g}*{knee(f'{one}*{0.5 / w:g}+0.5')})" for one in x
        ]
        lines = elements(sheet.prefix("B"), "0 %s I=%s", here, port, ramps)
        lines += elements(sheet.prefix("R"), "%s 0 1", here, port)
        return lines + elements(sheet.prefix("B"), "0 %s I=%s", here, sheet.ports(self.target), laws)


def tanh_of_transistors(term: TanhPair, circuit: Circuit, card: CellCard) -> tuple[list[Term], list[MirrorNode]]:
    """(a tanh pair and its branches, their mirrors) as its card has it."""
    if card.lag is None:
        raise Error("card of the tanh has no lag of its mirrors: characterize again")
    names = [f"{term.name}.{end}" for end in ("up", "down")]
    half = np.full(circuit.arrays[term.target].shape, 0.5)
    nodes = [mirrors(name, circuit, term.target, term.tail_current, card.lag, half, term.gain) for name in names]
    own = {part.name: getattr(term, part.name) for part in fields(term)}
    pair = TransistorTanh(**own, law=card.polynomial, up=View(names[0]), down=View(names[1]))
    branches = [TanhBranch(name, name, pair, sign) for name, sign in zip(names, (1, -1), strict=True)]
    return [*branches, pair], nodes


def rectifier_of_transistors(
    term: Rectifier, circuit: Circuit, pair: DeviceCard, card: CellCard
) -> TransistorRectifier:
    """A rectifier as `mos/rectifier.py` writes it: its device from a pair's card, its mirror from its own."""
    node = circuit.arrays[term.target]
    unit = np.broadcast_to(np.asarray(term.source.of(circuit.units(term.source.array)[None])[0], float), node.shape)
    amperes = node.conductance * np.broadcast_to(circuit.units(term.target), node.shape)
    gain = np.broadcast_to(np.asarray(term.gain, float), node.shape)
    siemens = np.where(node.present, np.abs(gain) * amperes / unit, 0.0)
    m = fingers(pair, float(siemens.max()))
    gate = pair.control(np.where(siemens > 0, siemens, siemens.max()) / m)
    both = pair.factors(gate) @ pair.coefficients
    if pair.even is not None:
        even = pair.even.factors(gate) @ pair.even.coefficients
        wide = np.zeros((*node.shape, max(both.shape[-1], even.shape[-1])))
        wide[..., : both.shape[-1]] += both
        wide[..., : even.shape[-1]] += even
        both = wide
    powers = [m * both[..., k] * unit**k / (COPIES * card.largest) for k in range(1, both.shape[-1])]
    own = {part.name: getattr(term, part.name) for part in fields(term)}
    return TransistorRectifier(
        **own, law=card.polynomial, entering=np.stack(powers), leaving=np.sign(gain) * COPIES * card.largest / amperes
    )
