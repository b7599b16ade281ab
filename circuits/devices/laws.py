"""Laws of cells that are made of a pair's transistors, from the pair's device card alone.

With o and e the odd and even current of a pair (`card.py`) a transistor carries f(V, u) = [o(V, 2u) + e(V, 2u)]/2, and

    quad whose gates are driven     Q(δ, v) = o(V_b + δ/2, v) − o(V_b − δ/2, v)                     odd in δ and in v
    device to V_CM on each side     I(v):  F(u_p) = I/2,  F(u_n) = −I/2,  u_p − u_n = v,  F = Σ f   odd in v

The second is the current at which the sides come to rest: even orders of f move both by c(v), which takes v along, and
is what the couplings that the node drives see: f(V, c + v/2) − f(V, c − v/2).
Both are fitted by Σ_n a^n P_n(v), few powers n of what drives the gates and polynomials P_n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .factors import factored

if TYPE_CHECKING:
    from .card import DeviceCard

Array = Any
ODD = (1, 3, 5, 7)  # powers of v
STEPS = 33
CLOSE = 5e-4  # share of the largest current that displacement is worth knowing to


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


Device = Callable[[Array], Array]


def one_transistor(pair: DeviceCard, gate: Array, fingers: int) -> Device:
    """f(V, u) of so many fingers, as a function of u, beyond the card's volts in a straight line. gate broadcasts."""
    most = float(pair.volts[-1]) / 2
    gate = np.maximum(gate, pair.gates[0])

    def current(u: Array) -> Array:
        inside = np.clip(u, -most, most)

        def at(u: Array) -> Array:
            even = 0.0 if pair.even is None else pair.even.current(gate, 2 * u)
            return fingers * (pair.current(gate, 2 * u) + even) / 2

        step = 1e-4
        slope = (at(inside) - at(inside - np.copysign(step, inside))) / np.copysign(step, inside)
        return at(inside) + slope * (u - inside)

    return current


def sides(devices: Sequence[Device], volts: float) -> tuple[Array, Array, Array]:
    """(v, I(v), common mode c(v) above V_CM) of devices from each side to V_CM, for v from 0 to `volts`."""
    u = np.linspace(-1.2 * volts, 1.2 * volts, 2401)
    side = sum((device(u) for device in devices), np.zeros(u.shape))
    rising = np.maximum.accumulate(side) + 1e-6 * float(np.ptp(side)) * u / volts  # a saturated device stands still
    half = np.linspace(0, min(rising[-1], -rising[0]), 400)
    p, n = np.interp(half, rising, u), np.interp(-half, rising, u)
    at = np.linspace(0, volts, STEPS)
    return at, np.interp(at, p - n, 2 * half), np.interp(at, p - n, (p + n) / 2)


def displaced(card: DeviceCard, v: Array, common: Array) -> DeviceCard:
    """The card of a unit whose driver's sides stand at V_CM + c(|v|) ± v/2:

    single  ½ f(V, c + v/2)
    pair    o′(V, v) = ½ [f(V, c + v/2) − f(V, c − v/2)]
    quad    o′(V_b + V/2, v) − o′(V_b − V/2, v)
    """
    surface, parity = _displaced(card, np.interp(np.abs(card.volts), v, common))
    found = factored(card.volts, surface, max(card.origin.tolerance, CLOSE), parity)
    return replace(card, surface=surface, table=found.table, coefficients=found.coefficients, error=found.error)


def _displaced(card: DeviceCard, c: Array) -> tuple[Array, str]:
    """(currents (K, V) [A] at the card's gates and volts, their parity in v)."""
    if card.unit == "single":
        return card.current(card.gates[:, None], card.volts + 2 * c), "any"
    sides = [card.gates] if card.pair is None else [card.bias + card.gates / 2, card.bias - card.gates / 2]
    pairs = []
    for gates in sides:
        one = one_transistor(card.pair or card, gates[:, None], 1)
        pairs.append(one(c + card.volts / 2) - one(c - card.volts / 2))
    return (pairs[0] if card.pair is None else pairs[0] - pairs[1]), "odd"


def kept_rising(v: Array, current: Array, least: float) -> Array:
    """I(v) whose slope is nowhere under `least` [S]: where devices saturate, sides of a node go anywhere."""
    steps = np.maximum(np.diff(current), least * np.diff(v))
    return np.concatenate([[0.0], np.cumsum(steps)])
