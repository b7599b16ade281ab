"""Product unit of transistors: a quad whose gates a node drives, as a pair's device card has it.

    I = m Q(δ, v_b),    δ = K v_a / mS        (`mos/product.py`: S the slope by which conductances differ with δ)

With K = κ g U_t/(U_a U_b) the unit of a cancels, and Q(δ, v) = Σ_n δ^n P_n(v), n odd, makes as many contractions:

    drive_t = Σ_n c_n Σ x_a^n · U_b^−n P_n(U_b x_b),    c_n = (m/gU_t) (κ g U_t/mS)^n

The first, n = 1, is the ideal law and what v_b bends. Noise, power and area are those of the ideal unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from ..devices.laws import quad_law
from .contract import contract
from .mos.product import REACH, gain
from .polynomials import Polynomial, derivative, stretched, text, value
from .product import Product, by_element
from .spice import elements
from .term import HOST, Array, Inline, Rows, Signals

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .spice import Sheet


@dataclass(frozen=True)
class TransistorProduct(Product):
    """A product whose law is Σ_n δ^n P_n(v). powers n; laws: P_n [A]; shares c_n (n, …), each broadcastable to the
    target; unit: U_b of the view; fingers m; per_volt: S [S/V]."""

    powers: tuple[int, ...] = ()
    laws: tuple[Polynomial, ...] = ()
    shares: Array = 0.0
    unit: Array = 1.0
    fingers: int = 1
    per_volt: float = field(default=1.0, metadata=HOST)

    def _summed(self, a: Array, b: Array) -> Array:
        total = contract(self.spec, a, b)
        if self.errors is not None:
            total = total + contract(self.spec, a * self.signs, b * self.errors)
        return total.reshape(-1, *self.shape)

    def drive(self, x: Signals) -> Array:
        a, b = self.a.of(x[self.a.array]), self.b.of(x[self.b.array])
        v = b * self.unit
        parts = zip(self.powers, self.laws, self.shares, strict=True)
        return sum((c * self._summed(a**n, value(row, v) / self.unit**n) for n, row, c in parts), start=0.0)

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
        return change

    @property
    def inline(self) -> Inline | None:
        if not by_element(self.spec):
            return None
        error = 1.0 if self.errors is None else 1 + self.signs * self.errors
        return Inline(f"v1 * ({self._law(2)})", (self.a, self.b), (self.unit, error, *self.shares))

    @property
    def rows(self) -> Rows | None:
        return None

    def buffered(self, circuit: Circuit, gain: float) -> TransistorProduct:
        """P_n(gain · v)."""
        return replace(self, laws=tuple(stretched(row, gain) for row in self.laws))

    def _law(self, first: int) -> str:
        """CUDA of Σ c_n (x_a/U_b)^n P_n(U_b x_b); U_b is v0, c_n v{first}, …"""
        parts = []
        for k, (n, row) in enumerate(zip(self.powers, self.laws, strict=True)):
            power = " * ".join(["(r0 / v0)"] * n)
            parts.append(f"v{first + k} * {power} * {text(row, '(v0 * r1)', '(REAL)%.17g')}")
        return " + ".join(parts)

    def spice(self, sheet: Sheet) -> list[str]:
        keep, index, k, (a, b) = self._pairs(sheet)
        law = "+".join(
            f"{'*'.join(['({s})*V(a)'] * n)}*{text(row, 'V(b)', '%.12g')}"
            for n, row in zip(self.powers, self.laws, strict=True)
        )
        name = sheet.prefix("quad").rstrip(".").lower()
        sheet.need(f".subckt {name} a b x s=1\n* I(x) = m Q(s v_a, v_b)\nB1 0 x I={self.fingers}*({law})\n.ends")
        ports = sheet.ports(self.target).reshape(-1)[index]
        shift = k / (self.fingers * self.per_volt)
        return elements(sheet.prefix("X"), f"%s %s %s {name} s=%.12g", keep, a, b, ports, shift)


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
        unit=unit, fingers=m, per_volt=per_volt,
    )  # fmt: skip
