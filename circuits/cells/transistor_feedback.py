"""Feedback devices of transistors: what they carry beside the conductance γ of the node unit.

    C dv/dt = Σ I − g γ v + [g γ v − I(r, v)],        r = γ(x_c) − floor; a constant gate: I(v)

with I that of a device between the sides and of the resistors that hold them (`mos/node.py`). The bracket,
g Σ_n r^n P_n(v), is this term. It reads the node itself, so a node of transistors is a cycle of one: elements sweep it
until it agrees, operating points take Newton's method node by node. Newton inside an element, as roots have it, would
save the sweeps, but be a second law in solver, stepper and kernels; the bracket is a tenth of γ v where nodes work, so
sweeps are few. Where a driven device saturates its resistors alone hold a side; there the emulator keeps a differential
conductance of `LEAST` γ.

While the gate of a driven device moves, it lifts both sides (`lift.py`), and drives the device by less:

    F(V₀ + s (x_c − ρ (x_c − y)), v),        y behind x_c, ρ = χκ, some 0.09

So roots come up faster than their γ says. Cards that have not measured it have no y.

Of unequal transistors (Pelgrom) the device F, of m fingers, has a threshold δ and a current β of its own,

    (1 + β) F(V − δ, v),        F₀ + β F₀ − (1 + β) δ ∂F/∂V at a constant gate V

and at a driven one a control that is −δ over the gate's slope off. Unequal conveyors lift the sides by c besides
(`conveyor_errors.py`): at a constant gate δ + χc stands for δ. Resistors are as designed. Noise, supply and gates of
common-mode amplifiers are stated here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..devices.laws import STEPS, Surface, between_sides, fitted, kept_rising
from ..errors import Error
from .feedback import Feedback
from .mos import common_mode
from .mos.node import HOLD, constant_gate, driven_line
from .mos.unequal import Gates, differs
from .polynomials import Polynomial, derivative, text, value
from .power import Meter
from .siemens import Siemens
from .spice import elements
from .term import HOST, Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from ..technology import Technology
    from .lift import Lift
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .mos.unequal import Unequal
    from .node import NodeArray
    from .spice import Sheet

BEYOND = 1.5  # times the control's full scale up to which a driven device's law is known
LEAST = 0.25  # of γ: the least differential conductance of devices in the emulator
STEP = 5e-3  # V of a gate either way, for slopes
POWERS = 9  # of a driven device's control: near its threshold it bends by as much as it conducts
SHARES = np.linspace(0, 1, 40)  # of the largest control, at which a driven device is looked at


@dataclass(frozen=True)
class FeedbackBend(Term):
    """Σ_n r^n P_n(U x)/U into each node of `target`, with r of `feedback`, or 1 where its feedback is constant.

    laws: P_n [V], what the node's conductance would carry less what its devices do, over g; unit: U.
    volts, most: |v| [V] and r up to which that is known; beyond, it stays as it is there. late: array of y, or "";
    lost: ρ.
    gate_area [m²] of the device; at a constant gate straight, what it would carry over g v, steeper, ∂F/∂V over g, and
    body, χ or 0 where it is unknown; at a driven one per_volt, what its r moves by with its gate. Of a chip: unequal,
    the devices' errors, and what follows: times 1 + β, moved: (1 + β) δ, or r's own error.
    """

    name: str
    target: str
    unit: Array
    laws: tuple[Polynomial, ...]
    volts: float
    feedback: Feedback | None = None
    most: float = 1.0
    late: str = ""
    lost: float = 0.0
    gate_area: float = field(default=0.0, metadata=HOST)
    straight: float = 0.0
    steeper: Polynomial = (0.0,)
    body: float = field(default=0.0, metadata=HOST)
    per_volt: float = field(default=0.0, metadata=HOST)
    unequal: Unequal | None = field(default=None, metadata=HOST)
    times: Array = 1.0
    moved: Array = 0.0
    kind: ClassVar[str] = "feedback of transistors"
    of_transistors: ClassVar[bool] = True

    @property
    def own(self) -> View:
        return View(self.target)

    @property
    def sources(self) -> tuple[View, ...]:
        if self.feedback is None:
            return (self.own,)
        return (self.own, View(self.feedback.control), *((View(self.late),) if self.late else ()))

    @property
    def conveyed(self) -> bool:
        return False

    def adjoint(self, back: Backward) -> None:
        """Nothing: near 0 V the devices are the conductance that the node unit states."""

    @property
    def by_node(self) -> bool:
        return True

    def _volts(self, x: Signals) -> tuple[Array, Array]:
        """(v held within the volts where the law is known, whether it is inside)."""
        v = x[self.target] * self.unit
        held = v.clip(-self.volts, self.volts)
        return held, held == v

    @property
    def _errs(self) -> bool:
        """Whether the device's r is another than the one that γ has."""
        return self.unequal is not None or bool(self.late)

    def _driven(self, control: Array) -> Array:
        """r of a control."""
        assert self.feedback is not None
        return (self.feedback.ratio(control) - self.feedback.floor).clip(0, self.most)

    def _felt(self, x: Signals) -> Array:
        """The control as the device has it."""
        assert self.feedback is not None
        control = x[self.feedback.control]
        if self.late:
            control = control - self.lost * (control - x[self.late])
        return control if self.unequal is None else control + self.moved / self.feedback.gain

    def _bend(self, r: Array, v: Array) -> Array:
        total = value(self.laws[-1], v)
        for row in self.laws[-2::-1]:
            total = total * r + value(row, v)
        return total

    def _erring(self, v: Array) -> Array:
        """What errors add to the current of a device at a constant gate, over g."""
        return (self.times - 1) * (self.straight * v - value(self.laws[0], v)) - self.moved * value(self.steeper, v)

    def drive(self, x: Signals) -> Array:
        v, _ = self._volts(x)
        if self.feedback is None:
            found = value(self.laws[0], v)
            return (found if self.unequal is None else found - self._erring(v)) / self.unit
        r = self._driven(x[self.feedback.control])
        if not self._errs:
            return self._bend(r, v) / self.unit
        own = self._driven(self._felt(x))
        return (r * v - self.times * (own * v - self._bend(own, v))) / self.unit

    @property
    def inline(self) -> Inline:
        held = f"fmin(fmax(v0 * r0, (REAL){-self.volts!r}), (REAL){self.volts!r})"
        laws, errors = [text(row, held, "(REAL)%.17g") for row in self.laws], (self.times, self.moved)
        if self.feedback is None:
            law = laws[0]
            if self.unequal is None:
                return Inline(f"{law} / v0", self.sources, (self.unit,))
            steeper = text(self.steeper, held, "(REAL)%.17g")
            law = f"({law} - ((v1 - 1) * ((REAL){self.straight!r} * {held} - {law}) - v2 * {steeper}))"
            return Inline(f"{law} / v0", self.sources, (self.unit, *errors))

        def driven(control: str) -> str:
            assert self.feedback is not None
            floor = self.feedback.floor
            return f"fmin(ramp({control} - (REAL){floor!r}, (REAL){floor / 2!r}), (REAL){self.most!r})"

        felt = f"v1 * (r1 - (REAL){self.lost!r} * (r1 - r2))" if self.late else "v1 * r1"
        r, law = driven(felt if self.unequal is None else f"{felt} + v3"), laws[-1]
        for each in laws[-2::-1]:
            law = f"({each} + {r} * {law})"
        if not self._errs:
            return Inline(f"{law} / v0", self.sources, (self.unit, self.feedback.gain))
        own = f"({r} * {held} - {law})"
        if self.unequal is None:
            return Inline(f"({driven('v1 * r1')} * {held} - {own}) / v0", self.sources, (self.unit, self.feedback.gain))
        law = f"({driven('v1 * r1')} * {held} - v2 * {own})"
        return Inline(f"{law} / v0", self.sources, (self.unit, self.feedback.gain, *errors))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        (v, inside), change = self._volts(x), 0.0
        if self.target in dx:
            change = change + self._slope(x, v) * inside * dx[self.target]
        if self.feedback is not None and (self.feedback.control in dx or self.late in dx):
            plain, own = self._steep(x, v)
            control, late = dx.get(self.feedback.control, 0.0), dx.get(self.late, 0.0)
            felt = control - self.lost * (control - late) if self.late else control
            change = change + (plain * control - own * felt) / self.unit
        return change

    def _slope(self, x: Signals, v: Array) -> Array:
        """By v."""
        r = 1.0 if self.feedback is None else self._driven(self._felt(x))
        slope = sum((r**n * value(derivative(row), v) for n, row in enumerate(self.laws)), start=0.0 * v)
        if not self._errs:
            return slope
        if self.feedback is not None:
            return self._driven(x[self.feedback.control]) - self.times * (r - slope)
        return slope - (self.times - 1) * (self.straight - slope) + self.moved * value(derivative(self.steeper), v)

    def _steep(self, x: Signals, v: Array) -> tuple[Array, Array]:
        """Of γ v, by the control, and of the device's current over g, by the control that it feels."""
        assert self.feedback is not None
        control, felt = x[self.feedback.control], self._felt(x)
        r = self._driven(felt)
        steep = sum((n * r ** (n - 1) * value(row, v) for n, row in enumerate(self.laws) if n), start=0.0 * v)
        plain, own = (self.feedback.slope(each) * (self._driven(each) < self.most) for each in (control, felt))
        return v * plain, self.times * (v - steep) * own

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> FeedbackBend:
        if not differs(spread):
            return self
        made = self._of(self._gates(circuit).of_chip(spread, draw, self.name))
        node = circuit.arrays[self.target]
        if self.feedback is not None or node.conveyors is None:
            return made
        alike = node.conveyors.of_chip(spread, draw, self.target).alike
        above = alike * (1 - HOLD) / (2 * HOLD * self.straight * node.conductance)
        return replace(made, moved=made.moved + made.times * self.body * above)

    def raised(self, circuit: Circuit, volts: float) -> FeedbackBend:
        """A constant gate drives the device by χ times so much less."""
        if self.feedback is not None:
            return self
        less = np.polynomial.polynomial.polyadd(self.laws[0], self.body * volts * np.asarray(self.steeper))
        return replace(self, laws=(tuple(less.tolist()),))

    def flickering(self, circuit: Circuit, flicker: float, draw: Draw) -> FeedbackBend:
        return self._of(self._gates(circuit).of_run(flicker, draw, self.name, self.unequal))

    def _gates(self, circuit: Circuit) -> Gates:
        return Gates({"1": self.gate_area}, circuit.arrays[self.target].shape)

    def _of(self, errors: Unequal) -> FeedbackBend:
        """This feedback of devices with these errors."""
        shift, times = errors.shift["1"], 1 + errors.gain["1"]
        moved = times * shift if self.feedback is None else -shift * self.per_volt
        return replace(self, unequal=errors, times=times, moved=moved)

    def noise(self, circuit: Circuit) -> Siemens:
        """Of a driven feedback's common-mode amplifier, which stands for a part of the floor's resistors; devices and
        resistors are the node's own."""
        return Siemens() if self.feedback is None else Siemens(common_mode.NOISE - common_mode.CONDUCTANCE)

    def meter(self, circuit: Circuit) -> Meter:
        """Of the amplifiers."""
        return Meter() if self.feedback is None else Meter(standing=common_mode.SUPPLY * self.count(circuit))

    def area(self, circuit: Circuit, technology: Technology) -> float:
        """Gates of the amplifiers; a node's own area has the feedback devices."""
        return 0.0 if self.feedback is None else self.count(circuit) * common_mode.AREA

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return []

    def count(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].count

    def spice(self, sheet: Sheet) -> list[str]:
        """The bracket as a source beside the node unit's conductance."""
        here, names = sheet.present(self.target), sheet.names[self.target]
        g, laws = sheet.circuit.arrays[self.target].conductance, np.full(here.shape, "", object)
        control = k = late = None
        if self.feedback is not None:
            control = np.broadcast_to(sheet.names[self.feedback.control], here.shape)
            k = np.broadcast_to(self.feedback.gain / sheet.circuit.units(self.feedback.control), here.shape)
            late = np.broadcast_to(sheet.names[self.late] if self.late else control, here.shape)
        for at in np.argwhere(here):
            i = tuple(at)
            held = f"min(max(V({names[i]}),{-self.volts:g}),{self.volts:g})"
            law = [text(row, held, "%.12g") for row in self.laws]
            times, moved = (float(np.broadcast_to(each, here.shape)[i]) for each in (self.times, self.moved))
            if self.feedback is None or control is None or k is None or late is None:
                steeper = text(self.steeper, held, "%.12g")
                erring = f"{times - 1:.12g}*({self.straight:.12g}*{held}-{law[0]})-({moved:.12g})*{steeper}"
                laws[i] = law[0] if self.unequal is None else f"{law[0]}-({erring})"
                continue
            floor = self.feedback.floor
            plain = f"min(({self.feedback.spice(control[i], float(k[i]))}-{floor:.11g}),{self.most:.11g})"
            own, r = f"V({control[i]})", plain
            if self.late:
                own = f"({own}-{self.lost:.12g}*({own}-V({late[i]})))"
            if self.unequal is not None:
                own = f"({own}+({moved / float(k[i]):.12g}))"
            if self._errs:
                r = f"min(({self.feedback.spice(own, float(k[i]), whole=True)}-{floor:.11g}),{self.most:.11g})"
            found = law[-1]
            for each in law[-2::-1]:
                found = f"({each}+{r}*{found})"
            laws[i] = found if not self._errs else f"{plain}*{held}-{times:.12g}*({r}*{held}-{found})"
        return elements(sheet.prefix("B"), f"0 %s I={g:.12g}*(%s)", here, names, laws)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """Nothing: the node unit's devices bend by themselves."""
        return []


