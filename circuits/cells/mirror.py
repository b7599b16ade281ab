"""Output mirrors of a transfer cell: the diode-connected device that a branch's current goes into, and its copies.

    C dV/dt = d − I(V),        d: the branch's current

A diode is the slower the less it carries: its conductance is I/nV_T in weak inversion, less above. In the current y
that its copies pass on, d and y as shares of the tail's,

    (w/y + s) dy/dt = d − y            w, s of mirrors of ratio r: `devices/lag.py`

Both mirrors of a branch, the straight one and the one that is turned round by another diode, are taken as one of their
mean delay. x counts from where a reset leaves y, which is minus the node's offset. Under `LEAST` of the tail's current
a diode is as slow as there: what is left of it is then no matter. As volts a node has y, the tail's current over 1 V.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import module_of
from .inner import InnerDrive, InnerNode, phi
from .spice import elements
from .term import Array, Term, View
from .transfer import Transfer

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.lag import Lag
    from .mismatch import Draw, Spread
    from .spice import Sheet

LEAST = 1e-3  # of the tail's current
TURNS = 4


@dataclass(frozen=True)
class MirrorNode(InnerNode):
    """Mirrors of an array's branches. weak: w/(w + s), of time constants C/g = w + s; offset: minus what a reset leaves
    as y; conductance: I_T/1 V."""

    weak: float = 0.5
    kind: ClassVar[str] = "mirror"

    def later(self, seconds: float) -> MirrorNode:
        """With so much more s."""
        late = np.asarray(self.capacitance) + seconds * self.conductance
        return replace(self, capacitance=late, weak=self.weak * float(np.mean(self.capacitance) / np.mean(late)))

    def quick(self, x: Array, offset: Array) -> Array:
        """(w + s)/(w/y + s)."""
        y = module_of(x).maximum(x - offset, LEAST)
        return y / (self.weak + (1 - self.weak) * y)

    def pull(self, x: Array, drive: Array, standing: Array, offset: Array) -> tuple[Array, Array]:
        y = x - offset
        quick, weak = self.quick(x, offset), self.weak
        steep = (y > LEAST) * weak / (weak + (1 - weak) * module_of(x).maximum(y, LEAST)) ** 2
        return quick * (drive - y), quick - steep * (drive - y)

    @property
    def cuda_law(self) -> tuple[str, str]:
        w = f"(REAL){self.weak!r}"
        pull = f"""
            const REAL y = x[q] - offset, held = fmax(y, (REAL){LEAST!r}), below = {w} + (1 - {w}) * held;
            rate[q] = held / below * (d[q] - y);
            slope[q] = held / below - (y > (REAL){LEAST!r} ? {w} / (below * below) : (REAL)0) * (d[q] - y);"""
        return pull, "d[q] + offset"

    @property
    def grain(self) -> float:
        return 1.0

    def guess(self, start: Array, drive: Array) -> Array:
        """At rest."""
        return drive + self.offset

    def stepped(self, ratio: Array, start: Array, before: Array, after: Array, offset: Array) -> Array:
        """The lag at the mean of both ends' quickness, found by going round."""
        y, at_start, x = start - offset, self.quick(start, offset), start
        for _ in range(TURNS):
            a = ratio * (at_start + self.quick(x, offset)) / 2
            first, second = phi(a)
            x = start + a * (first * (before - y) + second * (after - before))
        return x

    @property
    def cuda_step(self) -> str:
        w = f"(REAL){self.weak!r}"
        quick = f"(fmax(%s - offset, (REAL){LEAST!r}) / ({w} + (1 - {w}) * fmax(%s - offset, (REAL){LEAST!r})))"
        return f"""
            const REAL start = x, at_start = {quick % ("x", "x")};
            for (int turn = 0; turn < {TURNS}; ++turn) {{
                const REAL a = ratio * (at_start + {quick % ("x", "x")}) / 2;
                const Phi phi(a);
                x = start + a * (phi.first * (before - (start - offset)) + phi.second * (after - before));
            }}"""

    def spice(self, sheet: Sheet, standing: Array) -> list[str]:
        """V(x): the branch's current, which drives the diode."""
        here = sheet.present(self.name)
        unit = sheet.variants("mirror", "x y", here, self._spice_mirror, self.capacitance, self.offset)
        return elements(sheet.prefix("X"), "%s %s %s", here, sheet.ports(self.name), sheet.names[self.name], unit)

    def _spice_mirror(self, farads: float, offset: float) -> list[str]:
        y, g = f"(V(y)-({offset:.12g}))", self.conductance
        held = f"max({y},{LEAST:g})"
        return [
            "* mirrors of a branch, slower where they carry less", f"R1 x 0 {1 / g:.12g}", f"C1 y 0 {farads:.12g}",
            f"B1 0 y I={g:.12g}*(V(x)-{y})*{held}/({self.weak:.12g}+{1 - self.weak:.12g}*{held})",
        ]  # fmt: skip


@dataclass(frozen=True)
class BranchDrive(InnerDrive):
    """A branch's current, which drives its mirrors, as a share of the tail's. pair: the cell that it belongs to."""

    pair: Transfer
    kind: ClassVar[str] = "branch"

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.pair.source,)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Term:
        """With the offsets of the very pair."""
        return replace(self, pair=draw.once(self.pair, lambda pair: pair.fabricate(circuit, spread, draw)))

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> Term:
        return replace(self, pair=draw.once(self.pair, lambda pair: pair.flickering(circuit, flicker, draw)))


def mirrors(
    name: str, circuit: Circuit, target: str, tail_current: float, lag: Lag, rest: Array, gain: Array = 1.0
) -> MirrorNode:
    """Mirrors of the branches of a cell, one for each node of its target, of ratio g U |gain| / I_T; rest: y after a
    reset."""
    node = circuit.arrays[target]
    weak, strong = lag.at(node.conductance * circuit.units(target) * np.abs(gain) / tail_current)
    return MirrorNode(
        name, node.shape, full_scale=1.0, conductance=tail_current, capacitance=(weak + strong) * tail_current,
        offset=-rest, exists=node.exists, layer=node.layer, weak=float(np.mean(weak) / np.mean(weak + strong)),
    )  # fmt: skip
