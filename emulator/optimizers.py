"""How a programmed value moves, given the gradient of the loss by it.

sgd     w ← w − η g                                  a control capacitor integrates k I_L x: C dV/dt = −k I_L x
adamw   m ← β₁m + (1−β₁)g,   v ← β₂v + (1−β₂)g²      (Loshchilov & Hutter 2019), on digital numbers: each
        w ← w(1 − ηλ) − η m̂ / (√v̂ + ε)               gradient is read and each weight written by converters
clip    g ← g min(1, c/‖g‖)                          ‖g‖ of all gradients together (Pascanu et al. 2013)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
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

    def share(self, gradients: Iterable[Array]) -> float:
        """By how much of all gradients a step goes."""
        return 1.0

    def move(self, name: str, value: Array, gradient: Array, step: int, share: float) -> None:
        """Step number `step` (1, 2, …) of a contiguous array, where it stands."""
        for w, g in pieces(value, gradient):
            w -= self.rate * share * g


@dataclass
class AdamW:
    """rate: η; first, second: β₁, β₂; decay: λ; tiny: ε (PyTorch's defaults); clip: c. state: (m, v) by name."""

    rate: float
    first: float = 0.9
    second: float = 0.999
    decay: float = 0.01
    tiny: float = 1e-8
    clip: float = math.inf
    digital: ClassVar[bool] = True
    state: dict[str, Any] = field(default_factory=dict)

    def share(self, gradients: Iterable[Array]) -> float:
        """By how much of all gradients a step goes."""
        if math.isinf(self.clip):
            return 1.0
        norm = math.sqrt(sum(float(g.reshape(-1) @ g.reshape(-1)) for g in gradients))
        return min(1.0, self.clip / max(norm, 1e-30))

    def move(self, name: str, value: Array, gradient: Array, step: int, share: float) -> None:
        """Step number `step` (1, 2, …) of a contiguous array, where it stands."""
        xp = module_of(value)
        if name not in self.state:
            self.state[name] = [xp.zeros_like(value), xp.zeros_like(value)]
        rate, grown = self.rate / (1 - self.first**step), 1 - self.second**step
        for w, g, m, v in pieces(value, gradient.astype(value.dtype, copy=False), *self.state[name]):
            m *= self.first
            m += (1 - self.first) * share * g
            v *= self.second
            v += (1 - self.second) * share**2 * g * g
            w *= 1 - self.rate * self.decay
            w -= rate * m / (xp.sqrt(v / grown) + self.tiny)


OPTIMIZERS: dict[str, type[Sgd] | type[AdamW]] = {"sgd": Sgd, "adamw": AdamW}
