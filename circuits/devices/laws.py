"""Laws of cells that are made of a pair's transistors, from the pair's device card alone.

With o the odd current of a pair (`card.py`)

    quad whose gates are driven     Q(δ, v) = o(V_b + δ/2, v) − o(V_b − δ/2, v)                     odd in δ and in v
    device from side to side        F(V, v) = 2 o(V, v)                                             odd in v

The second has the channel of two of a pair in series, whose middle stands at V_CM by symmetry.
Both are fitted by Σ_n a^n P_n(v), few powers n of what drives the gates and polynomials P_n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .card import DeviceCard

Array = Any
ODD = (1, 3, 5, 7)  # powers of v
STEPS = 33


@dataclass(frozen=True)
class Surface:
    """I(a, v) = Σ_n a^n P_n(v). powers n; rows: P_n, coefficients of v lowest first; error: largest |residual| as a
    share of the largest |I|."""

    powers: tuple[int, ...]
    rows: tuple[tuple[float, ...], ...]
    error: float

    def current(self, a: Array, v: Array) -> Array:
        """I(a, v); a and v broadcast."""
        return sum(
            (a**n * np.polynomial.polynomial.polyval(v, row) for n, row in zip(self.powers, self.rows, strict=True)),
            np.zeros(()),
        )


def fitted(a: Array, v: Array, current: Array, powers: Sequence[int], weight: Array = 1.0) -> Surface:
    """Least squares of currents (A, V) at a (A,) and v (V,), odd in v; weight: of a residual, broadcastable."""
    wide = np.broadcast_to(a[:, None], current.shape).reshape(-1)
    volts = np.broadcast_to(v, current.shape).reshape(-1)
    high, far = max(float(np.abs(wide).max()), 1e-30), float(np.abs(volts).max())
    columns = [(wide / high) ** n * (volts / far) ** k for n in powers for k in ODD]
    heavy = np.broadcast_to(weight, current.shape).reshape(-1)
    solved = np.linalg.lstsq(np.stack(columns, axis=1) * heavy[:, None], current.reshape(-1) * heavy, rcond=None)[0]
    solved = solved.reshape(len(powers), -1)
    rows = []
    for n, row in zip(powers, solved, strict=True):
        full = np.zeros(max(ODD) + 1)
        full[list(ODD)] = row / far ** np.array(ODD) / high**n
        rows.append(tuple(full.tolist()))
    found = Surface(tuple(powers), tuple(rows), 0.0)
    missed = np.abs(found.current(a[:, None], np.broadcast_to(v, current.shape)) - current).max()
    return Surface(found.powers, found.rows, float(missed / np.abs(current).max()))


def quad_law(pair: DeviceCard, bias: float, reach: float, volts: float) -> Surface:
    """Q(δ, v) [A] of one finger for |δ| up to `reach` and |v| up to `volts`."""
    delta, v = np.linspace(0, reach, STEPS), np.linspace(0, volts, STEPS)
    found = pair.current((bias + delta / 2)[:, None], v) - pair.current((bias - delta / 2)[:, None], v)
    return fitted(delta, v, found, (1, 3, 5))


def between_sides(card: DeviceCard, gate: Array, fingers: int, v: Array) -> Array:
    """F(V, v) [A] of so many fingers between two sides at V_CM ± v/2, v (V,) >= 0: as measured, if the card has that,
    else two of a pair's in series, so twice a pair's current; beyond the card's volts in a straight line."""
    if "feedback" in card.cells:
        found: Array = fingers * card.cells["feedback"].current(float(gate), v)
        return found
    pair = card.pair or card
    most = float(pair.volts[-1])
    inside, gate = np.minimum(v, most), np.maximum(gate, pair.gates[0])
    step = 1e-4
    slope = (pair.current(gate, most) - pair.current(gate, most - step)) / step
    return 2 * fingers * (pair.current(gate, inside) + slope * (v - inside))


def kept_rising(v: Array, current: Array, least: float) -> Array:
    """I(v) whose slope is nowhere under `least` [S]: where devices saturate, sides of a node go anywhere."""
    steps = np.maximum(np.diff(current), least * np.diff(v))
    return np.concatenate([[0.0], np.cumsum(steps)])
