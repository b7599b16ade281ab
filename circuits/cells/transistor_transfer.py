"""Tanh pair and rectifier of transistors: the ideal laws, bent as their cell cards say.

    tanh       f = gain (C₊(y₊) − C₋(y₋)), y± late (`mirror.py`) behind τ (1 ± Σ_k c_k t^k)/2,    t = tanh(x + shift)
    rectifier  f(x) = (2 I₀/gU) C(t) Σ_k c_k t^(k−1),     t = m [o(V, v) + e(V, v)]/2I₀ at v = U ramp(x)

The rectifier's current is one transistor's, f(V, v/2), which its conveyor halves and its mirror, measured up to I₀,
takes four times, of which half is in the node. Noise, power and area are those of the ideal cells.

Of unequal transistors (Pelgrom) a tanh pair has an offset, a share τ of its tail's current and mirrors C± of its own
(`copies.py`); auto-zero takes away what leaves at input 0. A rectifier's device and mirror err too. Alike: C(y) = y.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import module_of
from ..errors import Error
from .copies import Copies
from .mirror import BranchDrive, MirrorNode, mirrors
from .mos.coupling import fingers
from .mos.rectifier import COPIES, copies_of, rectifier_gates, rectifiers
from .mos.tanh_pair import pair_errors, pair_gates, tanh_pairs
from .mos.unequal import differs
from .polynomials import Polynomial, derivative, text, value
from .rectifier import Rectifier
from .smooth import ramp, ramp_slope
from .spice import elements, knee
from .tanh_pair import TanhPair
from .term import HOST, Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from ..devices.cell_card import CellCard
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .mos.unequal import Gates, Unequal
    from .spice import Sheet

REST = 0.5  # of its tail, in a branch after a reset
TURNS = 8  # of Newton's method, to where a pair of unequal transistors is balanced


@dataclass(frozen=True)
class TransistorTanh(TanhPair):
    """law: c_k, lowest power first; up, down: the pair's mirrors, which hand on (1 ± Σ_k c_k t^k)/2 of its tail.

    Of a chip: unequal, its transistors' errors, and what follows from them: own, the part of `shift` that is theirs;
    tail τ; copies of both branches.
    """

    law: Polynomial = (0.0, 1.0)
    up: View = field(kw_only=True)
    down: View = field(kw_only=True)
    unequal: Unequal | None = field(default=None, metadata=HOST)
    own: Array = field(default=0.0, metadata=HOST)
    tail: Array = 1.0
    copies: tuple[Copies, Copies] | None = None
    of_transistors: ClassVar[bool] = True

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
        share = self.share(x)
        return self._passed(self.tail * (1 + share) / 2, self.tail * (1 - share) / 2)

    def _passed(self, up: Array, down: Array) -> Array:
        """What leaves the mirrors of such branch currents."""
        if self.copies is None:
            return self.gain * (up - down)
        return self.gain * (self.copies[0].of(up) - self.copies[1].of(down))

    def share(self, x: Array) -> Array:
        """Of the tail's current, what one branch has more than the other."""
        return value(self.law, module_of(x).tanh(x + self.shift))

    def slope(self, x: Array) -> Array:
        t = module_of(x).tanh(x + self.shift)
        slope, share = value(derivative(self.law), t) * (1 - t * t), value(self.law, t)
        if self.copies is None:
            return self.gain * self.tail * slope
        ends = zip(self.copies, (1 + share, 1 - share), strict=True)
        return self.gain * self.tail * slope * sum(copy.slope(self.tail * end / 2) for copy, end in ends) / 2

    @property
    def inline_slope(self) -> Inline | None:
        if self.copies is not None:
            return None
        t = "tanh(r0 + v1)"
        law = f"v0 * {text(derivative(self.law), t, '(REAL)%.17g')} * (1 - {t} * {t})"
        return Inline(law, (self.source,), (self.gain, self.shift))

    def drive(self, x: Signals) -> Array:
        if self.copies is None:
            return self.gain * (x[self.up.array] - x[self.down.array])
        return self._passed(x[self.up.array] + REST, x[self.down.array] + REST)

    @property
    def inline(self) -> Inline:
        if self.copies is None:
            return Inline("v0 * (r0 - r1)", (self.up, self.down), (self.gain,))
        (up, down), rest = self.copies, f"(REAL){REST}"
        law = f"v0 * ({up.law(f'(r0 + {rest})', 1)} - {down.law(f'(r1 + {rest})', 1 + len(up.values))})"
        return Inline(law, (self.up, self.down), (self.gain, *up.values, *down.values))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        up, down = dx.get(self.up.array, 0.0), dx.get(self.down.array, 0.0)
        if self.copies is not None:
            up = up * self.copies[0].slope(x[self.up.array] + REST)
            down = down * self.copies[1].slope(x[self.down.array] + REST)
        return self.gain * (up - down)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TanhPair:
        """With unequal transistors, as far as the spread has any, beside the offset that it states."""
        residual = spread if spread.auto_zero is None else replace(spread, offset=spread.auto_zero)
        found = super().fabricate(circuit, residual, draw)
        if not differs(spread):
            return found
        errors = pair_gates(self.tail_current, self._ratio(circuit)).of_chip(spread, draw, self.name)
        made = replace(self, shift=0.0)._of(errors, circuit)
        zeroed = 0.0 if spread.auto_zero is None else made.balance()
        return replace(made, shift=found.shift + made.shift + zeroed)

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TanhPair:
        gates = pair_gates(self.tail_current, self._ratio(circuit))
        return self._of(gates.of_run(flicker, draw, self.name, self.unequal), circuit)

    def _ratio(self, circuit: Circuit) -> Array:
        """Of the output mirrors."""
        return self.full_current(circuit, self.gain) / self.tail_current

    def _of(self, errors: Unequal, circuit: Circuit) -> TransistorTanh:
        """This pair of transistors with these errors."""
        own, tail, up, down = pair_errors(errors, self.tail_current, self._ratio(circuit), circuit.thermal_voltage)
        shift = self.shift - self.own + own
        return replace(self, unequal=errors, own=own, tail=tail, copies=(up, down), shift=shift)

    def balance(self) -> Array:
        """Input [logical units] at which as much leaves by both branches, by Newton's method."""
        x = -np.asarray(self.shift, float)
        for _ in range(TURNS):
            found, slope = self.f(x), self.slope(x)
            x = x - np.clip(np.divide(found, slope, out=np.zeros_like(found), where=slope != 0), -1, 1)
        return x

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return tanh_pairs(sheet, replace(self, shift=self.shift - self.own), self.unequal)

    def spice(self, sheet: Sheet) -> list[str]:
        if self.copies is not None:
            return self._spice_copies(sheet)
        here, port, siemens = sheet.present(self.target), sheet.ports(self.target), sheet.amperes(self.target)
        lines: list[str] = []
        for view, sign in ((self.up, 1), (self.down, -1)):
            passed = sign * self.gain * siemens / sheet.units(view)
            lines += elements(sheet.prefix("G"), "0 %s %s 0 %.12g", here, port, sheet.nodes(view), passed)
        return lines

    def _spice_copies(self, sheet: Sheet) -> list[str]:
        assert self.copies is not None
        here, laws = sheet.present(self.target), []
        for view, copies in zip((self.up, self.down), self.copies, strict=True):
            nodes, units = sheet.nodes(view), np.broadcast_to(sheet.units(view), here.shape)
            y = {i: f"(V({nodes[i]})/{units[i]:.12g}+{REST})" for i in zip(*np.nonzero(here), strict=True)}
            laws.append({i: copies.spice(text, i) for i, text in y.items()})
        both = np.full(here.shape, "", object)
        for i, up in laws[0].items():
            both[i] = f"{up}-{laws[1][i]}"
        amperes = np.broadcast_to(self.gain * sheet.amperes(self.target), here.shape)
        return elements(sheet.prefix("B"), "0 %s I=%.12g*(%s)", here, sheet.ports(self.target), amperes, both)


