"""How a programmed value moves, given the gradient of the loss by it.

sgd     w ← w − η g                                  a control capacitor integrates k I_L x: C dV/dt = −k I_L x
adamw   m ← β₁m + (1−β₁)g,   v ← β₂v + (1−β₂)g²      (Loshchilov & Hutter 2019), on digital numbers: each
        w ← w(1 − ηλ) − η m̂ / (√v̂ + ε)               gradient is read and each weight written by converters
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..circuits.arrays import module_of

Array = Any


@dataclass
class Sgd:
    """rate: η."""

    rate: float
    digital: ClassVar[bool] = False
    state: dict[str, Any] = field(default_factory=dict)
    """What it remembers from step to step: nothing."""

    def moved(self, name: str, value: Array, gradient: Array, step: int) -> Array:
        """The value after step number `step` (1, 2, …)."""
        return (value - self.rate * gradient).astype(value.dtype, copy=False)


@dataclass
class AdamW:
    """rate: η; first, second: β₁, β₂; decay: λ; tiny: ε (PyTorch's defaults). state: (m, v) by name."""

    rate: float
    first: float = 0.9
    second: float = 0.999
    decay: float = 0.01
    tiny: float = 1e-8
    digital: ClassVar[bool] = True
    state: dict[str, Any] = field(default_factory=dict)

    def moved(self, name: str, value: Array, gradient: Array, step: int) -> Array:
        """The value after step number `step` (1, 2, …)."""
        g = gradient.astype(value.dtype, copy=False)
        xp = module_of(value)
        m, v = self.state.setdefault(name, [xp.zeros_like(value), xp.zeros_like(value)])
        m = self.first * m + (1 - self.first) * g
        v = self.second * v + (1 - self.second) * g * g
        self.state[name] = [m, v]
        root = xp.sqrt(v / (1 - self.second**step)) + self.tiny
        found = value * (1 - self.rate * self.decay) - self.rate / (1 - self.first**step) * m / root
        return found.astype(value.dtype, copy=False)


OPTIMIZERS: dict[str, type[Sgd] | type[AdamW]] = {"sgd": Sgd, "adamw": AdamW}
