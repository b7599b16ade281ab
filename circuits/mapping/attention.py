"""Causal self-attention as a circuit (paper §3.3; DESIGN §4).

    s_ij = Σ_d q_id k_jd / sqrt(d_h)          products; couplings for j > i do not exist
    translinear: τ dp/dt = softmax(s) − p,    τ da/dt = Σ_j p_ij v_j − a        (s held at ±clamp; a tail a row)
    taylor:      e = Σ_n sⁿ/n!  by products,  τ da/dt = m (Σ_j e_ij v_j − (Σ_j e_ij) a)

m makes the feedback PEAK at the largest Σe of calibration; Σe grows with the number of keys, so m is per position.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..cells import Feedback, View
from ..cells.node import KNEE
from ..errors import Error
from ..words import counted
from .bank import banked
from .builder import Builder
from .normalization import PEAK

Array = Any
log = logging.getLogger(__name__)
LARGEST_GAIN = 10.0
GAIN = "it is a ratio of absolute temperatures, above 0 and up to 10 (1: as calibrated)"


def causal(heads: int, places: Array, keys: int) -> Array:
    """Mask (H, P, keys) of the scores that exist: of keys no later than the token's place."""
    exists = np.arange(keys) <= places[:, None]
    return np.broadcast_to(exists, (heads, *exists.shape)).copy()


def check_cell(softmax: str, leakage: bool, clamp: float | None, gain: float) -> None:
    """Error for options of the softmax cell that are out of range, or that another softmax would ignore."""
    if clamp is not None:
        checks.number(
            "softmax_clamp", clamp, "give nats above 0, such as 11.5, or None for the reach of the cell", above=0
        )
    checks.number("softmax_gain", gain, GAIN, above=0, most=LARGEST_GAIN)
    if softmax == "translinear":
        return
    for name, given in (("leakage", leakage), ("softmax_clamp", clamp is not None), ("softmax_gain", gain != 1)):
        if given:
            raise Error(f"{name} is the translinear softmax's, and the softmax is {softmax!r}: leave it out")


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
    if b.serial:
        k, v = banked(b, f"{name}.k", k), banked(b, f"{name}.v", v)
    attended = causal(heads.count, b.places, b.keys)
    exists = np.ones_like(attended) if b.serial else attended  # a serial machine has every branch, and shuts some
    score = f"{name}.score"
    if b.softmax == "translinear":
        _score_nodes(b, score, exists)
    else:
        b.nodes(score, exists.shape, exists=exists, position_axis=1)
    b.circuit.multiply(score, q, k, score, spec, gain=heads.width**-0.5)
    if b.softmax == "translinear":
        return _translinear(b, name, score, v, exists, attended, heads)
    return _taylor(b, name, score, v, exists, attended, heads)


def _nat_unit(b: Builder) -> float:
    """Volts per nat of the softmax cell, n·kT/q at the technology's temperature."""
    return b.technology.softmax.slope_factor * b.circuit.thermal_voltage


def _score_nodes(b: Builder, score: str, exists: Array) -> None:
    """Scores in the unit of the softmax cell, held by their rail at ±softmax_clamp nats (by default the swing) where
    they go beyond.

    A rail is exactly linear up to 0.9 of it, so scores short of that are untouched.
    """
    unit, swing = _nat_unit(b), b.technology.supply.swing
    reach = swing / unit
    clamp = reach if b.softmax_clamp is None else b.softmax_clamp
    if clamp > reach:
        raise Error(
            f"softmax_clamp is {clamp:g} nats, the softmax cell reaches ±{reach:.1f}: lower it, or raise supply.swing"
        )
    spread = b.ranges.spread(score, exists.shape, position_axis=1)
    if b.softmax_clamp is None and float(np.max(spread)) <= (1 - KNEE) * reach:
        b.nodes(score, exists.shape, unit=unit, exists=exists, spread=spread)
        return
    held = np.minimum(spread, clamp)
    b.nodes(score, exists.shape, unit=unit, exists=exists, spread=held, rail=clamp * unit)


