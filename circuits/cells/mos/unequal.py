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


def drawn(
    spread: Spread, draw: Draw, name: str, areas: Mapping[str, Array], shape: tuple[int, ...]
) -> Unequal:
    """Errors of the transistors of `shape` units by Pelgrom's law. areas [m²]: W·L of each, one or by unit; units that
    do not exist have none (0)."""
    shift, gain = {}, {}
    for key, area in areas.items():
        inverse = np.divide(1.0, np.sqrt(area), out=np.zeros(np.shape(area)), where=np.asarray(area) > 0)
        shift[key] = spread.threshold_area * inverse * draw(name, f"threshold of {key}", shape)
        gain[key] = spread.beta_area * inverse * draw(name, f"beta of {key}", shape)
    return Unequal(shift, gain)


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

