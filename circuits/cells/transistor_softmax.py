"""Softmax unit of transistors: branches that bend in moderate inversion, a sink that gives, mirrors that err.

    ln d_i + B(√d_i) = z(v_i) − θ,    Σ d_i = S(θ),    out_i = d_i M(d_i)        (`devices/branch_card.py`)

That is a softmax of z(v_i) − B(√d_i), found by going round a few times: B′ d (1 − d) is some hundredths. What a branch
bends by follows its current at rest; tails have the pole that was measured, and out_i, of the d_i that have got through
the mirrors' diodes, their lag (`mirror.py`). No kernel has the branches' law: on a GPU it is evaluated array by array.

Of unequal transistors (Pelgrom) each branch's gate is off, a row's sink has a share τ of S, and out_i = C_i(d_i) M(d_i)
with C_i the branch's own mirrors (`copies.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import module_of
from .copies import Copies
from .mirror import BranchDrive, mirrors
from .mos.softmax import branch_errors, branch_gates, softmaxes
from .mos.unequal import differs
from .polynomials import Polynomial, derivative, text, value
from .softmax import ABSENT, Softmax
from .spice import elements
from .tail import TailDrive
from .term import HOST, Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.branch_card import BranchCard
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .mos.unequal import Unequal
    from .node import NodeArray
    from .spice import Sheet

TURNS = 8


@dataclass(frozen=True)
class TransistorSoftmax(Softmax):
    """gate, bend, mirror, sink: z, B, M, S of the card; unit: U of the scores [V]; mirrors: those of the branches, and
    rest: what their node leaves out, d after a reset.

    Of a chip: unequal, its transistors' errors, and what follows from them: own, the part of `shift` that is theirs;
    standing τ (…, 1); copies of the branches.
    """

    gate: Polynomial = (0.0, 1.0)
    bend: Polynomial = (0.0,)
    mirror: Polynomial = (1.0,)
    sink: Polynomial = (1.0,)
    unit: Array = 1.0
    rest: Array = 0.0
    mirrors: View = field(kw_only=True)
    unequal: Unequal | None = field(default=None, metadata=HOST)
    own: Array = field(default=0.0, metadata=HOST)
    standing: Array = 1.0
    copies: Copies | None = None
    bends: ClassVar[bool] = True
    of_transistors: ClassVar[bool] = True

    @property
    def sources(self) -> tuple[View, ...]:
        """The mirrors, and what the noise of the pair follows."""
        return self.mirrors, *super().sources

    @property
    def inside(self) -> tuple[str, ...]:
        return (self.mirrors.array,)

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
            held = self.standing * value(self.sink, top + xp.log(total))
            d = d * (held / total)
            if turn < TURNS - 1:
                bent = z - value(self.bend, xp.sqrt(d))
        return bent, d, held

    def _nats(self, x: Signals) -> Array:
        return self._found(x)[0]

    def settled(self, x: Signals) -> Array:
        """p of each branch once tail and mirrors are at rest."""
        bent, _, held = self._found(x)
        return self._out(self._shared(self._leaking(bent)[0]) * held)

    def _out(self, d: Array) -> Array:
        """What leaves the mirrors."""
        return (d if self.copies is None else self.copies.of(d)) * value(self.mirror, d)

    def entering(self, x: Signals) -> Array:
        """d of each branch: what drives its mirrors."""
        bent, _, held = self._found(x)
        current, top = self._leaking(bent)
        return (self._shared(current) if self.tail is None else self._pulled(x, current, top)) * held

    def drive(self, x: Signals) -> Array:
        return self._out(x[self.mirrors.array] + self.rest)

    @property
    def inline(self) -> Inline:
        d, copies = "(r0 + v0)", self.copies
        out, values = (d, ()) if copies is None else (copies.law(d, 1), copies.values)
        return Inline(f"{out} * {text(self.mirror, d, '(REAL)%.17g')}", (self.mirrors,), (self.rest, *values))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        if self.mirrors.array not in dx:
            return 0.0
        d = x[self.mirrors.array] + self.rest
        out, slope = (d, 1.0) if self.copies is None else (self.copies.of(d), self.copies.slope(d))
        return (slope * value(self.mirror, d) + out * value(derivative(self.mirror), d)) * dx[self.mirrors.array]

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

    def entering_jvp(self, x: Signals, dx: Signals) -> Array:
        """The sink's own change with the tail, some thousandths, is left out."""
        change = super().jvp(x, {name: moved for name, moved in dx.items() if name == self.source.array})
        bent, _, held = self._found(x)
        if self.tail is not None and self.tail.array in dx:
            change = change - self._pulled(x, *self._leaking(bent)) * self.tail.of(dx[self.tail.array])
        return change * held

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Softmax:
        """With unequal transistors, as far as the spread has any, beside the offsets that it states."""
        found = super().fabricate(circuit, spread, draw)
        if not differs(spread):
            return found
        errors = branch_gates(self.tail_current, self._ratio(circuit)).of_chip(spread, draw, self.name)
        return replace(self, shift=found.shift)._of(errors, circuit)

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> Softmax:
        gates = branch_gates(self.tail_current, self._ratio(circuit))
        return self._of(gates.of_run(flicker, draw, self.name, self.unequal), circuit)

    def _ratio(self, circuit: Circuit) -> Array:
        """Of the output mirrors."""
        return self.full_current(circuit) / self.tail_current

    def _of(self, errors: Unequal, circuit: Circuit) -> Softmax:
        """This pair of transistors with these errors."""
        ratio, volts = self._ratio(circuit), circuit.thermal_voltage
        offset, standing, copies = branch_errors(errors, self.tail_current, ratio, volts, self.gate[1])
        own = offset * self.gain / self.unit
        shift = self.shift - self.own + own
        made = replace(self, shift=shift, unequal=errors, own=own, standing=standing, copies=copies)
        return made if self.tail is None else made.resting(circuit)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return softmaxes(sheet, replace(self, shift=self.shift - self.own), self.unequal)

    def spice(self, sheet: Sheet) -> list[str]:
        here, names = sheet.present(self.target), sheet.nodes(self.mirrors)
        rest = np.broadcast_to(np.asarray(self.rest, float), here.shape)
        laws = np.full(here.shape, "", object)
        for i in zip(*np.nonzero(here), strict=True):
            d = f"(V({names[i]})+{rest[i]:.12g})"
            out = d if self.copies is None else f"({self.copies.spice(d, i)})"
            laws[i] = f"{out}*{text(self.mirror, d, '%.12g')}"
        ends = (sheet.ports(self.target), np.broadcast_to(sheet.amperes(self.target), here.shape), laws)
        return elements(sheet.prefix("B"), "0 %s I=%.12g*(%s)", here, *ends)


