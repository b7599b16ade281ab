"""Softmax unit: the N-input differential pair in weak inversion (translinear; DESIGN §4).

    I_i = I_T exp(v_i / nV_T) / Σ_j exp(v_j / nV_T)

over the inputs that exist in the row (a causal row of length i + 1 is a pair of i + 1 branches). The cell has its
own input unit, nV_T volts a nat (29 mV at 300 K), so its gain goes with 1/T. Branch offsets shift v_i; leakage
holds a branch at I_T·e^(−floor) under the row's maximum.
Noise: shot noise of the branches, 2qI_i(1 − p_i): as a conductance G_eq = q I_i (1 − p_i) / 2kT.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .term import Array, Signals
from .transfer import Transfer

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread

ABSENT = -1e30  # logit of a branch that does not exist


@dataclass(frozen=True)
class Softmax(Transfer):
    """Softmax along the last axis.

    exists: bool mask of branches, or None; gain: nats per logical unit (design temperature / actual temperature);
    shift: branch offset [nats]; floor: nats under the row's maximum where leakage takes over (None: no leakage).
    """

    exists: Array | None = None
    gain: float = 1.0
    shift: Array = 0.0
    floor: float | None = None
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
        node = circuit.arrays[self.target]
        p = self._softmax(self.source.of(x[self.source.array]))
        return node.conductance * circuit.units(self.target) * p * (1 - p) / (2 * circuit.thermal_voltage)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Softmax:
        if not spread.offset:
            return self
        shape = circuit.arrays[self.target].shape
        full_scale = self.source.of(circuit.full_scale(self.source.array)[None])[0]
        return replace(self, shift=spread.offset * full_scale * draw(self.name, "offset", shape))

    def area(self, circuit: Circuit, technology: Technology) -> float:
        """By branch: one for each node of the target that exists."""
        return circuit.arrays[self.target].count * technology.softmax.area

    def count(self, circuit: Circuit) -> int:
        """One tail for each row."""
        return int(np.prod(circuit.arrays[self.target].shape[:-1]))


def _is_zero(value: Array) -> bool:
    return isinstance(value, float) and value == 0.0
