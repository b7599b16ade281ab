"""Softmax unit: the N-input differential pair in weak inversion (translinear; DESIGN §4).

    I_i = I_T exp(v_i / nV_T) / Σ_j exp(v_j / nV_T)

over the inputs that exist in the row (a causal row of length i + 1 is a pair of i + 1 branches). The cell has its
own input unit, nV_T volts a nat (29 mV at 300 K), so its gain goes with 1/T. Branch offsets shift v_i; leakage
holds a branch at I_T·e^(−floor) under the row's maximum.
Noise: shot noise of the branches, 2qI_j each; the common source shares each branch's among all in the ratio of their
currents, δI_i = i_i − p_i Σ_j i_j, which leaves the one-sided density

    2q I_T [p_i (1 − p_i)² + p_i² (1 − p_i)] = 2q I_i (1 − p_i) = 4kT·G,        G = I_i (1 − p_i) / (2 kT/q)

as if the tail were I_T = g U_t itself and the mirrors noiseless. Branches of a row are drawn independently; their
anti-correlation (their sum is the tail's) is not modelled, nor is the pole of the tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .power import Meter
from .spice import elements
from .term import Array, Signals
from .transfer import Transfer

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .spice import Sheet

ABSENT = -1e30  # logit of a branch that does not exist
LOWEST = -1e4  # nats, in a netlist: under any logit

BRANCH = """.subckt softmax_branch in tail x i=1 a=1 b=0
* takes p = e^(a v + b - V(tail)) of the tail's 1 uA, its mirror sends i p; V(tail) is in nats, ln of the row's sum
B1 tail 0 I=1e-6*exp(({a})*V(in)+({b})-V(tail))
B2 0 x I=({i})*exp(({a})*V(in)+({b})-V(tail))
.ends"""
LEAKAGE = """.subckt softmax_leakage top tail x i=1 k=0
* a branch leaks the share k of what the row's largest, V(top) nats, carries
B1 tail 0 I=1e-6*({k})*exp(V(top)-V(tail))
B2 0 x I=({i})*({k})*exp(V(top)-V(tail))
.ends"""
LARGER = """.subckt softmax_larger in below top a=1 b=0
* V(top) = max(V(below), a v + b): along a row, the largest logit
B1 0 top I=V(below)>({a})*V(in)+({b}) ? V(below) : ({a})*V(in)+({b})
R1 top 0 1
.ends"""


@dataclass(frozen=True)
class Softmax(Transfer):
    """Softmax along the last axis.

    exists: bool mask of branches, or None; gain: nats per logical unit (design temperature / actual temperature);
    shift: branch offset [nats]; floor: nats under the row's maximum where leakage takes over (None: no leakage);
    tail_current [A]: of a row, in front of the output mirrors.
    """

    exists: Array | None = None
    gain: float = 1.0
    shift: Array = 0.0
    floor: float | None = None
    tail_current: float = 5e-6
    kind: ClassVar[str] = "softmax"

    def drive(self, x: Signals) -> Array:
        return self._softmax(self.source.of(x[self.source.array]))

    def _softmax(self, score: Array) -> Array:
        xp = score.__array_namespace__()
        z = score * self.gain + self.shift if self.gain != 1.0 or not _is_zero(self.shift) else score
        if self.exists is not None:
            z = xp.where(self.exists, z, xp.asarray(ABSENT, dtype=z.dtype))
        e = xp.exp(z - z.max(axis=-1, keepdims=True))
        if self.floor is not None:
            leak = float(np.exp(-self.floor))
            e = e + (leak if self.exists is None else leak * self.exists.astype(e.dtype))
        e /= e.sum(axis=-1, keepdims=True)
        return e

    def jvp(self, x: Signals, dx: Signals) -> Array:
        moved = dx.get(self.source.array)
        if moved is None:
            return 0.0
        p = self._softmax(self.source.of(x[self.source.array]))
        d = self.gain * self.source.of(moved)
        return p * (d - (p * d).sum(axis=-1, keepdims=True))

    def conductance(self, circuit: Circuit, x: Signals) -> Array:
        """G = I_T p (1 − p) / (2 kT/q), whose 4kT·G is the branch's shot noise; I_T = g U_t."""
        node = circuit.arrays[self.target]
        p = self._softmax(self.source.of(x[self.source.array]))
        return node.conductance * circuit.units(self.target) * p * (1 - p) / (2 * circuit.thermal_voltage)

    def tile(self, rows: Array, columns: Array) -> Softmax:
        return replace(self, exists=columns if self.exists is None else self.exists & columns)

    def spice(self, sheet: Sheet) -> list[str]:
        """Branches on one tail a row; where branches leak, the row's largest logit by a chain of comparisons."""
        shape = sheet.circuit.arrays[self.target].shape
        exists = np.broadcast_to(True if self.exists is None else self.exists, shape)
        tail = np.broadcast_to(sheet.names[self.target][..., :1] + ":tail", shape)
        port = np.where(sheet.present(self.target), sheet.ports(self.target), "0")
        current = sheet.amperes(self.target)
        law = (self.gain / sheet.units(self.source), self.shift)
        node = sheet.nodes(self.source)
        sheet.need(BRANCH)
        rows = exists.any(axis=-1)
        lines = elements(sheet.prefix("I"), "0 %s 1e-6", rows, tail[..., 0])
        pattern = "%s %s %s softmax_branch i=%.12g a=%.12g b=%.12g"
        lines += elements(sheet.prefix("X"), pattern, exists, node, tail, port, current, *law)
        if self.floor is None:
            return lines
        return lines + self._spice_leakage(sheet, exists, node, tail, port, law)

    def _spice_leakage(
        self, sheet: Sheet, exists: Array, node: Array, tail: Array, port: Array, law: tuple[Array, Array]
    ) -> list[str]:
        assert self.floor is not None
        sheet.need(LARGER)
        sheet.need(LEAKAGE)
        top = sheet.names[self.target] + ":top"
        bottom = sheet.prefix("low") + ":v"
        below = np.concatenate([np.full_like(top[..., :1], bottom), top[..., :-1]], axis=-1)
        # a branch that does not exist hands on what is below it
        a, b = (np.where(exists, value, other) for value, other in zip(law, (0.0, LOWEST), strict=True))
        every = np.ones(exists.shape, bool)
        lines = [f"V{bottom.split(':')[0]}1 {bottom} 0 {LOWEST:g}"]
        pattern = "%s %s %s softmax_larger a=%.12g b=%.12g"
        lines += elements(sheet.prefix("X"), pattern, every, node, below, top, a, b)
        last = np.broadcast_to(top[..., -1:], exists.shape)
        pattern = f"%s %s %s softmax_leakage i=%.12g k={float(np.exp(-self.floor)):.12g}"
        values = (last, tail, port, sheet.amperes(self.target))
        return lines + elements(sheet.prefix("X"), pattern, exists, *values)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Softmax:
        if not spread.offset:
            return self
        shape = circuit.arrays[self.target].shape
        full_scale = self.source.of(circuit.full_scale(self.source.array)[None])[0]
        return replace(self, shift=spread.offset * full_scale * draw(self.name, "branch offset", shape))

    def meter(self, circuit: Circuit) -> Meter:
        """Each row's tail, and its mirrors: Σ g U p, which is g U for one U in the row, at most its largest."""
        branches = self.full_current(circuit) * (1.0 if self.exists is None else self.exists)
        return Meter(standing=self.tail_current * self.count(circuit) + float(branches.max(axis=-1).sum()))

    def area(self, circuit: Circuit, technology: Technology) -> float:
        """By branch: one for each node of the target that exists."""
        return circuit.arrays[self.target].count * technology.softmax.area

    def count(self, circuit: Circuit) -> int:
        """One tail for each row."""
        return int(np.prod(circuit.arrays[self.target].shape[:-1]))


def _is_zero(value: Array) -> bool:
    return isinstance(value, float) and value == 0.0
