"""Transit card: how late a transistor's channel hands on what its driven end does, as a simulator measured it.

    i = f(V, u) − C(V) du/dt             into the end that is held, at u = 0

C is what Ward and Dutton's partition of the channel's charge leaves between its two ends, some C_ox/6 of a channel that
is on (IEEE J. Solid-State Circuits 13(5), 1978). A device of conductance G = df/du is late by C/G, L²/6µ(V − V_t).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import Error

Array = Any


@dataclass(frozen=True)
class TransitCard:
    """gates (K,) [V], siemens (K,) G [S] and farads (K,) C [F] of one finger.

    Raises Error for numbers that make no card.
    """

    gates: Array = field(repr=False)
    siemens: Array = field(repr=False)
    farads: Array = field(repr=False)

    def __post_init__(self) -> None:
        each = [np.asarray(getattr(self, name), float) for name in ("gates", "siemens", "farads")]
        if each[0].ndim != 1 or len({part.shape for part in each}) > 1 or each[0].size < 4:
            raise Error(f"transit card has {[part.shape for part in each]} numbers: characterize again")
        if not all(np.isfinite(part).all() for part in each) or (np.diff(each[0]) <= 0).any() or each[1][-1] <= 0:
            raise Error("transit card has holes, or its gates do not rise: characterize again")

    def late(self, high: Array, low: Array | None = None) -> float:
        """Delay [s] that is nearest to that of devices at gates `high` together, each by its G², in Σ(C − G τ)²; low:
        of devices that are subtracted from those. 0 of none."""
        found = [
            np.interp(high, self.gates, part) - (0.0 if low is None else np.interp(low, self.gates, part))
            for part in (self.siemens, self.farads)
        ]
        square = float((found[0] ** 2).sum())
        return float((found[0] * found[1]).sum()) / square if square else 0.0
