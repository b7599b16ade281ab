"""Softmax unit of transistors: branches that bend in moderate inversion, a sink that gives, mirrors that err.

    ln d_i + B(√d_i) = z(v_i) − θ,    Σ d_i = S(θ),    out_i = d_i M(d_i)        (`devices/branch_card.py`)

That is a softmax of z(v_i) − B(√d_i), found by going round a few times: B′ d (1 − d) is some hundredths. What a branch
bends by follows its current at rest; the tail's pole is that of the ideal cell. No kernel has this law: on a GPU it is
evaluated array by array.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import module_of
from .polynomials import Polynomial, derivative, value
from .softmax import ABSENT, Softmax
from .term import Array, Inline, Signals

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.branch_card import BranchCard

TURNS = 8


@dataclass(frozen=True)
class TransistorSoftmax(Softmax):
    """gate, bend, mirror, sink: z, B, M, S of the card; unit: U of the scores [V]."""

    gate: Polynomial = (0.0, 1.0)
    bend: Polynomial = (0.0,)
    mirror: Polynomial = (1.0,)
    sink: Polynomial = (1.0,)
    unit: Array = 1.0
    bends: ClassVar[bool] = True

    def _volts(self, x: Signals) -> Array:
        return (self.source.of(x[self.source.array]) + self.shift / self.gain) * self.unit

    def _found(self, x: Signals) -> tuple[Array, Array, Array]:
        """(z − B of each branch, d of each, S of the row (…, 1))."""
        z = value(self.gate, self._volts(x))
        xp = module_of(z)
        if self.exists is not None:
            z = xp.where(self.exists, z, z.dtype.type(ABSENT))
        bent = z
        for turn in range(TURNS):
            top = bent.max(axis=-1, keepdims=True)
            d = xp.exp(bent - top)
            total = d.sum(axis=-1, keepdims=True)
            held = value(self.sink, top + xp.log(total))
            d = d * (held / total)
            if turn < TURNS - 1:
                bent = z - value(self.bend, xp.sqrt(d))
        return bent, d, held

    def _nats(self, x: Signals) -> Array:
        return self._found(x)[0]

    def _out(self, x: Signals, share: Array) -> Array:
        d = share * self._found(x)[2]
        return d * value(self.mirror, d)

    def settled(self, x: Signals) -> Array:
        return self._out(x, super().settled(x))

    def drive(self, x: Signals) -> Array:
        return self.settled(x) if self.tail is None else self._out(x, super().drive(x))

    @property
    def inline(self) -> Inline | None:
        return None

    def moved(self, x: Signals, dx: Signals) -> Array:
        """As `Softmax.moved`, the bend taken along; leakage is not."""
        bent, d, _ = self._found(x)
        xp = module_of(d)
        dz = value(derivative(self.gate), self._volts(x)) * self.unit * self.source.of(dx[self.source.array])
        q = xp.sqrt(d)
        steep = value(derivative(self.bend), q) * q / 2  # d dB/dd
        share = d / d.sum(axis=-1, keepdims=True)
        change = dz
        for _ in range(TURNS - 1):
            change = dz - steep * (change - (share * change).sum(axis=-1, keepdims=True))
        return xp.exp(bent - bent.max(axis=-1, keepdims=True)) * change

    def jvp(self, x: Signals, dx: Signals) -> Array:
        """The sink's own change with the tail, some thousandths, is left out."""
        plain = super().settled(x) if self.tail is None else super().drive(x)
        held = self._found(x)[2]
        d = plain * held
        return super().jvp(x, dx) * held * (value(self.mirror, d) + d * value(derivative(self.mirror), d))


def softmax_of_transistors(term: Softmax, circuit: Circuit, card: BranchCard) -> TransistorSoftmax:
    """A softmax unit as its card has it."""
    own: dict[str, Any] = {part.name: getattr(term, part.name) for part in fields(term)}
    unit = np.asarray(term.source.of(circuit.units(term.source.array)[None])[0], float)
    own |= {name: tuple(np.asarray(getattr(card, name), float).tolist()) for name in ("gate", "bend", "mirror", "sink")}
    found = TransistorSoftmax(**own, unit=unit)
    return found if term.tail is None else found.resting(circuit)  # type: ignore[return-value]
