"""Product unit of transistors: a quad whose gates a node drives, as a pair's device card has it.

    I = m Q(δ, v_b),    δ = K v_a / mS        (`mos/product.py`: S the slope by which conductances differ with δ)

With K = κ g U_t/(U_a U_b) the unit of a cancels, and Q(δ, v) = Σ_n δ^n P_n(v), n odd, makes as many contractions:

    drive_t = Σ_n c_n Σ x_a^n · U_b^−n P_n(U_b x_b),    c_n = (m/gU_t) (κ g U_t/mS)^n

The first, n = 1, is the ideal law and what v_b bends. Noise, power and area are those of the ideal unit.

Of unequal transistors (Pelgrom), each of area W L m: with θ and β the means over the pair of either gate,

    I = m (1 + ½(β_A + β_B)) Q(δ + θ, v_b),        θ = θ_B − θ_A + (β_A − β_B) G/S

G what a pair conducts about the bias: a quad's control has an offset, of the thresholds as of the currents. What both
errors move V_b by, and the even orders of unequal transistors of one pair, some 6 % of σ at 0.1 V, are left out.
Offsets are drawn as errors of K are (`product.py`): ± a number of a's node times a normal one of b's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..devices.laws import quad_law
from .contract import contract
from .mos.product import REACH, gain, products
from .mos.unequal import differs
from .polynomials import Polynomial, derivative, stretched, text, value
from .product import Product, by_element
from .spice import elements
from .term import HOST, Array, Inline, Rows, Signals

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet


@dataclass(frozen=True)
class TransistorProduct(Product):
    """A product whose law is Σ_n δ^n P_n(v). powers n; laws: P_n [A]; shares c_n (n, …), each broadcastable to the
    target; unit: U_b of the view; fingers m; per_volt: S [S/V]; rates: n c_n over δ's share of x_a.

    gate_area [m²]: W L m; standing: G/S [V]. Of a chip: turns ±1 for each node of `a`, offsets θ [V] of each of `b`.
    """

    powers: tuple[int, ...] = ()
    laws: tuple[Polynomial, ...] = ()
    shares: Array = 0.0
    unit: Array = 1.0
    fingers: int = 1
    per_volt: float = field(default=1.0, metadata=HOST)
    rates: Array = 0.0
    gate_area: float = field(default=1.0, metadata=HOST)
    standing: float = field(default=0.0, metadata=HOST)
    turns: Array | None = None
    offsets: Array | None = None
    of_transistors: ClassVar[bool] = True

    def _summed(self, a: Array, b: Array) -> Array:
        total = contract(self.spec, a, b)
        if self.errors is not None:
            total = total + contract(self.spec, a * self.signs, b * self.errors)
        return total.reshape(-1, *self.shape)

    def drive(self, x: Signals) -> Array:
        a, b = self.a.of(x[self.a.array]), self.b.of(x[self.b.array])
        v = b * self.unit
        parts = zip(self.powers, self.laws, self.shares, strict=True)
        ideal = sum((c * self._summed(a**n, value(row, v) / self.unit**n) for n, row, c in parts), start=0.0)
        return ideal if self.offsets is None else ideal + self._moved(a, v)

    def _moved(self, a: Array, v: Array) -> Array:
        """What offsets of the controls add: θ dI/dδ."""
        parts = zip(self.powers, self.laws, self.rates, strict=True)
        return sum(
            rate * self._product(a ** (n - 1) * self.turns, value(row, v) / self.unit ** (n - 1) * self.offsets)
            for n, row, rate in parts
        )

    def _product(self, a: Array, b: Array) -> Array:
        return contract(self.spec, a, b).reshape(-1, *self.shape)

    def jvp(self, x: Signals, dx: Signals) -> Array:
        a, b = self.a.of(x[self.a.array]), self.b.of(x[self.b.array])
        v, change = b * self.unit, 0.0
        for n, row, c in zip(self.powers, self.laws, self.shares, strict=True):
            if self.a.array in dx:
                moved = n * a ** (n - 1) * self.a.of(dx[self.a.array])
                change = change + c * self._summed(moved, value(row, v) / self.unit**n)
            if self.b.array in dx:
                moved = value(derivative(row), v) * self.b.of(dx[self.b.array])
                change = change + c * self._summed(a**n, moved / self.unit ** (n - 1))
        return change if self.offsets is None else change + self._moved_jvp(x, dx)

    def _moved_jvp(self, x: Signals, dx: Signals) -> Array:
        a, b = self.a.of(x[self.a.array]), self.b.of(x[self.b.array])
        v, change = b * self.unit, 0.0
        for n, row, rate in zip(self.powers, self.laws, self.rates, strict=True):
            if self.a.array in dx and n > 1:
                moved = (n - 1) * a ** (n - 2) * self.a.of(dx[self.a.array])
                change = change + rate * self._product(
                    moved * self.turns, value(row, v) / self.unit ** (n - 1) * self.offsets
                )
            if self.b.array in dx:
                moved = value(derivative(row), v) * self.unit * self.b.of(dx[self.b.array])
                change = change + rate * self._product(
                    a ** (n - 1) * self.turns, moved / self.unit ** (n - 1) * self.offsets
                )
        return change

    @property
    def inline(self) -> Inline | None:
        if not by_element(self.spec):
            return None
        error = 1.0 if self.errors is None else 1 + self.signs * self.errors
        law, values = f"v1 * ({self._law(2)})", (self.unit, error, *self.shares)
        if self.offsets is not None:
            law += f" + v{len(values)} * ({self._law(len(values) + 1, less=1)})"
            values = (*values, self.turns * self.offsets, *self.rates)
        return Inline(law, (self.a, self.b), values)

    @property
    def rows(self) -> Rows | None:
        return None

    def buffered(self, circuit: Circuit, gain: float) -> TransistorProduct:
        """P_n(gain · v)."""
        return replace(self, laws=tuple(stretched(row, gain) for row in self.laws))

    def _law(self, first: int, less: int = 0) -> str:
        """CUDA of Σ c_n (x_a/U_b)^(n − less) P_n(U_b x_b); U_b is v0, c_n v{first}, …"""
        parts = []
        for k, (n, row) in enumerate(zip(self.powers, self.laws, strict=True)):
            power = " * ".join(["(r0 / v0)"] * (n - less)) or "(REAL)1"
            parts.append(f"v{first + k} * {power} * {text(row, '(v0 * r1)', '(REAL)%.17g')}")
        return " + ".join(parts)

    def spice(self, sheet: Sheet) -> list[str]:
        keep, index, k, (a, b) = self._pairs(sheet)
        law = "+".join(
            f"{'*'.join(['(({s})*V(a)+({d}))'] * n)}*{text(row, 'V(b)', '%.12g')}"
            for n, row in zip(self.powers, self.laws, strict=True)
        )
        name = sheet.prefix("quad").rstrip(".").lower()
        note = "* I(x) = m Q(s v_a + d, v_b)"
        sheet.need(f".subckt {name} a b x s=1 d=0\n{note}\nB1 0 x I={self.fingers}*({law})\n.ends")
        ports = sheet.ports(self.target).reshape(-1)[index]
        shift = k / (self.fingers * self.per_volt)
        ends = (a, b, ports, shift, self._offset(sheet.circuit))
        return elements(sheet.prefix("X"), f"%s %s %s {name} s=%.12g d=%.12g", keep, *ends)

    def _offset(self, circuit: Circuit) -> Array:
        """θ [V] of each unit, over all index values as `_pairs` has them."""
        return 0.0 if self.offsets is None else self.each(circuit, self.turns, self.offsets)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return products(sheet, self, self._offset(sheet.circuit))

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Product:
        threshold, beta = (area / math.sqrt(self.gate_area) for area in (spread.threshold_area, spread.beta_area))
        found = super().fabricate(circuit, replace(spread, mismatch=math.hypot(spread.mismatch, beta / 2)), draw)
        assert isinstance(found, TransistorProduct)
        if not differs(spread):
            return found
        of_a, of_b = (self._unit(circuit, view).shape[1:] for view in self.sources)
        turns = np.where(draw(self.name, "control sign", of_a) < 0, -1.0, 1.0)
        sigma = math.hypot(threshold, beta * self.standing)
        return replace(found, turns=turns, offsets=sigma * draw(self.name, "control", of_b))

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TransistorProduct:
        """Controls are off by as much more."""
        of_a, of_b = (self._unit(circuit, view).shape[1:] for view in self.sources)
        turns, offsets = self.turns, flicker / math.sqrt(self.gate_area) * draw(self.name, "flicker", of_b)
        if turns is None:
            turns = np.where(draw(self.name, "flicker sign", of_a) < 0, -1.0, 1.0)
        return replace(self, turns=turns, offsets=offsets if self.offsets is None else self.offsets + offsets)


def product_of_transistors(term: Product, circuit: Circuit, pair: DeviceCard, bias: float) -> TransistorProduct:
    """A product unit as `mos/product.py` writes it."""
    node, of_b = circuit.arrays[term.target], circuit.arrays[term.b.array]
    m, per_volt = gain(pair, bias, term.strongest(circuit), term.name)
    volts = float(of_b.rail if of_b.rail is not None else 1.5 * np.max(of_b.full_scale))
    law = quad_law(pair, bias, REACH, volts)
    amperes = node.conductance * circuit.units(term.target)
    shift = np.asarray(term.gain) * amperes / (m * per_volt)
    unit = np.asarray(term.b.of(circuit.units(term.b.array)[None])[0], float)
    own = {part.name: getattr(term, part.name) for part in fields(term)}
    return TransistorProduct(
        **own, powers=law.powers, laws=law.rows, shares=np.stack([m / amperes * shift**n for n in law.powers]),
        rates=np.stack([n * m / amperes * shift ** (n - 1) for n in law.powers]),
        unit=unit, fingers=m, per_volt=per_volt, gate_area=pair.width * pair.length * m,
        standing=float(pair.conductance(np.array(bias))) / per_volt,
    )  # fmt: skip
