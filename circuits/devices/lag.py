"""Lag of output mirrors: how late a branch's current leaves them, as a simulator measured it.

    τ(y, r) = (w₀ + w₁ r)/y + s₀ + s₁ r

y: the branch's current as a share of the tail current I_T, r: the mirrors' ratio. A diode's conductance is y I_T/nV_T
in weak inversion and grows more slowly above, which the second part is; the copies' gates, r times as wide, hang on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import Error

Array = Any
RATIOS = (0.5, 2.0)  # between which it was measured


@dataclass(frozen=True)
class Lag:
    """seconds: ((w₀, w₁), (s₀, s₁)), (2, 2) [s]; error: largest |residual| of τ as a share of it.

    Raises Error for coefficients that are none, or where no lag is left.
    """

    seconds: Array = field(repr=False)
    error: float

    def __post_init__(self) -> None:
        found = np.asarray(self.seconds, float)
        if found.shape != (2, 2) or not np.isfinite(found).all():
            raise Error(f"lag of the mirrors has shape {found.shape}: characterize again")
        if not all((found @ (1, ratio) > 0).all() for ratio in RATIOS):
            raise Error("lag of the mirrors is not positive: look at the model card")

    def at(self, ratio: Array) -> tuple[Array, Array]:
        """(w, s) [s] of mirrors of a ratio, which broadcasts; beyond what was measured as at its end."""
        r = np.clip(ratio, *RATIOS)
        weak, strong = (one + more * r for one, more in np.asarray(self.seconds, float))
        return weak, strong


def lag(shares: Array, ratios: Array, delays: Array) -> Lag:
    """The lag of delays (R, Y) [s] at shares y (Y,) and ratios (R,): least squares of the relative residual."""
    y, r = np.broadcast_to(shares, delays.shape), np.broadcast_to(np.asarray(ratios)[:, None], delays.shape)
    columns = np.stack([1 / y, r / y, np.ones(y.shape), r], axis=-1) / delays[..., None]
    solved = np.linalg.lstsq(columns.reshape(-1, 4), np.ones(delays.size), rcond=None)[0]
    return Lag(solved.reshape(2, 2), float(np.abs(columns @ solved - 1).max()))
