"""What a chip makes of a programmed value, and how far the value can go.

    seen = gain · programmed + shift,        |programmed| ≤ reach

Devices keep their error while their control voltage moves: β is a factor, and V_t adds a conductance that was fixed
with the device, a share of the largest |G| of the row at the time of fabrication. reach is the range of what holds
the value: of a control capacitor the largest conductance of its device, of a bias DAC the current that takes its node
to the rail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import pieces
from ..rows import by_rows, distinct, row_peaks

if TYPE_CHECKING:
    from .mismatch import Draw, Spread

Array = Any


@dataclass(frozen=True)
class Programming:
    """Of one cell. field: name of its attribute that is programmed; value: that, as designed; gain, shift, reach:
    numbers, or arrays in its shape, in logical units."""

    field: str
    value: Array
    gain: Array = 1.0
    shift: Array = 0.0
    reach: Array = np.inf

    def seen(self, value: Array) -> Array:
        """What this chip's devices make of it, a new array."""
        return (value * self.gain + self.shift).astype(value.dtype, copy=False)

    def write(self, value: Array, onto: Array) -> None:
        """The same into an array of as many numbers."""
        for v, gain, shift, seen in pieces(value, self.gain, self.shift, onto):
            seen[...] = v * gain + shift

    def placed(self, xp: Any) -> Programming:
        """With its arrays where values of module xp are; `value` stays."""
        moved = {name: xp.asarray(each) for name, each in vars(self).items() if isinstance(each, np.ndarray)}
        return replace(self, **moved | {"value": self.value})

    def written(self, term: Any, seen: Array) -> Any:
        """The cell (dataclass) as this chip has it with another value, of which `seen` is what its devices make."""
        return replace(term, **{self.field: seen})

    def hold(self, value: Array) -> None:
        """Bring the value back into its range, where it stands."""
        for v, most in pieces(value, self.reach):
            v.clip(-most, most, out=v)

    def at_rails(self, value: Array) -> int:
        """How many stand at an end of their range."""
        return int((abs(value) >= self.reach).sum())


def least(each: Array, shape: tuple[int, ...]) -> Array:
    """The least of an array (*target) over whatever a value of `shape`, broadcastable to it, is shared by."""
    wide = (1,) * (each.ndim - len(shape)) + shape
    over = tuple(axis for axis, size in enumerate(wide) if size == 1)
    return each.min(axis=over, keepdims=True).reshape(shape)


def reach(u_in: Array, u_out: Array, most: float, dtype: Any) -> Array:
    """The |w| (out, in) that conductances of `most` (over g of the driven nodes) make at the position where they make
    least. u_in, u_out: volts per unit of driving and driven nodes, position by position."""
    rows, both = u_out.shape[-1], np.concatenate([u_out, u_in], axis=-1)
    each, found = distinct(both)[0], np.empty((rows, u_in.shape[-1]), dtype)

    def least_of(part: slice) -> None:
        found[part] = most * np.min([u[None, rows:] / u[:rows][part, None] for u in each], axis=0)

    by_rows(least_of, found.shape)
    return found


def erring(name: str, w: Array, peak: Array, spread: Spread, draw: Draw) -> Array:
    """w(1 + σξ) + σ_V ξ′ peak: weights of one-sided units as a chip has them; peak: the row's largest, as a weight."""
    gain, shift = errors(name, w.shape, peak, spread, draw)
    return w * gain + shift


def errors(name: str, shape: tuple[int, ...], peak: Array, spread: Spread, draw: Draw) -> tuple[Array, Array]:
    """(1 + σξ, σ_V ξ′ peak) of the units of weights of `shape`; 1 and 0 where there is no such spread."""
    gain: Array = 1 + spread.mismatch * draw(name, "beta", shape) if spread.mismatch else 1.0
    shift: Array = spread.vt_mismatch * peak * draw(name, "vt", shape) if spread.vt_mismatch else 0.0
    return gain, shift


def row_peak(w: Array, unit: Array) -> Array:
    """Conductance of each row's strongest unit, as a weight at each column; unit (in,): U of the driving nodes."""
    return row_peaks(w, 1 / unit[None]).T * unit
