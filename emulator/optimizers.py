"""How a programmed value moves, given the gradient of the loss by it.

sgd     w ← w − η g                                  a control capacitor integrates k I_L x: C dV/dt = −k I_L x
adamw   m ← β₁m + (1−β₁)g,   v ← β₂v + (1−β₂)g²      (Loshchilov & Hutter 2019), on digital numbers: each
        w ← w(1 − ηλ) − η m̂ / (√v̂ + ε)               gradient is read and each weight written by converters
clip    g ← g min(1, c/‖g‖)                          ‖g‖ of all gradients together (Pascanu et al. 2013)
gains   w′ = w γ,   g = γ dL/dw′                     γ: what the mapping folded into a matrix's input columns
        w′ ← w′(1 − ηλ) − η γ m̂ / (√v̂ + ε)

AdamW moves every number by about its rate, so the rate of a column w′ has to be η|γ| for w to move by η. With m, v and
the norm that is clipped made of g = γ dL/dw′, whose γ may be negative, each step is that of w to the last term: a chip
of w′ goes where the model of w goes whose γ stand still, and whose norms' shifts are in the biases behind them, as the
mapping puts them. SGD has no such choice: capacitors move by η dL/dw′, which in w is a step of η/γ².
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..circuits.arrays import module_of, pieces

Array = Any


@dataclass
class Sgd:
    """rate: η."""

    rate: float
    digital: ClassVar[bool] = False
    state: dict[str, Any] = field(default_factory=dict)
    """What it remembers from step to step: nothing."""

    def share(self, gradients: Mapping[str, Array]) -> float:
        """By how much of all gradients a step goes."""
        return 1.0

    def move(self, name: str, value: Array, gradient: Array, step: int, share: float) -> None:
        """Step number `step` (1, 2, …) of a contiguous array, where it stands."""
        for w, g in pieces(value, gradient):
            w -= self.rate * share * g


@dataclass
class AdamW:
    """rate: η; first, second: β₁, β₂; decay: λ; tiny: ε (PyTorch's defaults); clip: c; gains: γ (in,) of arrays
    (…, in) by name, 1 where there is none. state: (m, v) by name."""

    rate: float
    first: float = 0.9
    second: float = 0.999
    decay: float = 0.01
    tiny: float = 1e-8
    clip: float = math.inf
    gains: Mapping[str, Array] = field(default_factory=dict)
    digital: ClassVar[bool] = True
    state: dict[str, Any] = field(default_factory=dict)

    def share(self, gradients: Mapping[str, Array]) -> float:
        """By how much of all gradients a step goes."""
        if math.isinf(self.clip):
            return 1.0
        return min(1.0, self.clip / max(math.sqrt(sum(self._square(*each) for each in gradients.items())), 1e-30))

    def move(self, name: str, value: Array, gradient: Array, step: int, share: float) -> None:
        """Step number `step` (1, 2, …) of a contiguous array, where it stands."""
        xp = module_of(value)
        if name not in self.state:
            self.state[name] = [xp.zeros_like(value), xp.zeros_like(value)]
        gain, row = self._gain(name, value)
        rate, grown = self.rate * gain / (1 - self.first**step), 1 - self.second**step
        for w, h, m, v in pieces(value, gradient.astype(value.dtype, copy=False), *self.state[name], row=row):
            g = share * gain * h
            m *= self.first
            m += (1 - self.first) * g
            v *= self.second
            v += (1 - self.second) * g * g
            w *= 1 - self.rate * self.decay
            w -= rate * m / (xp.sqrt(v / grown) + self.tiny)

    def _gain(self, name: str, like: Array) -> tuple[Array, int | None]:
        """γ of an array where that is, in its type, and how many numbers it has; of one without 1 and None."""
        if name not in self.gains:
            return 1.0, None
        gain = module_of(like).asarray(self.gains[name], dtype=like.dtype)
        return gain, gain.size

    def _square(self, name: str, gradient: Array) -> float:
        """‖g‖² of one array."""
        gain, row = self._gain(name, gradient)
        parts = ((h if row is None else gain * h).reshape(-1) for (h,) in pieces(gradient, row=row))
        return sum(float(g @ g) for g in parts)


OPTIMIZERS: dict[str, type[Sgd] | type[AdamW]] = {"sgd": Sgd, "adamw": AdamW}