@dataclass(frozen=True)
class TanhBranch(BranchDrive):
    """One branch of a tanh pair: (1 + sign Σ_k c_k t^k)/2 of its tail's current. pair: which it belongs to."""

    pair: TransistorTanh
    sign: int = 1

    def drive(self, x: Signals) -> Array:
        source = self.pair.source
        return self.pair.tail * (1 + self.sign * self.pair.share(source.of(x[source.array]))) / 2

    @property
    def inline(self) -> Inline:
        law = text(self.pair.law, "tanh(r0 + v0)", "(REAL)%.17g")
        return Inline(
            f"v1 * (1 + (REAL){self.sign} * {law}) / 2", (self.pair.source,), (self.pair.shift, self.pair.tail)
        )

    def jvp(self, x: Signals, dx: Signals) -> Array:
        source = self.pair.source
        if source.array not in dx:
            return 0.0
        t = module_of(dx[source.array]).tanh(source.of(x[source.array]) + self.pair.shift)
        slope = value(derivative(self.pair.law), t) * (1 - t * t)
        return self.sign / 2 * self.pair.tail * slope * source.of(dx[source.array])

    def spice(self, sheet: Sheet) -> list[str]:
        law = text(self.pair.law, "tanh(({a})*V(in)+({b}))", "%.12g")
        name = sheet.prefix("tanh").rstrip(".").lower()
        sheet.need(
            f".subckt {name} in x i=1 a=1 b=0\n* I(x) = i (1 ± a polynomial of tanh)/2: a branch\n"
            f"B1 0 x I=({{i}})*(1+({self.sign})*({law}))/2\n.ends"
        )
        values = (sheet.amperes(self.target) * self.pair.tail, 1 / sheet.units(self.pair.source), self.pair.shift)
        ends = (sheet.nodes(self.pair.source), sheet.ports(self.target))
        pattern = f"%s %s {name} i=%.12g a=%.12g b=%.12g"
        return elements(sheet.prefix("X"), pattern, sheet.present(self.target), *ends, *values)


