"""One-to-one couplings of transistors: one unit from each driving node to each driven one, no crossbar.

    I_i = s_i m Σ_r φ_r(V_i) ψ_r(v_i) = Σ_k c_ki x_i^k · g U_i,        V_i = control(|G_i|/m)

The powers c_k follow from the card's factors at each unit's gate. Noise, power and area are those of the conductance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from .coupling import Coupling
from .mos.coupling import fingers
from .spice import elements, load_lines
from .term import Array, Inline, Signals

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .converter import Converter
    from .mismatch import Draw, Spread
    from .spice import Sheet


@dataclass(frozen=True)
class TransistorLine(Coupling):
    """powers: c_k (n, *target shape or broadcastable) of x^k, k = 1, 1 + step, …"""

    powers: Array = 0.0
    step: int = 2

    def drive(self, x: Signals) -> Array:
        y = self.source.of(x[self.source.array])
        base, total = (y * y if self.step == 2 else y), self.powers[-1]
        for power in self.powers[-2::-1]:
            total = total * base + power
        return total * y

    def jvp(self, x: Signals, dx: Signals) -> Array:
        if self.source.array not in dx:
            return 0.0
        y = self.source.of(x[self.source.array])
        base, total = (y * y if self.step == 2 else y), 0.0
        for k in range(len(self.powers) - 1, -1, -1):
            total = total * base + (1 + self.step * k) * self.powers[k]
        return total * self.source.of(dx[self.source.array])

    @property
    def inline(self) -> Inline:
        base, law = "r0 * r0" if self.step == 2 else "r0", f"v{len(self.powers) - 1}"
        for k in range(len(self.powers) - 2, -1, -1):
            law = f"(v{k} + {base} * {law})"
        return Inline(f"r0 * {law}", (self.source,), tuple(self.powers))

    def buffered(self, circuit: Circuit, gain: float) -> TransistorLine:
        power = np.array([gain ** (1 + self.step * k) for k in range(len(self.powers))])
        return replace(self, powers=self.powers * power.reshape(-1, *(1,) * (np.ndim(self.powers) - 1)))

    @property
    def rows(self) -> None:
        return None

    def _as(self, found: Coupling) -> TransistorLine:
        """This coupling with the weights of another, each unit's current changed as its weight."""
        w = np.asarray(self.weight, float)
        share = np.divide(found.weight, w, out=np.ones(np.shape(found.weight)), where=w != 0)
        return replace(self, weight=found.weight, powers=self.powers * share)

    def quantized(self, circuit: Circuit, dac: Converter) -> TransistorLine:
        return self._as(super().quantized(circuit, dac))

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TransistorLine:
        return self._as(super().fabricate(circuit, spread, draw))

    def spice(self, sheet: Sheet) -> list[str]:
        here = sheet.present(self.target) & sheet.shown(self.source)
        names = np.broadcast_to(sheet.nodes(self.source), here.shape)
        unit, amperes = self._source_units(sheet.circuit), sheet.amperes(self.target)
        law, ends = "0 %s I=V(%s)*(", [sheet.ports(self.target), names]
        for k, power in enumerate(self.powers):
            each = "*".join(["V(%s)"] * (self.step * k))
            law += ("+" if k else "") + "(%.12g)" + ("*" + each if k else "")
            ends += [amperes * power / unit ** (1 + self.step * k), *([names] * (self.step * k))]
        return elements(sheet.prefix("B"), law + ")", here, *ends) + load_lines(sheet, self)


def line_of_transistors(term: Coupling, circuit: Circuit, card: DeviceCard) -> TransistorLine:
    """A one-to-one coupling as `mos/coupling.py` writes it."""
    node = circuit.arrays[term.target]
    siemens = np.broadcast_to(term.siemens(circuit), node.shape)
    m = fingers(card, float((np.abs(siemens) * node.present).max()))
    wanted = np.where(node.present, np.abs(siemens), 0.0) / m
    unit = np.broadcast_to(term._source_units(circuit), node.shape)
    amperes = np.sign(siemens) * m / (node.conductance * np.broadcast_to(circuit.units(term.target), node.shape))
    volts = card.factors(card.control(wanted)) @ card.coefficients  # (*shape, degree + 1) [A/V^k]
    step = 1 if card.coefficients[:, 2::2].any() else 2
    powers = [amperes * volts[..., k] * unit**k for k in range(1, volts.shape[-1], step)]
    own = {part.name: getattr(term, part.name) for part in fields(term)}
    return TransistorLine(**own, powers=np.stack(powers), step=step)