def warn_of_held_scores(b: Builder) -> None:
    """One line where scores of the calibration text are beyond the softmax cell and nobody asked to have them held."""
    held = [name for name, node in b.circuit.arrays.items() if node.held]
    if b.softmax_clamp is None and held and b.place <= 1:  # once of a serial machine
        most = {name: float(b.ranges.values[name].max()) for name in held}
        worst = max(most, key=most.__getitem__)
        log.warning(
            "scores of %s go beyond the softmax cell (%s: %.1f nats on the calibration text) and are held at "
            "±%.1f nats: set softmax_clamp, or raise supply.swing",
            counted(len(held), "layer"), worst, most[worst], b.technology.supply.swing / _nat_unit(b),
        )  # fmt: skip


def _translinear(b: Builder, name: str, score: str, v: View, exists: Array, attended: Array, heads: Heads) -> View:
    p = b.positions
    prob, context = f"{name}.prob", f"{name}.context"
    b.nodes(prob, exists.shape, spread=np.ones(exists.shape), exists=exists)
    cell = b.technology.softmax
    floor = cell.leakage_floor if b.leakage else None
    b.circuit.softmax(
        prob, score, prob, exists=attended, gain=b.softmax_gain, floor=floor,
        tail_current=cell.tail_current, junction_capacitance=cell.junction_capacitance,
    )  # fmt: skip
    b.nodes(context, (p, heads.count * heads.width), spread=_mean_of(b, v, heads))
    b.circuit.multiply(context, heads.grouped(prob), v, context, "grij,jgd->igrd")
    return View(context)


def _mean_of(b: Builder, v: View, heads: Heads) -> Array:
    """Range (P, count·width) of a mean of values: theirs, which no weights that sum to one exceed."""
    each = v.of(b.circuit.full_scale(v.array)[None])[0]  # (P, G, width)
    most = np.maximum.accumulate(each, axis=0)[b.places]
    return np.repeat(most[:, :, None], heads.shared, axis=2).reshape(b.positions, -1)


def _taylor(b: Builder, name: str, score: str, v: View, exists: Array, attended: Array, heads: Heads) -> View:
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
    b.circuit.bias(f"{exp}.one", exp, attended.astype(float), programmable=False)
    for n, power in enumerate(powers, start=1):
        b.each(f"{exp}.{n}", power, exp, 1 / math.factorial(n))
    spread = _sum_range(b, total, largest, exists)
    b.nodes(total, (heads.count, p, 1), spread=spread)
    b.fixed(total, exp, total, np.ones((1, b.keys)))
    gain = PEAK / spread
    b.nodes(
        context,
        (heads.count, p, heads.width),
        spread=_by_head(b, context, heads.count),
        feedback=Feedback(total, gain, b.technology.node.feedback_floor),
    )
    b.circuit.multiply(context, heads.grouped(exp), v, context, "grij,jgd->grid", gain=gain)
    return View(context, axes=(1, 0, 2))


def _sum_range(b: Builder, total: str, exp: Array, exists: Array) -> Array:
    """Range of Σe (H, P, 1): what calibration saw, but no more than the number of keys times the largest e."""
    seen = b.ranges.spread(total, (*exp.shape[:2], 1), position_axis=1)
    most = exists.sum(axis=-1, keepdims=True) * exp.max(axis=(1, 2), keepdims=True)
    return np.minimum(seen, most)


def _by_head(b: Builder, context: str, heads: int) -> Array:
    """Range of the context (H, P, d_h), which calibration keeps as (P, d)."""
    width = np.shape(b.ranges.values[context])[-1]
    each = b.ranges.spread(context, (b.positions, width)).reshape(b.positions, heads, -1)
    return np.swapaxes(each, 0, 1).copy()