@dataclass(frozen=True)
class Front:
    """The device in front of a rectifier: m fingers of a pair's transistor, the gate of each node, units of its input;
    largest I₀ [A]."""

    pair: DeviceCard
    fingers: int
    gate: Array
    unit: Array
    largest: float

    def powers(self, shift: Array = 0.0, gain: Array = 0.0) -> Array:
        """t = Σ_k p_k x^k, from k = 1 on, (n, *target), of transistors that are off by so much."""
        pair, gate = self.pair, np.clip(self.gate - shift, self.pair.gates[0], self.pair.gates[-1])
        both = pair.factors(gate) @ pair.coefficients
        if pair.even is not None:
            even = pair.even.factors(gate) @ pair.even.coefficients
            wide = np.zeros((*gate.shape, max(both.shape[-1], even.shape[-1])))
            wide[..., : both.shape[-1]] += both
            wide[..., : even.shape[-1]] += even
            both = wide
        scale = self.fingers * (1 + np.asarray(gain)) / (self.largest * COPIES / 2)
        return np.stack([scale * both[..., k] * self.unit**k for k in range(1, both.shape[-1])])


@dataclass(frozen=True)
class TransistorRectifier(Rectifier):
    """law: c_k; entering: powers (n, *target) of ramp(x) in t, from the first on; leaving: 2 I₀/gU with the gain's
    sign (*target). front: the device; of a chip: unequal, the transistors' errors, and copies of the mirrors."""

    law: Polynomial = (0.0, 1.0)
    entering: Array = 1.0
    leaving: Array = 1.0
    front: Front = field(kw_only=True, metadata=HOST)
    unequal: Unequal | None = field(default=None, metadata=HOST)
    copies: Copies | None = None
    of_transistors: ClassVar[bool] = True

    def _entering(self, y: Array) -> tuple[Array, Array]:
        """(t, dt/dy)."""
        t, slope = self.entering[-1], 0.0
        for power in self.entering[-2::-1]:
            slope = slope * y + t
            t = t * y + power
        return t * y, slope * y + t

    def f(self, x: Array) -> Array:
        t = self._entering(ramp(x, self.knee))[0]
        if self.copies is None:
            return self.leaving * value(self.law, t)
        return self.leaving * self.copies.of(t) * value(self.law[1:], t)

    def slope(self, x: Array) -> Array:
        t, slope = self._entering(ramp(x, self.knee))
        steep = value(derivative(self.law), t)
        if self.copies is not None:
            bent = self.law[1:]
            steep = self.copies.slope(t) * value(bent, t) + self.copies.of(t) * value(derivative(bent), t)
        return self.leaving * steep * slope * ramp_slope(x, self.knee)

    @property
    def inline(self) -> Inline | None:
        """Not with copies, whose law is long: array by array."""
        if self.copies is not None:
            return None
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
        made = replace(self, gain=found.gain, leaving=self.leaving * found.gain / self.gain)
        if not differs(spread):
            return made
        return made._of(self._gates(circuit).of_chip(spread, draw, self.name), circuit)

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TransistorRectifier:
        return self._of(self._gates(circuit).of_run(flicker, draw, self.name, self.unequal), circuit)

    def _gates(self, circuit: Circuit) -> Gates:
        return rectifier_gates(self.front.pair, self.front.fingers, circuit.arrays[self.target].shape)

    def _of(self, errors: Unequal, circuit: Circuit) -> TransistorRectifier:
        """This rectifier of transistors with these errors."""
        entering = self.front.powers(errors.shift["1"], errors.gain["1"])
        copies = copies_of(errors, self.front.largest, circuit.thermal_voltage)
        return replace(self, unequal=errors, entering=entering, copies=copies)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return rectifiers(sheet, self, self.unequal)

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
            t = text((0.0, *own), f"V({port[i]})", "%.12g")
            out = text(self.law, t, "%.12g")
            if self.copies is not None:
                out = f"({self.copies.spice(t, i)})*{text(self.law[1:], t, '%.12g')}"
            laws[i] = f"{amperes[i]:.12g}*{out}"
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
    half = np.full(circuit.arrays[term.target].shape, REST)
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
    front = Front(pair, m, gate, unit, card.largest)
    own = {part.name: getattr(term, part.name) for part in fields(term)}
    leaving = np.sign(gain) * card.largest * COPIES / 2 / amperes
    return TransistorRectifier(**own, law=card.polynomial, entering=front.powers(), leaving=leaving, front=front)
