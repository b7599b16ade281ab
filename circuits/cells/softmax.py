"""Softmax unit: the N-input differential pair in weak inversion (translinear; DESIGN §4).

    I_i = I_T exp(v_i / nV_T) / Σ_j exp(v_j / nV_T)

over the inputs that exist in the row (a causal row of length i + 1 is a pair of i + 1 branches). The cell has its
own input unit, nV_T volts a nat (29 mV at 300 K), so its gain goes with 1/T: z_i = gain·s_i + shift_i, gain the
design's temperature over the actual one. Scores beyond the cell are held by the score node's rail.
Each branch has an offset of its own (`branch_offset`, volts at its gate); leakage holds a branch at I_T·e^(−floor)
under the row's maximum.

The tail has a pole, τ = N C_j nV_T / I_T (`tail.py`). With tails T as an array (nats, from their rest at equal inputs)

    I_i = (I_T / N) e^(z_i − T)

which is the softmax once T has come to rest. Without one the tail follows at once.

Noise: shot noise of the branches, 2qI_j each; the common source shares each branch's among all in the ratio of their
currents, δI_i = i_i − p_i Σ_j i_j, which leaves the one-sided density

    2q I_T [p_i (1 − p_i)² + p_i² (1 − p_i)] = 2q I_i (1 − p_i) = 4kT·G,        G = I_i (1 − p_i) / (2 kT/q)

as if the tail were I_T = g U_t itself, at rest, and the mirrors noiseless. Branches of a row are drawn independently;
their anti-correlation (their sum is the tail's) is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import module_of
from .channel import Channels, OutputMirrors, Tail, time_constant
from .mos.softmax import branch_area, softmaxes
from .power import Meter
from .siemens import Siemens
from .spice import elements
from .term import Array, Inline, Signals, View
from .transfer import CellSiemens, Transfer

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet

ABSENT = -1e30  # logit of a branch that does not exist
LOWEST = -1e4  # nats, in a netlist: under any logit

BRANCH = """.subckt softmax_branch in tail x i=1 a=1 b=0 c=1
* I(x) = i e^(a v + b - c V(tail)): a branch of the pair, or its mirror
B1 0 x I=({i})*exp(({a})*V(in)+({b})-({c})*V(tail))
.ends"""
LEAKAGE = """.subckt softmax_leakage top tail x i=1 c=1
* a branch leaks a share of what the row's largest, V(top) nats, carries
B1 0 x I=({i})*exp(V(top)-({c})*V(tail))
.ends"""
LARGER = """.subckt softmax_larger in below top a=1 b=0
* V(top) = max(V(below), a v + b): along a row, the largest logit
B1 0 top I=V(below)>({a})*V(in)+({b}) ? V(below) : ({a})*V(in)+({b})
R1 top 0 1
.ends"""


@dataclass(frozen=True)
class Softmax(Transfer):
    """Softmax along the last axis.

    exists: bool mask of branches, or None; gain: nats per logical unit (design temperature / actual temperature);
    shift: branch offset [nats]; floor: nats under the row's maximum where leakage takes over (None: no leakage);
    tail_current [A]: of a row, in front of the output mirrors; tail: the tails (…, 1) as an array of their own, None
    for tails that follow at once; share: 1/N of each row, for cells with a tail array (see `resting`);
    channels: noise of its transistors, as measured.
    """

    exists: Array | None = None
    gain: float = 1.0
    shift: Array = 0.0
    floor: float | None = None
    tail_current: float = 5e-6
    tail: View | None = None
    share: Array = 1.0
    channels: Channels | None = None
    kind: ClassVar[str] = "softmax"
    bends: ClassVar[bool] = False
    """Whether branches are no plain exponentials, so that no kernel has their sum."""

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.source,) if self.tail is None else (self.tail, self.source)

    def branches(self, x: Signals) -> tuple[Array, Array]:
        """(e^(z − top) + leakage of each branch, top): top is the row's largest z, (…, 1)."""
        return self._leaking(self._nats(x))

    def _leaking(self, z: Array) -> tuple[Array, Array]:
        xp = module_of(z)
        top = z.max(axis=-1, keepdims=True)
        current = xp.exp(z - top)
        if self.floor is not None:
            leak = float(np.exp(-self.floor))
            current += leak if self.exists is None else leak * self.exists.astype(current.dtype)
        return current, top

    def _nats(self, x: Signals) -> Array:
        """z of each branch."""
        score = self.source.of(x[self.source.array])
        z = score * self.gain + self.shift if self.gain != 1.0 or not _is_zero(self.shift) else score
        if self.exists is None:
            return z
        xp = module_of(score)
        return xp.where(self.exists, z, z.dtype.type(ABSENT))

    def settled(self, x: Signals) -> Array:
        """p of each branch once the tail is at rest."""
        return self._shared(self.branches(x)[0])

    def _shared(self, current: Array) -> Array:
        """p, in place."""
        current /= current.sum(axis=-1, keepdims=True)
        return current

    def drive(self, x: Signals) -> Array:
        if self.tail is None:
            return self.settled(x)
        return self._pulled(x, *self.branches(x))

    def _pulled(self, x: Signals, current: Array, top: Array) -> Array:
        """What branches carry at the tail's own voltage, in place."""
        assert self.tail is not None
        current *= module_of(current).exp(top - self.tail.of(x[self.tail.array])) * self.share
        return current

    @property
    def inline(self) -> Inline | None:
        """With tails as an array, and branches that do not leak: leakage follows the row's largest."""
        if self.tail is None or self.floor is not None:
            return None
        exists = 1.0 if self.exists is None else self.exists
        law = "(v0 != 0 ? v1 * exp(v2 * r1 + v3 - r0) : (REAL)0)"
        return Inline(law, (self.tail, self.source), (exists, self.share, self.gain, self.shift))

    def moved(self, x: Signals, dx: Signals) -> Array:
        """Derivative of the branches' currents along the scores, in the unit of `branches` and at a fixed tail."""
        d = self.gain * self.source.of(dx[self.source.array])
        current, top = self.branches(x)
        if self.floor is None:
            return current * d
        z = self._nats(x)
        xp = module_of(z)
        own = xp.exp(z - top)
        at = z.argmax(axis=-1)[..., None]
        wide = xp.broadcast_to(d, (*np.broadcast_shapes(d.shape[:-1], at.shape[:-1]), d.shape[-1]))
        leader = xp.take_along_axis(wide, xp.broadcast_to(at, (*wide.shape[:-1], 1)), axis=-1)
        return own * d + (current - own) * leader

    def jvp(self, x: Signals, dx: Signals) -> Array:
        change: Array = 0.0
        if self.source.array in dx:
            moved, (current, top) = self.moved(x, dx), self.branches(x)
            if self.tail is None:
                total = current.sum(axis=-1, keepdims=True)
                change = moved / total - current / total * (moved.sum(axis=-1, keepdims=True) / total)
            else:
                xp = module_of(current)
                change = moved * xp.exp(top - self.tail.of(x[self.tail.array])) * self.share
        if self.tail is not None and self.tail.array in dx:
            change = change - self.drive(x) * self.tail.of(dx[self.tail.array])
        return change

    def adjoint(self, back: Backward) -> None:
        """gain p ∘ (λ − p·λ), λ the adjoint of the branches: p·λ is an array of its own, one node a row."""
        if back.one(self.source) is None:
            return
        p, letters = back.driven(self.target), back.letters(self.target)
        shape = back.forward.arrays[self.target].shape
        dot = back.beside(f"{back.prefix}{self.name}.dot", self.target, (*shape[:-1], 1))
        back.circuit.tails[dot] = "" if self.tail is None else self.tail.array
        adjoint, given = back.read(self.target)
        back.circuit.multiply(dot, p, adjoint, dot, f"{letters},{given}->{letters[:-1]}")
        back.times(self, p, self.gain)
        back.times(self, p, -self.gain, of=dot)

    def noise(self, circuit: Circuit) -> Siemens:
        """G = I_T p (1 − p) / (2 kT/q), whose 4kT·G is the branch's shot noise; I_T = g U_t."""
        if self.channels is not None:
            node, volts = circuit.arrays[self.target], circuit.thermal_voltage
            exists = np.broadcast_to(True if self.exists is None else self.exists, node.shape)
            tail = Tail(
                self.channels,
                self.tail_current,
                exists.sum(axis=-1, keepdims=True, dtype=float),
                time_constant(node),
                volts,
            )
            mirrors = OutputMirrors(self.channels, self.full_current(circuit) / self.tail_current, tail.tau, volts)
            return Siemens(moving=MirroredSiemens(self, tail, mirrors))
        node = circuit.arrays[self.target]
        siemens = np.asarray(node.conductance * node.unit / (2 * circuit.thermal_voltage))
        return Siemens(moving=BranchSiemens(self, siemens))

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return [(self.source, 1, 0)]

    def tile(self, rows: Array, columns: Array) -> Softmax:
        return replace(self, exists=columns if self.exists is None else self.exists & columns)

    def spice(self, sheet: Sheet) -> list[str]:
        """Mirrors of the branches. Without a tail array, tails too: SPICE nodes in nats on which 1 A balances."""
        shape = sheet.circuit.arrays[self.target].shape
        port = np.where(sheet.present(self.target), sheet.ports(self.target), "0")
        if self.tail is not None:
            tail = sheet.names[self.tail.array]
            return self.spice_branches(sheet, tail, port, sheet.amperes(self.target) * self.share)
        exists = np.broadcast_to(True if self.exists is None else self.exists, shape)
        tail = sheet.names[self.target][..., :1] + ":tail"
        lines = elements(sheet.prefix("I"), "%s 0 1e-6", exists.any(axis=-1, keepdims=True), tail)
        lines += self.spice_branches(sheet, tail, tail, 1e-6)
        return lines + self.spice_branches(sheet, tail, port, sheet.amperes(self.target))

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return softmaxes(sheet, self)

    def spice_branches(self, sheet: Sheet, tail: Array, into: Array, amperes: Array) -> list[str]:
        """Branches that push amperes·e^(z − T) into the nodes `into`; T: nats on `tail`, volts where it is an array."""
        node = sheet.nodes(self.source)
        exists = np.broadcast_to(True if self.exists is None else self.exists, node.shape)
        per_volt = self.gain / sheet.units(self.source)
        c = 1.0 if self.tail is None else per_volt
        sheet.need(BRANCH)
        pattern = "%s %s %s softmax_branch i=%.12g a=%.12g b=%.12g c=%.12g"
        lines = elements(sheet.prefix("X"), pattern, exists, node, tail, into, amperes, per_volt, self.shift, c)
        if self.floor is None:
            return lines
        sheet.need(LEAKAGE)
        chain, top = self._spice_largest(sheet, exists, node, per_volt)
        leaks = "%s %s %s softmax_leakage i=%.12g c=%.12g"
        values = (top, tail, into, amperes * float(np.exp(-self.floor)), c)
        return lines + chain + elements(sheet.prefix("X"), leaks, exists, *values)

    def _spice_largest(self, sheet: Sheet, exists: Array, node: Array, per_volt: Array) -> tuple[list[str], Array]:
        """Lines that find each row's largest logit by a chain of comparisons, and the SPICE node (…, 1) of it."""
        sheet.need(LARGER)
        label = sheet.prefix("low")
        top = np.array([f"{label}{n}:top" for n in range(node.size)], object).reshape(node.shape)
        bottom = f"{label}:v"
        below = np.concatenate([np.full_like(top[..., :1], bottom), top[..., :-1]], axis=-1)
        # a branch that does not exist hands on what is below it
        a, b = (np.where(exists, value, other) for value, other in ((per_volt, 0.0), (self.shift, LOWEST)))
        lines = [f"V{label}1 {bottom} 0 {LOWEST:g}"]
        pattern = "%s %s %s softmax_larger a=%.12g b=%.12g"
        lines += elements(sheet.prefix("X"), pattern, np.ones(node.shape, bool), node, below, top, a, b)
        return lines, top[..., -1:]

    def measured(self, channels: Channels | None) -> Softmax:
        return replace(self, channels=channels)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Softmax:
        """Each branch off by an offset of its own, σ in volts at its gate."""
        return self._moved(circuit, spread.branch_offset, draw, "branch offset")

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> Softmax:
        """Each branch off by its transistor's gate; mirrors and the tail are not in it."""
        return self._moved(circuit, flicker / np.sqrt(branch_area(self.tail_current)), draw, "flicker")

    def _moved(self, circuit: Circuit, volts: float, draw: Draw, kind: str) -> Softmax:
        """With drawn offsets of σ = volts at the gates."""
        if not volts:
            return self
        shape = circuit.arrays[self.target].shape
        unit = self.source.of(circuit.units(self.source.array)[None])[0]
        drawn = replace(self, shift=self.shift + volts * self.gain / unit * draw(self.name, kind, shape))
        return drawn if self.tail is None else drawn.resting(circuit)

    def resting(self, circuit: Circuit) -> Softmax:
        """This cell with tails counted from their own rest at inputs of 0: share = 1/Σ e^z there, offsets and all."""
        current, top = self.branches({self.source.array: np.zeros((1, *circuit.arrays[self.source.array].shape))})
        total = current.sum(axis=-1, keepdims=True) * np.exp(top)
        return replace(self, share=np.where(total > 0, 1 / np.where(total > 0, total, 1.0), 0.0)[0])

    def meter(self, circuit: Circuit) -> Meter:
        """Each row's tail, and its mirrors: Σ g U p, which is g U for one U in the row, at most its largest."""
        branches = self.full_current(circuit) * (1.0 if self.exists is None else self.exists)
        return Meter(standing=self.tail_current * self.count(circuit) + float(branches.max(axis=-1).sum()))

    def area(self, circuit: Circuit, technology: Technology) -> float:
        """By branch: one for each node of the target that exists."""
        return circuit.arrays[self.target].count * technology.softmax.area

    def blocks(self, circuit: Circuit) -> int:
        """A row each."""
        return self.count(circuit)

    def together(self, circuit: Circuit) -> int:
        """The branches of the longest row: they share a tail."""
        return int(np.max(np.sum(circuit.arrays[self.target].present, axis=-1)))

    def count(self, circuit: Circuit) -> int:
        """One tail for each row."""
        return int(np.prod(circuit.arrays[self.target].shape[:-1]))


