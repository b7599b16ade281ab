"""Poles of a conveyor and shares of its noise (`circuits/cells/conveyor_loop.py`), fitted to what ngspice says of it.

Poles come from both of its transfers, from x to the outputs and to its own voltage, and from its noise with nothing and
with L at x; how much of the noise takes which path, from that alone, linearly. Weights fall as a node's pole does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..circuits.cells.conveyor_loop import ConveyorLoop
from ..circuits.cells.rational import at
from ..circuits.errors import Error

Array = Any
HIGHEST = 3e9, 6e9  # Hz, of transfers and of noise
KNEE = 5e8  # Hz, above which less and less is left in a node
NOISE = 3.0  # weight of noise beside transfers
TYPICAL = {"regulation": 2e-9, "own": 0.02, "mirror": 1e-10, "cascode": 1e-10, "input": 3e-12}
DRIVEN = {"push": 0.05, "pushing": 4e-10}  # of sinks that are driven too


@dataclass(frozen=True)
class Measured:
    """Of a conveyor, over frequencies [Hz]: what it delivers of 1 A into x and the voltage there; densities [S], over
    frequencies of their own, by conductance [S] at x. ohms: r_x."""

    ohms: float
    frequency: Array
    delivered: Array
    voltage: Array
    noise_frequency: Array
    densities: dict[float, Array]


def fit_loop(found: Measured, *, driven: bool) -> ConveyorLoop:
    """Its loop; driven: whether its sinks are.

    Raises Error for a response that is not finite, or without noise.
    """
    from scipy.optimize import least_squares

    response = np.concatenate([found.delivered, found.voltage])
    densities = np.stack(list(found.densities.values()))
    if not (np.isfinite(response).all() and np.isfinite(densities).all() and found.ohms > 0 and (densities > 0).all()):
        raise Error(f"a conveyor of these transistors does not work (r_x = {found.ohms:.3g} Ω): check the model cards")
    start = np.array(list((TYPICAL | (DRIVEN if driven else {})).values()))
    names = list(TYPICAL) + (list(DRIVEN) if driven else [])

    def loop(values: Array) -> ConveyorLoop:
        return ConveyorLoop(**dict(zip(names, (float(v) for v in values * start), strict=True)))

    def away(values: Array) -> Array:
        here = loop(values)
        return np.concatenate([_transfers(here, found), NOISE * _shares(here, found, driven)[1]])

    most = [0.5 / s if name in ("own", "push") else np.inf for name, s in zip(names, start, strict=True)]
    best = loop(least_squares(away, np.ones(len(start)), bounds=(0.0, most)).x)
    (white, late, amplifier, sinks), off = _shares(best, found, driven)
    mirrored, pushed = float(late / (white + late)), float(sinks / (amplifier + sinks))
    return replace(best, mirrored=mirrored, pushed=pushed, error=float(np.sqrt((off**2).mean())))


def _weight(frequency: Array) -> Array:
    return 1 / np.sqrt(1 + (frequency / KNEE) ** 2)


def _transfers(loop: ConveyorLoop, found: Measured) -> Array:
    """What both transfers are off, real and imaginary parts."""
    below = found.frequency < HIGHEST[0]
    frequency = found.frequency[below]
    s, paths = 2j * np.pi * frequency, loop.transfers(0.0)
    signal, impedance = (at(above, s) / at(under, s) for above, under in (paths["signal"], paths["impedance"]))
    passed = found.delivered[below] / found.delivered[0].real
    volts = found.voltage[below] / found.ohms
    off = np.concatenate([(signal - passed), (impedance - volts) / np.abs(volts)]) * np.tile(_weight(frequency), 2)
    return np.concatenate([off.real, off.imag])


def _shares(loop: ConveyorLoop, found: Measured, driven: bool) -> tuple[Array, Array]:
    """(densities by path: white, behind the mirrors, of the amplifier, of the sinks'; what the spectra are off)."""
    from scipy.optimize import nnls

    below = found.noise_frequency < HIGHEST[1]
    frequency = found.noise_frequency[below]
    s, rows, sides = 2j * np.pi * frequency, [], []
    for load, density in found.densities.items():
        paths = loop.transfers(found.ohms * load)
        each = [loop.mirrors, paths["amplifier"]] + ([paths["sinks"]] if driven else [])
        columns = [np.ones_like(frequency), *(np.abs(at(above, s) / at(under, s)) ** 2 for above, under in each)]
        rows.append(np.stack(columns) * (_weight(frequency) / density[below]))
        sides.append(_weight(frequency))
    matrix, side = np.concatenate(rows, axis=1).T, np.concatenate(sides)
    sizes = np.abs(matrix).max(axis=0)
    parts = nnls(matrix / sizes, side)[0] / sizes
    return np.append(parts, [0.0] * (4 - len(parts))), matrix @ parts - side
