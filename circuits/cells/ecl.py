"""ECL path: the multiplier that moves a weight by the loss current (the paper's fig. 4, eq. 15; DESIGN §8).

An output node is held at its target. What it would need flows through the sampling resistor r instead, whose voltage
V_r = r I_L a multiplier takes times v_j onto the control capacitor of the coupling from j:

    C_J dV_J/dt = −k V_r v_j · c(V_J)          k [A/V²]; −dL/dw = −I_L x_j of L = ½ Σ I_L²

Eq. 15 has 2 I_L x_j of L = Σ I_L²; the 2 is part of k. Normalised (`term.py`), with τ = C_J/g₀ of the control
capacitors and κ = k U_r U_x/(g₀ U_J), which is 1 by design:

    τ dw_ij/dt = z c(w_ij; z),      z = −κ [(1 + ε_ij) Σ_p I_L,i x_j + δ_ij]

Range: the output mirror, in weak inversion, runs out of headroom h = R ∓ w towards the rail that it pushes to,
c = 1 − exp(−h/V_T): weights come to R, never beyond it, and leave it at once when the loss changes sign.
Mismatch: ε (`mismatch`, of the gain) and δ (`offset`, of the product's full scale, at the output).
Noise: a multiplier of class A, two branches that share I_T = |k| V_r v_j at full scale: 2q I_T = 4kT·G, G = I_T/2V_T.
Supply: I_T, always. Area: two tanh pairs (three differential pairs, one tail, one output mirror).
Positions p push into one capacitor by a multiplier each, those of one weight taken as alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import module_of
from .contract import contract
from .hold import AtCapacitor
from .power import Meter
from .siemens import Siemens
from .spice import elements
from .term import Array, Signals, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .spice import Sheet

FAR = 30.0  # headroom is taken as at least −FAR thermal voltages, so that no exponential overflows

SUBCIRCUIT = """.subckt ecl_multiplier s v w x y k=1 off=0 rail=1 vt=1
* from y into x: -(k v_s v_v + off), until the capacitor w is at its rail; vt: kT/q
B1 y x I={law}
.ends"""
POSITIONS = "pqrstu"


def charge_of_step(loss: Array, source: Array, volts: float, farads: float) -> float:
    """Coulombs Σ I_T T of the multipliers of (*positions, out) losses and (*positions, in) sources in a step of T.

    I_T T = C_J ΔV, ΔV what the product of full scales moves a capacitor by: a step's supply does not depend on how long
    it takes. loss, source: full scales, logical; volts: on a control capacitor for a loss × source of 1, U_J η of a
    learning rate η; farads: of it.
    """
    return farads * volts * float((loss.sum(axis=-1) * source.sum(axis=-1)).sum())


@dataclass(frozen=True)
class EclMultiplier(AtCapacitor, Term):
    """Multipliers of `loss` (*positions, out) and `source` (*positions, in) into the weights `target` (out, in).

    gain: κ. reach: R, and thermal: kT/q, in logical units of each weight, broadcastable to the target's shape.
    errors, shift: ε and δ of a chip.
    """

    name: str
    target: str
    loss: View
    source: View
    reach: Array
    thermal: Array
    gain: float = 1.0
    errors: Array = 0.0
    shift: Array = 0.0
    kind: ClassVar[str] = "ECL multiplier"

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.loss, self.source, View(self.target))

    def _push(self, loss: Array, source: Array, shift: Array) -> Array:
        """z of a loss and what meets it."""
        p = POSITIONS[: source.ndim - 2]
        return -self.gain * ((1 + self.errors) * contract(f"{p}o,{p}i->oi", loss, source) + shift)

    def _headroom(self, z: Array, w: Array) -> Array:
        """e^(−h/V_T), h towards the rail that z pushes to."""
        xp = module_of(w)
        return xp.exp(xp.minimum((xp.sign(z) * w - self.reach) / self.thermal, FAR))

    def drive(self, x: Signals) -> Array:
        z = self._push(self.loss.of(x[self.loss.array]), self.source.of(x[self.source.array]), self.shift)
        return z * (1 - self._headroom(z, x[self.target]))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        loss, source, w = self.loss.of(x[self.loss.array]), self.source.of(x[self.source.array]), x[self.target]
        z = self._push(loss, source, self.shift)
        left, moved = self._headroom(z, w), 0.0
        if self.loss.array in dx:
            moved = moved + self._push(self.loss.of(dx[self.loss.array]), source, 0.0) * (1 - left)
        if self.source.array in dx:
            moved = moved + self._push(loss, self.source.of(dx[self.source.array]), 0.0) * (1 - left)
        if self.target in dx:
            moved = moved - abs(z) * left / self.thermal * dx[self.target]
        return moved

    def full_current(self, circuit: Circuit) -> Array:
        """I_T [A] of each multiplier, (*positions, out, in)."""
        loss, source = (self._full(circuit, view) for view in (self.loss, self.source))
        amperes = circuit.arrays[self.target].conductance * circuit.units(self.target) * abs(self.gain)
        return amperes * loss[..., :, None] * source[..., None, :]

    def _full(self, circuit: Circuit, view: View) -> Array:
        return view.of((circuit.full_scale(view.array) * circuit.arrays[view.array].present)[None])[0]

    def _all(self, circuit: Circuit) -> Array:
        """Σ I_T [A] at each weight."""
        return self.full_current(circuit).reshape(-1, *circuit.arrays[self.target].shape).sum(axis=0)

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens(self._all(circuit) / (2 * circuit.thermal_voltage))

    def meter(self, circuit: Circuit) -> Meter:
        return Meter(standing=float(self._all(circuit).sum()))

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return 2 * technology.tanh.area * self.count(circuit)

    def count(self, circuit: Circuit) -> int:
        return int(np.count_nonzero(self.full_current(circuit)))

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        """Gates of pairs: one for each weight in the row of the loss, in the column of the source."""
        rows, columns = circuit.arrays[self.target].shape
        return [(self.loss, 0, columns), (self.source, 0, rows)]

    def columns(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].shape[1]

    @property
    def conveyed(self) -> bool:
        """The output mirror ends on the capacitor itself."""
        return False

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> EclMultiplier:
        shape = circuit.arrays[self.target].shape
        errors, shift = self.errors, self.shift
        if spread.mismatch:
            errors = spread.mismatch * draw(self.name, "multiplier gain", shape)
        if spread.offset:
            loss, source = (self._full(circuit, view) for view in (self.loss, self.source))
            full = (loss[..., :, None] * source[..., None, :]).reshape(-1, *shape).max(axis=0)
            shift = spread.offset * full * draw(self.name, "multiplier offset", shape)
        return replace(self, errors=errors, shift=shift)

    def _lines(self, sheet: Sheet, x: Array, y: Array) -> list[str]:
        """One multiplier for each position and weight, from the nodes y into the nodes x."""
        amperes = sheet.amperes(self.target)
        loss, source = sheet.nodes(self.loss)[..., :, None], sheet.nodes(self.source)[..., None, :]
        k = self.gain * amperes / (sheet.units(self.loss)[..., :, None] * sheet.units(self.source)[..., None, :])
        here = sheet.shown(self.loss)[..., :, None] & sheet.shown(self.source)[..., None, :]
        count = math.prod(k.shape[:-2])
        volts = sheet.circuit.units(self.target)
        z = "({k})*V(s)*V(v)+({off})"
        law = f"({z}>0) ? -({z})*(1-exp(-(({{rail}})+V(w))/({{vt}}))) : -({z})*(1-exp(-(({{rail}})-V(w))/({{vt}})))"
        sheet.need(SUBCIRCUIT.replace("{law}", law))
        pattern = "%s %s %s %s %s ecl_multiplier k=%.12g off=%.12g rail=%.12g vt=%.12g"
        values = (k * (1 + self.errors), self.gain * amperes * self.shift / count, self.reach * volts)
        ends = (loss, source, sheet.names[self.target], x, y)
        return elements(sheet.prefix("X"), pattern, here, *ends, *values, self.thermal * volts)
