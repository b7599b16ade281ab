"""Nodes inside a cell: tails, mirrors, channels' charge. Neither noise nor power, area, reset switch or offset is
theirs: the cell's own terms state them.

Where their lag bends, a step of the stochastic engine (`emulator/stochastic.py`) is their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .node import NodeArray
from .power import Meter
from .siemens import Siemens
from .term import Array, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet


@dataclass(frozen=True)
class InnerNode(NodeArray):
    """Subclasses that bend state `pull` and `cuda_law`, and the same over a step: `stepped` and `cuda_step`."""

    rail: float | None = None
    kind: ClassVar[str]
    """What the node is, in words."""

    @property
    def is_inner(self) -> bool:
        return True

    @property
    def bends(self) -> bool:
        return True

    def later(self, seconds: float) -> InnerNode:
        """These nodes with so much more lag."""
        return replace(self, capacitance=self.capacitance + seconds * self.conductance)

    def quick(self, x: Array, offset: Array) -> Array:
        """How much faster than its time constant the node is at rest at x."""
        return 1.0

    def stepped(self, ratio: Array, start: Array, before: Array, after: Array, offset: Array) -> Array:
        """x after a step h, ratio = h/τ, in which the drive goes from `before` to `after` in a straight line."""
        raise NotImplementedError

    @property
    def cuda_step(self) -> str:
        """`stepped` in CUDA: statements that set `x` from x, ratio, before, after and offset; Phi(a) has φ₁ and φ₂ as
        `first` and `second`."""
        raise NotImplementedError

    def area(self, technology: Technology) -> float:
        return 0.0

    def loaded(self, farads: Array) -> NodeArray:
        return self

    def noise_conductance(self, gamma: Array, load: Array) -> Array:
        return 0.0

    def meter(self, circuit: Circuit) -> Meter:
        return Meter()

    def fabricate(self, spread: Spread, draw: Draw) -> NodeArray:
        return self

    def flickering(self, volts: float, draw: Draw) -> NodeArray:
        return self

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """Nothing: the cell's transistors have these nodes."""
        return []

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        return []


@dataclass(frozen=True)
class InnerDrive(Term):
    """What drives nodes inside a cell; the cell's other terms state noise, power and area."""

    name: str
    target: str

    @property
    def conveyed(self) -> bool:
        return False

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens()

    def fan_out(self, circuit: Circuit) -> list[tuple[View, int, int]]:
        return []

    def meter(self, circuit: Circuit) -> Meter:
        return Meter()

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        return []

    def count(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].count


def phi(a: Array) -> tuple[Array, Array]:
    """φ₁ = (1 − e⁻ᵃ)/a and φ₂ = (1 − φ₁)/a for a ≥ 0; by their series where the difference would cancel."""
    if isinstance(a, float):
        return _phi(a)
    small = a < 0.02
    if not small.any():
        first = -np.expm1(-a) / a
        return first, (1 - first) / a
    safe = np.where(small, 1, a)
    first = np.where(small, 1 - a * (1 / 2 - a * (1 / 6 - a / 24)), -np.expm1(-safe) / safe)
    second = np.where(small, 1 / 2 - a * (1 / 6 - a * (1 / 24 - a / 120)), (1 - first) / safe)
    return first, second


@lru_cache(maxsize=512)
def _phi(a: float) -> tuple[float, float]:
    first, second = phi(np.array([a]))
    return float(first[0]), float(second[0])
