"""Causal self-attention as a circuit (paper §3.3; DESIGN §4).

    s_ij = Σ_d q_id k_jd / sqrt(d_h)          products; couplings for j > i do not exist
    translinear: τ dp/dt = softmax(s) − p,    τ da/dt = Σ_j p_ij v_j − a
    taylor:      e = Σ_n sⁿ/n!  by products,  τ da/dt = m (Σ_j e_ij v_j − (Σ_j e_ij) a)

m makes the feedback PEAK at the largest Σe of calibration; Σe grows with the number of keys, so m is per position.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np

from ..cells import Feedback, Softmax, View
from ..errors import Error
from .builder import Builder
from .normalization import PEAK

Array = Any


def causal(heads: int, positions: int) -> Array:
    """Mask (H, P, P) of the scores that exist."""
    return np.broadcast_to(np.tril(np.ones((positions, positions), bool)), (heads, positions, positions)).copy()


@dataclass(frozen=True)
class Heads:
    """Who attends to whom: `count` heads of `width`, of which `shared` read one head of keys and values (G = count /
    shared of them; 1: plain multi-head attention)."""

    count: int
    width: int
    shared: int = 1

    @property
    def queries(self) -> tuple[int, ...]:
        """How a query's nodes are read: (G, shared, width)."""
        return (self.count // self.shared, self.shared, self.width)

    @property
    def keys(self) -> tuple[int, ...]:
        """How a key's or value's nodes are read: (G, width)."""
        return (self.count // self.shared, self.width)

    def grouped(self, pairs: str) -> View:
        """An array of pairs (count, P, P) as (G, shared, P, P)."""
        return View(pairs, groups=self.queries[:2])


def map_attention(b: Builder, name: str, q: View, k: View, v: View, heads: Heads, spec: str = "igrd,jgd->grij") -> View:
    """From queries (P, G, shared, …), keys (P, G, …) and values (P, G, width) to the context.

    spec: contraction of queries and keys. Returns the context as (P, count·width) or (P, count, width).
    """
    p = b.positions
    exists = causal(heads.count, p)
    score = f"{name}.score"
    unit = _nat_unit(b) if b.softmax == "translinear" else None
    b.nodes(score, (heads.count, p, p), unit=unit, exists=exists, position_axis=1)
    if b.softmax == "translinear":
        _check_reach(b, score)
    b.circuit.multiply(score, q, k, score, spec, gain=heads.width**-0.5)
    if b.softmax == "translinear":
        return _translinear(b, name, score, v, exists, heads)
    return _taylor(b, name, score, v, exists, heads)


def _nat_unit(b: Builder) -> float:
    """Volts per nat of the softmax cell, n·kT/q at the technology's temperature."""
    return b.technology.softmax.slope_factor * b.circuit.thermal_voltage


def _check_reach(b: Builder, score: str) -> None:
    node = b.circuit.arrays[score]
    assert node.rail is not None
    need, reach = float(np.max(b.circuit.full_scale(score))), node.rail / float(np.max(node.unit))
    if need > 0.9 * reach:
        raise Error(
            f"{score}: scores reach ±{need:.1f} nats on the calibration text, the softmax cell ±{reach:.1f}: "
            "raise supply.swing or lower softmax.slope_factor"
        )


def _translinear(b: Builder, name: str, score: str, v: View, exists: Array, heads: Heads) -> View:
    p = b.positions
    prob, context = f"{name}.prob", f"{name}.context"
    b.nodes(prob, exists.shape, spread=np.ones(exists.shape), exists=exists)
    cell = b.technology.softmax
    floor = cell.leakage_floor if b.leakage else None
    b.circuit.add(Softmax(prob, prob, View(score), tail_current=cell.tail_current, exists=exists, floor=floor))
    b.nodes(context, (p, heads.count * heads.width))
    b.circuit.multiply(context, heads.grouped(prob), v, context, "grij,jgd->igrd")
    return View(context)


def _taylor(b: Builder, name: str, score: str, v: View, exists: Array, heads: Heads) -> View:
    p = b.positions
    exp, total, context = f"{name}.exp", f"{name}.expsum", f"{name}.context"
    reach = b.circuit.full_scale(score)
    powers = [score]
    for n in range(2, b.order + 1):
        power = f"{name}.power{n}"
        b.nodes(power, exists.shape, spread=reach**n, exists=exists)
        b.circuit.multiply(power, powers[-1], score, power, "hij,hij->hij")
        powers.append(power)
    largest = b.ranges.spread(exp, exists.shape, position_axis=1)
    b.nodes(exp, exists.shape, spread=largest, exists=exists)
    b.circuit.bias(f"{exp}.one", exp, exists.astype(float), programmable=False)
    for n, power in enumerate(powers, start=1):
        b.each(f"{exp}.{n}", power, exp, 1 / factorial(n))
    spread = _sum_range(b, total, largest)
    b.nodes(total, (heads.count, p, 1), spread=spread)
    b.fixed(total, exp, total, np.ones((1, p)))
    gain = PEAK / spread
    b.nodes(
        context,
        (heads.count, p, heads.width),
        spread=_by_head(b, context, heads.count),
        feedback=Feedback(total, gain, b.technology.node.feedback_floor),
    )
    b.circuit.multiply(context, heads.grouped(exp), v, context, "grij,jgd->grid", gain=gain)
    return View(context, axes=(1, 0, 2))


def _sum_range(b: Builder, total: str, exp: Array) -> Array:
    """Range of Σe (H, P, 1): what calibration saw, but no more than the number of keys times the largest e."""
    heads, p, _ = exp.shape
    seen = b.ranges.spread(total, (heads, p, 1), position_axis=1)
    most = np.arange(1, p + 1)[None, :, None] * exp.max(axis=(1, 2), keepdims=True)
    return np.minimum(seen, most)


def _by_head(b: Builder, context: str, heads: int) -> Array:
    """Range of the context (H, P, d_h), which calibration keeps as (P, d)."""
    width = np.shape(b.ranges.values[context])[-1]
    each = b.ranges.spread(context, (b.positions, width)).reshape(b.positions, heads, -1)
    return np.swapaxes(each, 0, 1).copy()