@dataclass(frozen=True)
class SoftmaxBranch(BranchDrive):
    """The branches of a softmax unit."""

    pair: TransistorSoftmax

    @property
    def sources(self) -> tuple[View, ...]:
        return self.pair.sources[1:]

    def drive(self, x: Signals) -> Array:
        return self.pair.entering(x)

    def jvp(self, x: Signals, dx: Signals) -> Array:
        return self.pair.entering_jvp(x, dx)

    def spice(self, sheet: Sheet) -> list[str]:
        """Of an ideal pair: what branches bend by has no text."""
        own = {part.name: getattr(self.pair, part.name) for part in fields(Softmax)}
        return Softmax(**own | {"name": self.name, "target": self.target}).spice(sheet)


def softmax_of_transistors(term: Softmax, circuit: Circuit, card: BranchCard) -> tuple[list[Term], list[NodeArray]]:
    """(a softmax unit, its branches and what drives its tails; its mirrors and tails) as its card has it."""
    own: dict[str, Any] = {part.name: getattr(term, part.name) for part in fields(term)}
    own["unit"] = np.asarray(term.source.of(circuit.units(term.source.array)[None])[0], float)
    own |= {name: tuple(np.asarray(getattr(card, name), float).tolist()) for name in ("gate", "bend", "mirror", "sink")}
    name = f"{term.name}.mirrors"
    pair = TransistorSoftmax(**own, mirrors=View(name))
    if term.tail is not None:
        pair = pair.resting(circuit)  # type: ignore[assignment]
    reset = {view.array: np.zeros((1, *circuit.arrays[view.array].shape)) for view in pair.sources[1:]}
    node = circuit.arrays[term.target]
    rest = np.where(node.present, np.broadcast_to(pair.entering(reset)[0], node.shape), 0.0)
    pair = replace(pair, rest=rest)
    nodes: list[NodeArray] = [mirrors(name, circuit, term.target, term.tail_current, card.lag, rest)]
    terms: list[Term] = [SoftmaxBranch(name, name, pair), pair]
    if term.tail is not None:
        tail = circuit.arrays[term.tail.array]
        seconds = np.sum(node.present, axis=-1, keepdims=True) * card.tail[0] + card.tail[1]
        nodes.append(replace(tail, capacitance=seconds * tail.conductance))
        terms.append(TailDrive(tail.name, tail.name, pair))
    return terms, nodes
