"""What is wrong with the transistors of a coupling: of a chip for good, and of a run while it lasts.

Of transistor k of a unit the threshold is off by δ_k and the current by a share β_k. In equal devices of area W·L, m in
parallel (Pelgrom, Duinmaijer & Welbers 1989)

    σ(δ) = A_Vt / √(W L m),        σ(β) = A_β / √(W L m)

and a wafer's gradient adds what rises evenly in a direction θ across the array, row i and column j from its middle:

    δ_ij = Γ_Vt s,   β_ij = Γ_β s,        s = (j − (J − 1)/2) cos θ + (i − (I − 1)/2) sin θ

Flicker noise is slower than a run: it is one more δ_k, drawn anew for each, σ = A_F / √(W L m) (`flicker` in
`technology_parts.py`). Trim was before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .programming import erring
from .transistor_units import UNITS

if TYPE_CHECKING:
    from ..devices.card import DeviceCard
    from .mismatch import Draw, Spread

Array = Any


@dataclass(frozen=True)
class Devices:
    """Errors of the transistors of each unit, (transistors, out, in): shift δ [V], gain β."""

    shift: Array
    gain: Array

    def rows(self, rows: slice) -> Devices:
        """Those of some driven nodes."""
        return Devices(self.shift[:, rows], self.gain[:, rows])

    def at(self, row: Array, column: Array, share: Array) -> Devices:
        """(transistors, units) of chosen units whose currents are all so many times as large."""
        return Devices(self.shift[:, row, column], (1 + self.gain[:, row, column]) * share - 1)


class Drawn(NamedTuple):
    """chip: devices as they were when the gates were written, None: all alike; run: as they are now; residual: relative
    errors (out, in) of conductance that write-verify leaves by moving the gates, None: they stay."""

    chip: Devices | None = None
    run: Devices | None = None
    residual: Array | None = None


@dataclass(frozen=True)
class Errors:
    """Where the errors of a coupling's units come from: they are too many to keep, and the same whenever drawn.

    spread, draw: the chip's; name: of the coupling when it was made; strongest: weight (out, 1) of each row's strongest
    unit, at 1 V a logical unit. flicker [V·m]: A_F, drawn by `run`.
    """

    spread: Spread
    draw: Draw
    name: str
    strongest: Array = 0.0
    flicker: float = 0.0
    run: Draw | None = None

    def drawn(self, card: DeviceCard, fingers: int, shape: tuple[int, ...]) -> Drawn:
        """Devices of units (out, in) of this card, so many fingers each."""
        area, kinds = card.width * card.length * fingers, range(len(UNITS[card.unit]))
        chip = self._chip(area, kinds, shape)
        residual = None
        if chip is not None and self.spread.write_verify is not None:
            residual = self.spread.write_verify * self.draw(self.name, "write-verify", shape)
        if self.run is None:
            return Drawn(chip, chip, residual)
        sigma = self.flicker / math.sqrt(area)
        moved = np.stack([sigma * self.run(self.name, f"flicker of transistor {k}", shape) for k in kinds])
        now = Devices(moved, np.zeros_like(moved)) if chip is None else Devices(chip.shift + moved, chip.gain)
        return Drawn(chip, now, residual)

    def _chip(self, area: float, kinds: range, shape: tuple[int, ...]) -> Devices | None:
        """By Pelgrom's law in devices of so much area [m²], and by the gradient."""
        spread = self.spread
        if not spread.of_transistors:
            return None
        sigmas = spread.threshold_area / math.sqrt(area), spread.beta_area / math.sqrt(area)
        shift, gain = (
            np.stack([sigma * self.draw(self.name, f"{kind} of transistor {k}", shape) for k in kinds])
            for kind, sigma in zip(("threshold", "beta"), sigmas, strict=True)
        )
        along = _along(shape, spread.gradient_angle)
        return Devices(shift + spread.threshold_gradient * along, gain + spread.beta_gradient * along)

    def share(self, weight: Array, unit: Array) -> Array | None:
        """(out, in) by which `mismatch` and `vt_mismatch` multiply a unit's current, None: by nothing; unit (in,): U of
        the driving nodes."""
        if not (self.spread.mismatch or self.spread.vt_mismatch):
            return None
        w = np.asarray(weight, float)
        off = erring(self.name, w, self.strongest * unit, self.spread, self.draw)
        return np.divide(off, w, out=np.ones(w.shape), where=w != 0)


def _along(shape: tuple[int, ...], angle: float) -> Array:
    """s (out, in) of units along a direction [rad], 0 in the middle."""
    rows, columns = (np.arange(count) - (count - 1) / 2 for count in shape)
    return columns * math.cos(angle) + rows[:, None] * math.sin(angle)
