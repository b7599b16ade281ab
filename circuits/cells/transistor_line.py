"""One-to-one couplings of transistors: one unit from each driving node to each driven one, no crossbar.

    I_i = s_i m Σ_r φ_r(V_i) ψ_r(v_i) = Σ_k c_ki x_i^k · g U_i,        V_i = control(|G_i|/m)

The powers c_k follow from the card's factors at each unit's gate. Noise, power and area are those of the conductance.
A chip's units have transistors of their own, as those of crossbars (`transistor_errors.py`), a unit a node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .coupling import Coupling
from .mismatch import Spread
from .mos.coupling import fingers, units
from .mos.rails import INPUTS, SIDES
from .spice import elements, load_lines
from .term import HOST, Array, Inline, Signals
from .transistor_errors import Devices, Drawn, Errors
from .transistor_units import at_inputs, control_of, lowered, powers_of, verified_control

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .channel import Ends
    from .converter import Converter
    from .mismatch import Draw
    from .mos.sheet import DeviceSheet
    from .spice import Sheet


@dataclass(frozen=True)
class TransistorLine(Coupling):
    """powers: c_k (n, *target shape or broadcastable) of x^k, k = 1, 1 + step, …; card: of a finger; fingers: m; seen:
    gain of the buffers in front; lowered [V]: as of a crossbar. Of a chip: devices, errors (transistors, *target) of
    each unit's; gates of theirs [V].
    """

    powers: Array = 0.0
    step: int = 2
    card: DeviceCard = field(kw_only=True, metadata=HOST)
    fingers: int = 1
    seen: float = 1.0
    lowered: float = field(default=0.0, metadata=HOST)
    devices: Devices | None = field(default=None, metadata=HOST)
    gates: Array | None = field(default=None, metadata=HOST)
    of_transistors: ClassVar[bool] = True

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
        return replace(self, powers=self.powers * power.reshape(-1, *(1,) * (np.ndim(self.powers) - 1)), seen=gain)

    def hung(self, circuit: Circuit, ends: Ends) -> Array:
        siemens, gates = self._standing(circuit)
        return at_inputs(self.card, gates, ends) * (self.fingers * (siemens != 0))

    def raised(self, circuit: Circuit, volts: float) -> TransistorLine:
        made = replace(self, lowered=lowered(self.card, volts))
        powers, step = made.shaped(circuit, self._standing(circuit)[1])
        return replace(made, powers=powers, step=step)

    def _standing(self, circuit: Circuit) -> tuple[Array, Array]:
        """|G| [S] of the target's nodes, and the gates [V] that make them."""
        siemens = np.broadcast_to(np.abs(self.siemens(circuit)), circuit.arrays[self.target].shape)
        return siemens, control_of(self.card, siemens / self.fingers) if self.gates is None else self.gates

    @property
    def rows(self) -> None:
        return None

    def _as(self, found: Coupling) -> TransistorLine:
        """This coupling with the weights of another, each unit's current changed as its weight."""
        return replace(self, weight=found.weight, powers=self.powers * self._share(found))

    def _share(self, found: Coupling) -> Array:
        """How many times as large each unit's current is with the weights of another."""
        w = np.asarray(self.weight, float)
        return np.divide(found.weight, w, out=np.ones(np.shape(found.weight)), where=w != 0)

    def quantized(self, circuit: Circuit, dac: Converter) -> TransistorLine:
        return self._as(super().quantized(circuit, dac))

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TransistorLine:
        found = super().fabricate(circuit, spread, draw)
        if not spread.of_transistors:
            return self._as(found)
        shape = circuit.arrays[self.target].shape
        verify = spread.write_verify if self.programmable else None
        drawn = self._drawn(Errors(replace(spread, write_verify=verify), draw, self.name), shape)
        devices, wanted = drawn.chip, self._wanted(circuit, shape)
        assert devices is not None
        gates = control_of(self.card, wanted)
        if drawn.residual is not None:
            wanted = wanted * (1 + drawn.residual)
            gates = verified_control(self.card, gates, wanted, devices, None, self.lowered)
        share = np.abs(np.broadcast_to(self._share(found), shape))
        devices = Devices(devices.shift, (1 + devices.gain) * share - 1)
        return replace(self, weight=found.weight)._of(devices, gates, circuit)

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TransistorLine:
        shape = circuit.arrays[self.target].shape
        now = self._drawn(Errors(Spread(), draw, self.name, flicker=flicker, run=draw), shape).run
        assert now is not None
        if self.devices is not None:
            now = Devices(now.shift + self.devices.shift, self.devices.gain)
        gates = control_of(self.card, self._wanted(circuit, shape)) if self.gates is None else self.gates
        return self._of(now, gates, circuit)

    def _wanted(self, circuit: Circuit, shape: tuple[int, ...]) -> Array:
        """|G|/m [S] of each unit's finger."""
        return np.broadcast_to(np.abs(self.siemens(circuit)), shape) / self.fingers

    def _drawn(self, errors: Errors, shape: tuple[int, ...]) -> Drawn:
        """Of a unit a node."""
        drawn = errors.drawn(self.card, self.fingers, (math.prod(shape[:-1]), shape[-1]))
        chip, run = (
            None if of is None else Devices(of.shift.reshape(-1, *shape), of.gain.reshape(-1, *shape))
            for of in (drawn.chip, drawn.run)
        )
        return Drawn(chip, run, None if drawn.residual is None else drawn.residual.reshape(shape))

    def _of(self, devices: Devices, gates: Array, circuit: Circuit) -> TransistorLine:
        """This coupling with units of these devices, at these gates [V]."""
        made = replace(self, devices=devices, gates=gates)
        powers, step = made.shaped(circuit, gates)
        return replace(made, powers=powers, step=step)

    def shaped(self, circuit: Circuit, gates: Array) -> tuple[Array, int]:
        """(`powers`, `step`) of units with these gates [V], in the target's shape."""
        node = circuit.arrays[self.target]
        unit = self.seen * np.broadcast_to(self._source_units(circuit), node.shape)
        drive = np.sign(np.broadcast_to(np.asarray(self.weight, float), node.shape)) * self.fingers
        amperes = drive / (node.conductance * np.broadcast_to(circuit.units(self.target), node.shape))
        volts = powers_of(self.card, gates - self.lowered, self.devices)
        step = 1 if volts[..., 2::2].any() else 2
        return np.stack([amperes * volts[..., k] * unit**k for k in range(1, volts.shape[-1], step)]), step

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        if self.devices is None or self.gates is None:
            return super().spice_device(sheet)
        ((index, driver, g),) = self._pairs(sheet)
        keep, into = g != 0, sheet.names[self.target].reshape(-1)
        own = Devices(self.devices.shift[:, keep], self.devices.gain[:, keep])
        chosen = (np.broadcast_to(driver, g.shape)[keep], into[index[keep]], np.sign(g[keep]), self.gates[keep])
        return units(sheet, self.card, self.fingers, *chosen, SIDES if self.passive else INPUTS, own)

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
    own = {part.name: getattr(term, part.name) for part in fields(term)}
    bare = TransistorLine(**own, card=card, fingers=m)
    powers, step = bare.shaped(circuit, card.control(wanted))
    return replace(bare, powers=powers, step=step)
