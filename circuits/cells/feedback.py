"""Feedback of a node that another node, or the node itself, drives (`node.py` has the equations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import module_of
from .power import Costs, Driven
from .smooth import ramp, ramp_slope
from .spice import knee
from .term import View

if TYPE_CHECKING:
    from ..backward import Backward
    from .node import NodeArray
    from .term import Signals

Array = Any


@dataclass(frozen=True)
class Feedback:
    """Feedback driven by the array `control` (its own name: a root node). gain K per logical unit of the control.

    control's shape and gain broadcast to the node's shape from the left: (P, 1) for (P, d), (P, H, 1) for (P, H, d).
    """

    control: str
    gain: Array = 1.0
    floor: float = 0.02

    def ratio(self, control: Array) -> Array:
        """γ of the control's logical value."""
        return self.floor + ramp(self.gain * control - self.floor, self.floor / 2)

    def slope(self, control: Array) -> Array:
        """dγ/dx_c."""
        return self.gain * ramp_slope(self.gain * control - self.floor, self.floor / 2)

    def adjoint(self, back: Backward, node: NodeArray) -> None:
        """Adjoint of the control −= K Σ y a over the nodes y whose feedback it drives (a: their adjoints)."""
        control, letters = View(self.control), back.letters(node.name)
        shape, part = back.forward.arrays[self.control].shape, back.one(View(node.name))
        assert part is not None
        sizes = dict(zip(letters, node.shape, strict=True))
        kept = "".join(i for i, n in zip(letters, shape, strict=True) if n > 1 or sizes[i] == 1)
        gain = -np.broadcast_to(self.gain, shape).reshape([sizes[i] for i in kept])
        spec = f"{letters},{letters}->{kept}"
        name = f"{back.prefix}feedback of {node.name}"
        back.multiply(name, back.driven(node.name), spec, part, control, sizes, gain)

    def spice(self, control: str, k: float, *, whole: bool = False) -> str:
        """Text of `ratio` for the voltage of the node `control`, which is `whole` an expression; k = gain / U [1/V]."""
        volts, f = control if whole else f"V({control})", self.floor
        kv, bend = f"{k:.11g}*{volts}", knee(f"{k / f:.11g}*{volts}-0.5")
        return f"({kv}<{0.5 * f:.11g} ? {f:.11g} : ({kv}>{1.5 * f:.11g} ? {kv} : {f:.11g}*(1+{bend})))"

    def settled_root(self, drive: Array, standing: Array = 0.0, offset: Array = 0.0) -> Array:
        """x with (γ(x) + standing)(x − offset) = drive, for a node that drives its own feedback: sqrt(d/K), or d/floor
        under the knee."""
        xp = module_of(drive)
        least = self.floor + standing
        x = offset + xp.where(drive > 0, xp.sqrt(xp.maximum(drive, 0) / self.gain), drive / least)
        for _ in range(8):
            gamma = self.ratio(x) + standing
            away = x - offset
            x = x - (gamma * away - drive) / (gamma + self.slope(x) * away)
        return x


@dataclass(frozen=True)
class Controlled(Driven):
    """Power law of feedback that a node drives: heat Σ γ A U x², supply Σ γ A |x|, γ of the control."""

    name: str
    feedback: Feedback
    amperes: Array
    unit: Array

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.name, self.feedback.control)

    @property
    def nodes(self) -> View:
        return View(self.name)

    def pull(self, x: Signals) -> Array:
        return self.feedback.ratio(x[self.feedback.control])

    def pair(self, x: Signals) -> tuple[Array, Array]:
        return x[self.name], x[self.feedback.control]

    def flows(self, y: Array, c: Array) -> tuple[Array, Array]:
        return super().flows(y, self.feedback.ratio(c))

    @property
    def costs(self) -> Costs:
        law = "amperes = feedback_ratio(c, own, least) * fabs(y); watts = amperes * fabs(y);"
        own = np.asarray(self.feedback.gain, float)
        own = own if own.size == 1 else np.broadcast_to(own, self.amperes.shape)
        return Costs(law, self.amperes * self.unit, self.amperes, own=own, least=self.feedback.floor)
