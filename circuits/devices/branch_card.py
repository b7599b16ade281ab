"""Branch card: what a simulator measured of a softmax pair's branch, its mirrors and its tail sink.

With d the branch's current as a share of I_T, v volts at its gate about the cell's centre, V_t the tail's voltage,

    ln d + B(√d) = z(v) − θ(V_t)        z, B, θ polynomials: B(0) = 0, the exponential's bend in moderate inversion
    out = d M(d)                        what the mirrors make of it
    Σ d = S(θ)                          what the sink draws, as a share of I_T

θ is only the tail's own measure of its voltage. In weak inversion z = v/nV_T, θ = V_t/V_T, B = 0, M = S = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import Error
from .lag import Lag

Array = Any
LEAST, MOST = 1e-4, 1.1  # shares of I_T that laws are made from
LAWS = {"gate": 3, "bend": 4, "mirror": 3, "sink": 3}
"""Coefficients of z [nats/V^n], B, M and S, lowest power first."""


@dataclass(frozen=True)
class BranchCard:
    """gate, bend, mirror, sink: coefficients of z, B, M, S; error: largest |residual| of d, where that is above a tenth
    of I_T, as a share of d; lag: of the mirrors; tail: (2,) [s], what a branch and the sink add to the tail's τ.

    Raises Error for coefficients that make no card.
    """

    gate: Array = field(repr=False)
    bend: Array = field(repr=False)
    mirror: Array = field(repr=False)
    sink: Array = field(repr=False)
    error: float
    lag: Lag
    tail: Array = field(repr=False)

    def __post_init__(self) -> None:
        for name, count in LAWS.items():
            found = np.asarray(getattr(self, name), float)
            if found.shape != (count,) or not np.isfinite(found).all():
                raise Error(f"{name} of the softmax branch has shape {found.shape}: characterize again")
        if np.shape(self.tail) != (2,) or not (np.asarray(self.tail) > 0).all():
            raise Error(f"tail of the softmax has time constants {self.tail}: characterize again")
        if not self.gate[1] > 0 or self.bend[0] != 0:
            raise Error("current of a softmax branch does not rise with its gate: look at the model card")


def branch_card(v: Array, tail: Array, into: Array, out: Array, sink: Array, *, lag: Lag, late: Array) -> BranchCard:
    """The card of currents (V, T), as shares of I_T, at gates v (V,) [V] and tails (T,) in units of V_T, and of the
    sink's (T,): least squares of ln d, weighed by √d, between `LEAST` and a little more than all of I_T. lag, late:
    of the mirrors and of the tail."""
    use = (into > LEAST) & (into < MOST)
    wide, t = (np.broadcast_to(x, into.shape)[use] for x in (v[:, None], tail))
    d = into[use]
    q, weight = np.sqrt(d), np.sqrt(d) + 0.03
    columns = [wide**n for n in range(LAWS["gate"])] + [-t, -t * t] + [-(q**n) for n in range(1, LAWS["bend"])]
    basis = np.stack(columns, axis=1)
    solved = np.linalg.lstsq(basis * weight[:, None], np.log(d) * weight, rcond=None)[0]
    miss, large = np.abs(basis @ solved - np.log(d)), d > 0.1
    gate, (one, two), bend = solved[:3], solved[3:5], solved[5:]
    theta = one * tail + two * tail**2
    seen = (tail > t.min()) & (tail < t.max())
    powers = d[large, None] ** np.arange(LAWS["mirror"])
    return BranchCard(
        gate=gate,
        bend=np.append(0.0, bend),
        mirror=np.linalg.lstsq(powers, out[use][large] / d[large], rcond=None)[0],
        sink=np.polynomial.polynomial.polyfit(theta[seen], sink[seen], LAWS["sink"] - 1),
        error=float(miss[large].max()),
        lag=lag,
        tail=late,
    )
