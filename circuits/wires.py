"""Wires as what they are: lines of distributed resistance and capacitance (DESIGN §6).

    r c ∂v/∂t = ∂²v/∂x²,      (u − v)/R_d = −v_x/r at the driver,      −v_x/r = C_l ∂v/∂t at the far end

With R = r L, C = c L, a = R_d/R, b = C_l/C the far end answers a step of u by

    v(t) = 1 + Σ_k 2 e^(−ω_k² t/RC) / (ω_k D′(ω_k)),      D(ω) = (1 − ab ω²) cos ω − (a + b) ω sin ω = 0

(Sakurai, IEEE JSSC 18(4), 1983). Half of the step is there after 0.379 RC on a line without driver and load, after
0.693 R_d (C + C_l) on one without resistance. The mean of the delay, −H′(0), is Elmore's (J. Appl. Phys. 19, 1948):

    τ = R_d (C + C_l) + R (C/2 + C_l)

A machine has two kinds of lines. Along a *row* a buffer drives couplings, tile by tile. Along a *column* couplings push
their current into a conveyor, whose input is nearly ground; what arrives of a current pushed in at the far end is the
same function of time, by reciprocity, with the conveyor's r_x as the driver's resistance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from . import checks
from .errors import Error
from .technology import Technology
from .technology_parts import Metal

Array = Any
TERMS = 200  # of the series: exact to rounding from RC/1000 on
HALVINGS = 60  # of an interval, until nothing of it is left in float64


@dataclass(frozen=True)
class Line:
    """A uniform line: resistance R [Ω] and capacitance C [F] of its whole length, driver R_d [Ω], load C_l [F].

    Raises Error where one is negative or all of a kind are zero: nothing delays then.
    """

    resistance: float
    capacitance: float
    driver: float = 0.0
    load: float = 0.0

    def __post_init__(self) -> None:
        for name, unit in (("resistance", "ohms"), ("capacitance", "farads"), ("driver", "ohms"), ("load", "farads")):
            checks.number(f"{name} of a line", getattr(self, name), f"give {unit}, 0 or more", least=0)

    @property
    def elmore(self) -> float:
        """τ [s]: mean of the delay to the far end; the time constant of one lag that stands for the line."""
        return self.driver * (self.capacitance + self.load) + self.resistance * (self.capacitance / 2 + self.load)

    def response(self, times: Array) -> Array:
        """v(t) at the far end, as a share of the step, at times [s]; 0 before the step."""
        t = np.asarray(times, float)
        if self.resistance * self.capacitance == 0:  # one lag, or none
            left = np.exp(-np.maximum(t, 0) / self.elmore) if self.elmore else 0.0 * t
        else:
            rates, shares = self._modes
            left = np.exp(-np.maximum(t, 0)[..., None] * rates) @ shares
        return np.where(t > 0, 1 - left, 0.0)

    def delay(self, share: float = 0.5) -> float:
        """Seconds until the far end has made that share of the step, 0 … 1 (both excluded)."""
        if not 0 < share < 1:
            raise Error(f"share {share!r} of a step: give a number between 0 and 1, such as 0.5")
        end = self.elmore / (1 - share)  # 1 − v(t) ≤ τ/t, as v rises all the time
        return float(_falling(lambda t: share - self.response(t), np.zeros(()), np.asarray(end)))

    @cached_property
    def _modes(self) -> tuple[Array, Array]:
        """(ω²/RC [1/s], −2/(ω D′)) of each mode; one in every branch of tan ω = (1 − ab ω²)/((a + b) ω)."""
        a, b = self.driver / self.resistance, self.load / self.capacitance
        centre = np.pi * np.arange(TERMS)
        w = _falling(
            lambda w: (-1.0) ** np.arange(TERMS) * ((1 - a * b * w * w) * np.cos(w) - (a + b) * w * np.sin(w)),
            np.maximum(centre - np.pi / 2, 0),
            centre + np.pi / 2,
        )
        slope = -(1 - a * b * w * w + a + b) * np.sin(w) - (2 * a * b + a + b) * w * np.cos(w)
        return w * w / (self.resistance * self.capacitance), -2 / (w * slope)


def _falling(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where a function that goes from above 0 at `low` to below at `high` is 0, by halving; element by element."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = f(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def row(technology: Technology, units: float) -> Line:
    """The wire of the longest tile among so many coupling units of a row, behind its buffer."""
    length = technology.wire.pitch * min(units, technology.wire.tile)
    return _line(technology.row_wire, length, 1 / technology.buffer.conductance)


def column(technology: Technology, units: float) -> Line:
    """The wire that brings the currents of so many units to a conveyor."""
    return _line(technology.column_wire, technology.wire.pitch * units, technology.conveyor.input_resistance)


def row_capacitance(technology: Technology, units: Array) -> Array:
    """All the wire [F] of rows of so many coupling units: what their buffers charge."""
    return technology.row_wire.capacitance_per_length * technology.wire.pitch * units


def _line(metal: Metal, length: float, driver: float) -> Line:
    return Line(metal.resistance_per_length * length, metal.capacitance_per_length * length, driver)
