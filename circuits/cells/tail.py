"""Tail of an N-input pair: the node where N branches meet their tail current (DESIGN §4).

    N C_j dV/dt = Σ_j I_j − I_T,        I_j = (I_T/N) exp((v_j − V) / nV_T)

C_j is what each device hangs on the node, so the pole slows down with the row: τ = N C_j nV_T / I_T. V counts from
where the tail rests while all inputs are at 0, which is where a reset leaves it: with offsets and leakage N is the
row's Σ e^z there. In nats, T = V/nV_T:

    τ dT/dt = e^(d − T) − 1,        d = ln (1/N) Σ_j e^(z_j),        z_j = v_j / nV_T

At rest T = d, and the branches are a softmax. On the way the tail is fast where it rises, and slews, at 1/τ nats a
second at most, where it falls. e^T obeys a linear lag, which is how the stepper moves it. A time constant added to the
branches instead would have the wrong sign: while a row's scores rise, its currents sum to more than I_T, not to less.

Noise: none of its own; the pair's shot noise is stated by the softmax unit as if the tail were at rest. Power and area
are the softmax unit's. No reset switch, no offset (the branches have theirs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import module_of
from .inner import InnerDrive, InnerNode, phi
from .softmax import ABSENT, Softmax
from .spice import elements
from .term import Array, Rows, Signals, View

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from .mismatch import Draw, Spread
    from .spice import Sheet

FARTHEST = 60.0  # nats; e^60 is no current, but a number in float32


@dataclass(frozen=True)
class TailNode(InnerNode):
    """Tails of a softmax, (…, 1): one a row. unit: nV_T; capacitance: N C_j; conductance: I_T / nV_T."""

    kind: ClassVar[str] = "tail"

    def pull(self, x: Array, drive: Array, standing: Array, offset: Array) -> tuple[Array, Array]:
        """τ dT/dt = e^(d − T) − 1, and minus its derivative."""
        xp = module_of(x)
        rising = xp.exp(xp.minimum(drive - x, FARTHEST))
        return rising - 1, rising

    @property
    def cuda_law(self) -> tuple[str, str]:
        pull = f"""
            const REAL rising = exp(fmin(d[q] - x[q], (REAL){FARTHEST!r}));
            rate[q] = rising - 1;
            slope[q] = rising;"""
        return pull, "d[q]"

    @property
    def grain(self) -> float:
        """A nat: T enters as d − T alone, and near 0 is no more exact than that."""
        return 1.0

    def guess(self, start: Array, drive: Array) -> Array:
        """At rest: from beyond its answer Newton's method comes back at once, from below at a nat a step."""
        return drive

    def stepped(self, ratio: Array, start: Array, before: Array, after: Array, offset: Array) -> Array:
        """e^T is a linear lag of e^d, here in the unit of e^d at the end of the step."""
        first, second = phi(ratio)
        held, pushed = np.exp(start - after), np.exp(before - after)
        return after + np.log(held + ratio * (first * (pushed - held) + second * (1 - pushed)))

    @property
    def cuda_step(self) -> str:
        return """
            const Phi phi(ratio);
            const REAL left = exp(x - after), pushed = exp(before - after);
            x = after + log(left + ratio * (phi.first * (pushed - left) + phi.second * (1 - pushed)));"""

    def spice(self, sheet: Sheet, standing: Array) -> list[str]:
        """A capacitor and the tail current a row."""
        here, tail = sheet.present(self.name), sheet.names[self.name]
        current = self.conductance * sheet.circuit.units(self.name)
        lines = elements(sheet.prefix("C"), "%s 0 %.12g", here, tail, self.capacitance)
        return lines + elements(sheet.prefix("I"), "%s 0 %.12g", here, tail, current)


@dataclass(frozen=True)
class TailDrive(InnerDrive):
    """The branches' currents into their tails: d = ln (1/N) Σ e^(z_j). pair: the softmax unit they belong to."""

    pair: Softmax
    kind: ClassVar[str] = "softmax tail"

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.pair.source,)

    def drive(self, x: Signals) -> Array:
        xp = module_of(x[self.pair.source.array])
        current, top = self.pair.branches(x)
        return xp.log((current * self.pair.share).sum(axis=-1, keepdims=True)) + top

    @property
    def rows(self) -> Rows | None:
        pair = self.pair
        if pair.bends:
            return None
        leak = 0.0 if pair.floor is None else float(np.exp(-pair.floor))
        exists = 1.0 if pair.exists is None else pair.exists
        law = f"(v0 != 0 ? v1 * r0 + v2 : (REAL){ABSENT!r})"
        return Rows(law, self.sources, (exists, pair.gain, pair.shift), pair.share, True, leak, ABSENT)

    def jvp(self, x: Signals, dx: Signals) -> Array:
        if self.pair.source.array not in dx:
            return 0.0
        current, _ = self.pair.branches(x)
        return self.pair.moved(x, dx).sum(axis=-1, keepdims=True) / current.sum(axis=-1, keepdims=True)

    def adjoint(self, back: Backward) -> None:
        """Nothing: the softmax unit states its tail's part."""

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> TailDrive:
        """With the offsets of the very branches that the softmax unit draws."""
        pair = draw.once(self.pair, lambda pair: pair.fabricate(circuit, spread, draw))
        return TailDrive(self.name, self.target, pair)

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> TailDrive:
        pair = draw.once(self.pair, lambda pair: pair.flickering(circuit, flicker, draw))
        return TailDrive(self.name, self.target, pair)

    def spice(self, sheet: Sheet) -> list[str]:
        tail = sheet.names[self.target]
        return self.pair.spice_branches(sheet, tail, tail, sheet.amperes(self.target) * self.pair.share)


def tails(circuit: Circuit, pair: Softmax, junction_capacitance: float) -> TailNode:
    """The tails of a pair: every branch that the target's nodes have hangs a junction on its row's, shut or not.

    Their unit is nV_T of the source's nodes, which a row shares; full scale: the largest of the row's inputs.
    """
    view = pair.source
    shape = circuit.arrays[pair.target].shape
    exists = np.broadcast_to(True if pair.exists is None else pair.exists, shape)
    hung = np.sum(circuit.arrays[pair.target].present, axis=-1, keepdims=True)
    unit, full = (np.asarray(view.of(of(view.array)[None])[0]) for of in (circuit.units, circuit.full_scale))
    volts = float(unit.max()) / pair.gain
    reach = np.broadcast_to(full * pair.gain, shape).max(axis=-1, keepdims=True, where=exists, initial=1e-12)
    return TailNode(
        f"{pair.name}.tail",
        (*shape[:-1], 1),
        unit=volts,
        full_scale=volts * reach,
        capacitance=np.maximum(hung, 1) * junction_capacitance,
        conductance=pair.tail_current / volts,
        exists=exists.any(axis=-1, keepdims=True),
        layer=circuit.arrays[pair.target].layer,
    )
