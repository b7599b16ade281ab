"""Feedback devices of transistors: what they carry beside the conductance γ of the node unit.

    C dv/dt = Σ I − g γ v + [g γ v − I(r, v)],        r = γ(x_c) − floor; a constant gate: I(v)

with I that of a device between the sides and of the resistors that hold them (`mos/node.py`). The bracket,
g Σ_n r^n P_n(v), is this term. It reads the node itself, so a node of transistors is a cycle of one: elements sweep it
until it agrees, operating points take Newton's method node by node. Newton inside an element, as roots have it, would
save the sweeps, but be a second law in solver, stepper and kernels; the bracket is a tenth of γ v where nodes work, so
sweeps are few. Where a driven device saturates its resistors alone hold a side; there the emulator keeps a differential
conductance of `LEAST` γ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..devices.laws import STEPS, Surface, between_sides, fitted, kept_rising
from ..errors import Error
from .feedback import Feedback
from .mos.node import HOLD, constant_gate, driven_line
from .polynomials import Polynomial, derivative, text, value
from .power import Meter
from .siemens import Siemens
from .spice import elements
from .term import Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from ..devices.card import DeviceCard
    from .mos.sheet import DeviceSheet
    from .node import NodeArray
    from .spice import Sheet

BEYOND = 1.5  # times the control's full scale up to which a driven device's law is known
LEAST = 0.25  # of γ: the least differential conductance of devices in the emulator
POWERS = 9  # of a driven device's control: near its threshold it bends by as much as it conducts
SHARES = np.linspace(0, 1, 40)  # of the largest control, at which a driven device is looked at


@dataclass(frozen=True)
class FeedbackBend(Term):
    """Σ_n r^n P_n(U x)/U into each node of `target`, with r of `feedback`, or 1 where its feedback is constant.

    laws: P_n [V], what the node's conductance would carry less what its devices do, over g; unit: U.
    volts, most: |v| [V] and r up to which that is known; beyond, it stays as it is there.
    """

    name: str
    target: str
    unit: Array
    laws: tuple[Polynomial, ...]
    volts: float
    feedback: Feedback | None = None
    most: float = 1.0
    kind: ClassVar[str] = "feedback of transistors"

    @property
    def own(self) -> View:
        return View(self.target)

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.own,) if self.feedback is None else (self.own, View(self.feedback.control))

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

    def _driven(self, x: Signals) -> Array:
        assert self.feedback is not None
        return (self.feedback.ratio(x[self.feedback.control]) - self.feedback.floor).clip(0, self.most)

    def drive(self, x: Signals) -> Array:
        v, _ = self._volts(x)
        if self.feedback is None:
            return value(self.laws[0], v) / self.unit
        r, total = self._driven(x), value(self.laws[-1], v)
        for row in self.laws[-2::-1]:
            total = total * r + value(row, v)
        return total / self.unit

    @property
    def inline(self) -> Inline:
        held = f"fmin(fmax(v0 * r0, (REAL){-self.volts!r}), (REAL){self.volts!r})"
        laws = [text(row, held, "(REAL)%.17g") for row in self.laws]
        if self.feedback is None:
            return Inline(f"{laws[0]} / v0", self.sources, (self.unit,))
        r, law = f"ramp(v1 * r1 - (REAL){self.feedback.floor!r}, (REAL){self.feedback.floor / 2!r})", laws[-1]
        r = f"fmin({r}, (REAL){self.most!r})"
        for each in laws[-2::-1]:
            law = f"({each} + {r} * {law})"
        return Inline(f"{law} / v0", self.sources, (self.unit, self.feedback.gain))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        (v, inside), change = self._volts(x), 0.0
        r = 1.0 if self.feedback is None else self._driven(x)
        if self.target in dx:
            slope = sum((r**n * value(derivative(row), v) for n, row in enumerate(self.laws)), start=0.0 * v)
            change = change + slope * inside * dx[self.target]
        if self.feedback is not None and self.feedback.control in dx:
            moved = self.feedback.slope(x[self.feedback.control]) * dx[self.feedback.control] * (r < self.most)
            steep = sum((n * r ** (n - 1) * value(row, v) for n, row in enumerate(self.laws) if n), start=0.0 * v)
            change = change + steep / self.unit * moved
        return change

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens()

    def meter(self, circuit: Circuit) -> Meter:
        return Meter()

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return []

    def count(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].count

    def spice(self, sheet: Sheet) -> list[str]:
        """The bracket as a source beside the node unit's conductance."""
        here, names = sheet.present(self.target), sheet.names[self.target]
        g, laws = sheet.circuit.arrays[self.target].conductance, np.full(here.shape, "", object)
        control = k = None
        if self.feedback is not None:
            control = np.broadcast_to(sheet.names[self.feedback.control], here.shape)
            k = np.broadcast_to(self.feedback.gain / sheet.circuit.units(self.feedback.control), here.shape)
        for at in np.argwhere(here):
            i = tuple(at)
            held = f"min(max(V({names[i]}),{-self.volts:g}),{self.volts:g})"
            law = [text(row, held, "%.12g") for row in self.laws]
            if self.feedback is None or control is None or k is None:
                laws[i] = law[0]
                continue
            r, found = f"({self.feedback.spice(control[i], float(k[i]))}-{self.feedback.floor:.11g})", law[-1]
            r = f"min({r},{self.most:.11g})"
            for each in law[-2::-1]:
                found = f"({each}+{r}*{found})"
            laws[i] = found
        return elements(sheet.prefix("B"), f"0 %s I={g:.12g}*(%s)", here, names, laws)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """Nothing: the node unit's devices bend by themselves."""
        return []


def feedback_of_transistors(node: NodeArray, circuit: Circuit, card: DeviceCard) -> FeedbackBend:
    """What a node unit's feedback devices, as `mos/node.py` writes them, carry beside its conductance.

    Raises Error for nodes of an array whose constant conductances differ.
    """
    name, g = f"{node.name}.feedback", node.conductance
    volts = _reach(node)
    at = np.linspace(0, volts, STEPS)
    if node.feedback is None:
        if np.ptp(np.asarray(node.ratio, float)) > 0:
            raise Error(
                f"nodes of {node.name!r} have feedback of unequal conductance: transistors are one size an "
                "array, so make nodes of another ratio an array of their own"
            )
        siemens = g * float(np.max(node.ratio))
        m, gate = constant_gate(card.pair or card, np.array((1 - HOLD) * siemens))
        current = kept_rising(at, HOLD * siemens * at + between_sides(card, gate, m, at), LEAST * siemens)
        bend = fitted(np.ones(1), at, (siemens * at - current)[None] / g, (0,))
        return FeedbackBend(name, node.name, circuit.units(node.name), bend.rows, volts)
    found, most = _driven_law(node, node.feedback, circuit, card, at)
    return FeedbackBend(name, node.name, circuit.units(node.name), found.rows, volts, node.feedback, most)


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
