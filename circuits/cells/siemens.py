"""ΣG that a cell's devices show at each target node, in a form that a run can evaluate on its device.

One-sided density 4kT·ΣG [A²/Hz] at the conveyor's input, or on the capacitor of a cell that goes past it:

    ΣG(t) = still + moving(x(t))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .term import Inline

Array = Any
Signals = Mapping[str, Array]


class MovingSiemens(Protocol):
    """A dataclass of placed constants that maps signals (K, *shape) of the arrays it `reads` to ΣG [S], (K, *target
    shape) or broadcastable to it."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the arrays it needs."""

    @property
    def inline(self) -> Inline | None:
        """The same node by node, for a kernel; None where it sums over nodes."""

    def __call__(self, x: Signals) -> Array: ...


@dataclass(frozen=True)
class Siemens:
    """ΣG [S] of one cell. still: what never changes, broadcastable to the target's shape; moving: the rest, or None."""

    still: Array = 0.0
    moving: MovingSiemens | None = None

    def __call__(self, x: Signals) -> Array:
        """(K, *target shape), or broadcastable to it."""
        return self.still if self.moving is None else self.still + self.moving(x)
