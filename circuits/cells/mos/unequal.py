"""Transistors of a cell that differ, one by one: how much each is off, and the cell's subcircuit with that in it.

Of device k the threshold |V_t| is δ_k more than designed and the current β_k times more (Pelgrom, Duinmaijer & Welbers,
IEEE JSSC 24(5), 1989), in a gate of area W·L

    σ(δ) = A_Vt / √(W L),        σ(β) = A_β / √(W L)

Cascodes are taken as designed: they only hold the drain of the device under them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..mismatch import Draw, Spread

Array = Any
Size = tuple[Any, ...]


@dataclass(frozen=True)
class Unequal:
    """Errors of a cell's transistors by name, an array over the cell's units each: shift δ [V], gain β."""

    shift: Mapping[str, Array]
    gain: Mapping[str, Array]

    def plus(self, before: Unequal | None) -> Unequal:
        """These on top of others of the same transistors."""
        if before is None:
            return self
        shift = {key: value + before.shift[key] for key, value in self.shift.items()}
        return Unequal(shift, {key: value + before.gain[key] for key, value in self.gain.items()})

    def only(self, names: Iterable[str]) -> Unequal:
        """Of some of the transistors."""
        kept = list(names)
        return Unequal({k: self.shift[k] for k in kept}, {k: self.gain[k] for k in kept})

    def words(self, shape: tuple[int, ...]) -> tuple[str, list[Array]]:
        """(what follows the name of an erring subcircuit, to be filled in; columns of this shape for it)."""
        pattern, columns = "", []
        for key in self.shift:
            pattern += f" s_{key}=%.9g b_{key}=%.9g"
            columns += [np.broadcast_to(self.shift[key], shape), np.broadcast_to(1 + self.gain[key], shape)]
        return pattern, columns


@dataclass(frozen=True)
class Gates:
    """The transistors of `shape` units that differ. areas: W·L [m²] of each by name, one or by unit (0: there is none);
    shared: those that a row of units has one of."""

    areas: Mapping[str, Array]
    shape: tuple[int, ...]
    shared: tuple[str, ...] = ()

    def of_chip(self, spread: Spread, draw: Draw, name: str) -> Unequal:
        """Their errors by Pelgrom's law."""
        shift = self._each(spread.threshold_area, draw, name, "threshold")
        return Unequal(shift, self._each(spread.beta_area, draw, name, "beta"))

    def of_run(self, flicker: float, draw: Draw, name: str, chip: Unequal | None) -> Unequal:
        """With a run's flicker noise, A_F [V·m], on top of the chip's errors."""
        shift = self._each(flicker, draw, name, "flicker")
        return Unequal(shift, {key: np.zeros_like(value) for key, value in shift.items()}).plus(chip)

    def _each(self, per_length: float, draw: Draw, name: str, kind: str) -> dict[str, Array]:
        found = {}
        for key, area in self.areas.items():
            shape = (*self.shape[:-1], 1) if key in self.shared else self.shape
            inverse = np.divide(1.0, np.sqrt(area), out=np.zeros(np.shape(area)), where=np.asarray(area) > 0)
            found[key] = per_length * inverse * draw(name, f"{kind} of {key}", shape)
        return found


def differs(spread: Spread) -> bool:
    """Whether transistors inside cells differ: by Pelgrom's law; gradients are of arrays of couplings."""
    return bool(spread.threshold_area or spread.beta_area)


def erring(devices: Mapping[str, Size], names: Iterable[str]) -> tuple[dict[str, Size], list[str]]:
    """(devices with those of `names` behind sources of their thresholds' errors and so many times as wide, parameters
    of their subcircuit (`defaults`); the sources).

    devices: name -> (ends "drain gate source", kind, width, length[, fingers]).
    """
    found, sources = dict(devices), []
    for key in names:
        ends, kind, width, length, *fingers = devices[key]
        drain, gate, source = ends.split()
        many = fingers[0].removeprefix(" m=").strip("{}") + "*" if fingers else ""
        found[key] = (f"{drain} {key}:e {source}", kind, width, length, f" m={{{many}b_{key}}}")
        sources.append(f"V{key} {gate} {key}:e {{{'' if kind == 'n' else '-'}s_{key}}}")
    return found, sources


def defaults(names: Iterable[str]) -> str:
    """Parameters of a subcircuit whose transistors err, as they were designed, behind its ports."""
    return "".join(f" s_{key}=0 b_{key}=1" for key in names)


def exponent(shift: Array, slope_factor: float, thermal_voltage: float) -> Array:
    """exp(−δ / 2nV_T), n the slope factor: what δ leaves of e^√(I/I_s) − 1 (`copies.py`)."""
    return np.exp(-np.asarray(shift) / (2 * slope_factor * thermal_voltage))


def square_metres(width: Array, length: float) -> Array:
    """W·L [m²] of sizes in µm."""
    return np.asarray(width, float) * length * 1e-12