def feedback_of_transistors(
    node: NodeArray, circuit: Circuit, card: DeviceCard, lift: Lift | None = None
) -> FeedbackBend:
    """What a node unit's feedback devices, as `mos/node.py` writes them, carry beside its conductance.

    Raises Error for nodes of an array whose constant conductances differ.
    """
    name, g = f"{node.name}.feedback", node.conductance
    volts = _reach(node)
    at = np.linspace(0, volts, STEPS)
    if node.feedback is None:
        return _constant(name, node, circuit, card, at)
    found, most = _driven_law(node, node.feedback, circuit, card, at)
    line = driven_line(card.pair or card, node, circuit)
    bend = FeedbackBend(
        name, node.name, circuit.units(node.name), found.rows, volts, node.feedback, most,
        gate_area=card.width * card.length * line.fingers, per_volt=1 / (line.per_siemens * g),
    )  # fmt: skip
    return bend if lift is None else replace(bend, late=lift.late, lost=lift.share)


def _constant(name: str, node: NodeArray, circuit: Circuit, card: DeviceCard, at: Array) -> FeedbackBend:
    """Of a device at a constant gate, known at v = `at`."""
    g = node.conductance
    if np.ptp(np.asarray(node.ratio, float)) > 0:
        raise Error(
            f"nodes of {node.name!r} have feedback of unequal conductance: transistors are one size an "
            "array, so make nodes of another ratio an array of their own"
        )
    siemens = g * float(np.max(node.ratio))
    m, gate = constant_gate(card.pair or card, np.array((1 - HOLD) * siemens))
    current = kept_rising(at, HOLD * siemens * at + between_sides(card, gate, m, at), LEAST * siemens)
    bend = fitted(np.ones(1), at, (siemens * at - current)[None] / g, (0,))
    up, down = (between_sides(card, gate + step, m, at) for step in (STEP, -STEP))
    steeper = fitted(np.ones(1), at, (up - down)[None] / (2 * STEP * g), (0,))
    return FeedbackBend(
        name, node.name, circuit.units(node.name), bend.rows, float(at[-1]),
        gate_area=card.width * card.length * m, straight=(1 - HOLD) * siemens / g, steeper=steeper.rows[0],
        body=card.cells["feedback"].weighs(gate) if "feedback" in card.cells else 0.0,
    )  # fmt: skip


def _reach(node: NodeArray) -> float:
    return float(node.rail if node.rail is not None else 1.5 * np.max(node.full_scale))


def _driven_law(
    node: NodeArray, feedback: Feedback, circuit: Circuit, card: DeviceCard, at: Array
) -> tuple[Surface, float]:
    """Σ_n r^n P_n(v), γ v less the current over g of the driven device and the resistors at v = `at`; and the largest
    r."""
    g = node.conductance
    m, start, per_siemens, most = driven_line(card.pair or card, node, circuit)
    k = BEYOND * most / g * SHARES
    gamma = replace(feedback, gain=1.0).ratio(k)
    bends = []
    for y, ratio in zip(k.tolist(), gamma.tolist(), strict=True):
        current = feedback.floor * at + between_sides(card, np.array(start + per_siemens * g * y), m, at) / g
        bends.append(ratio * at - kept_rising(at, current, LEAST * ratio))
    r = gamma - feedback.floor
    return fitted(r, at, np.array(bends), range(POWERS), 1 / gamma[:, None]), float(r[-1])