@dataclass(frozen=True)
class BranchSiemens(CellSiemens):
    """ΣG = siemens·p(1 − p) of the branches of a pair; p is a share of the row's, so no kernel has it node by node."""

    cell: Softmax
    siemens: Array

    def __call__(self, x: Signals) -> Array:
        p = self.cell.settled(x)
        return self.siemens * p * (1 - p)


@dataclass(frozen=True)
class MirroredSiemens(CellSiemens):
    """ΣG of branches of transistors, their tail and output mirrors of ratio r; I_i = I_T p_i.

    r² [|1 − w L|² G_b(I) + |w L|² (Σ_others G_b(I_j) + G_sink)] + mirrors of I,  w = G_s(I)/Σ G_s(I_j)  (`channel.py`)
    """

    cell: Softmax
    tail: Tail
    mirrors: OutputMirrors

    def __call__(self, x: Signals) -> Array:
        amperes = self.tail.amperes * self.cell.settled(x)
        own, sources = self.tail.noise(amperes), self.tail.sources(amperes)
        siemens = sources.sum(axis=-1, keepdims=True)
        w = sources / siemens
        row = own.sum(axis=-1, keepdims=True) + self.tail.shot
        return self.mirrors.noise(amperes, own, w * w * row - 2 * w * own, self.tail.late(siemens))


def _is_zero(value: Array) -> bool:
    return isinstance(value, float) and value == 0.0
