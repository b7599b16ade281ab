"""Device card: what a simulator measured of the transistors of one coupling unit, in factors a solver can use.

With f(V, u) the current of one transistor, its gate at V, from a terminal at V_CM + u into one held at V_CM, a unit
that a node of v volts drives (its terminals at V_CM ± v/2) delivers the differential current I = (i_p − i_n)/2:

    single   I = ½ f(V, v/2)                                                of p alone
    pair     I = ½ [f(V, v/2) − f(V, −v/2)]                                 odd in v
    quad     I = o(V_b + V/2, v) − o(V_b − V/2, v),   o that of a pair      odd in v, signed by V

A pair of transistors that conduct 2G each is a conductance G between the node's sides: two in series over the virtual
ground. Its heat is I v and its noise 4kT dI/dv, as of any resistor G, and so are those of a single of 4G.

and I(V, v) = Σ_r φ_r(V) ψ_r(v). V is the unit's control voltage: that of the gate, of a quad the difference of two.
Where the devices of a pair differ, e(V, v) = ½ [f(V, v/2) + f(V, −v/2)] no longer cancels: `even` has its factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.interpolate import CubicSpline

from ..errors import Error
from .channel_noise import channel_card
from .tables import Even, Octaves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
Unit = Literal["single", "pair", "quad"]
UNITS: tuple[Unit, ...] = ("single", "pair", "quad")
LEAST = 1e-6  # share of the largest conductance that is nothing
FINE = 1 << 14  # steps of the control voltage: linear in between is within 1e-6 of what it is in weak inversion


@dataclass(frozen=True)
class Origin:
    """Where a card comes from. model: name of the transistor in the file `models`, of hash `sha256`; technology and
    corner; engine and version that simulated it; tolerance that was asked for."""

    technology: str
    corner: str
    models: str
    model: str
    sha256: str
    engine: str
    version: str
    tolerance: float


@dataclass(frozen=True)
class DeviceCard:
    """A coupling unit of transistors, each of one finger.

    unit: "single", "pair" or "quad"; width, length [m] of each transistor; common_mode V_CM, vdd [V]; temperature [K];
    full_scale [V]: |v| over which conductance is a slope; bias V_b [V] of a quad; reach [V]: highest control voltage
    (others were measured only to know what a threshold off by mismatch does);
    gates (K,) control voltages V, volts (V,) of v, surface (K, V) [A] as measured;
    table (K, r) φ [A] and coefficients (r, degree + 1) of ψ, lowest power of v first, largest |ψ| 1;
    error: largest |residual| as a share of the largest |I|, at the points measured and at as many between them;
    even: factors of e (a pair's), pair: the two of a quad; cells: cards of other cells of the same transistors, by
    name; origin.

    Raises Error for numbers that make no card, such as a surface with holes; `control` for a conductance that does not
    rise with it.
    """

    unit: Unit
    width: float
    length: float
    common_mode: float
    vdd: float
    temperature: float
    full_scale: float
    reach: float
    gates: Array = field(repr=False)
    volts: Array = field(repr=False)
    surface: Array = field(repr=False)
    table: Array = field(repr=False)
    coefficients: Array = field(repr=False)
    error: float
    origin: Origin = field(repr=False)
    bias: float = 0.0
    even: DeviceCard | None = field(default=None, repr=False)
    pair: DeviceCard | None = field(default=None, repr=False)
    cells: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_surface(self.gates, self.volts, self.surface)
        shapes = (len(self.gates), self.rank), (self.rank, np.shape(self.coefficients)[-1])
        finite = np.isfinite(self.table).all() and np.isfinite(self.coefficients).all()
        if (np.shape(self.table), np.shape(self.coefficients)) != shapes or not finite:
            raise Error(
                f"factors of shapes {np.shape(self.table)} and {np.shape(self.coefficients)}: characterize again"
            )

    @property
    def rank(self) -> int:
        """Number of factors: products that a crossbar of these units takes."""
        return len(self.coefficients)

    def about(self) -> dict[str, Any]:
        """What it is, in plain values."""
        names = ("unit", "width", "length", "temperature", "vdd", "rank", "error")
        return {name: getattr(self, name) for name in names} | {"cells": sorted(self.cells)} | vars(self.origin)

    def plot(self) -> Figure:
        """Currents and conductance; see `card_picture.plot_device_card`."""
        from .card_picture import plot_device_card

        return plot_device_card(self)

    # --- programming, on the host in float64 ----------------------------------------------------------

    @cached_property
    def _spline(self) -> Any:
        """φ, a cubic spline through the gates measured."""
        return CubicSpline(self.gates, self.table, axis=0)

    @cached_property
    def _factors(self) -> Even:
        return Even.of(self._spline, float(self.gates[0]), float(self.gates[-1]), FINE)

    @cached_property
    def _conductances(self) -> Even:
        return replace(
            self._factors, values=self._factors.values @ self.shares, rises=self._factors.rises @ self.shares
        )

    def factors(self, gate: Array) -> Array:
        """φ_r(V) [A], (…, r)."""
        return self._factors(gate)

    @cached_property
    def channel(self) -> DeviceCard:
        """Of a single: the card whose conductances are those of its channel's noise."""
        return channel_card(self)

    @cached_property
    def shares(self) -> Array:
        """κ_r [1/V], the least-squares slope of ψ_r over |v| <= full scale: ∫ψv / ∫v²."""
        power = np.arange(self.coefficients.shape[1])
        moment = np.where(power % 2 == 1, 3.0 * self.full_scale ** (power - 1.0) / (power + 2), 0.0)
        return self.coefficients @ moment

    def conductance(self, gate: Array) -> Array:
        """G(V) [S]: least-squares slope of I over |v| <= full scale."""
        return self._conductances(gate)

    def conductance_and_slope(self, gate: Array) -> tuple[Array, Array]:
        """G [S], dG/dV [S/V]."""
        found, rise = self._conductances.tangent(gate)
        return found, rise / self._conductances.step

    @cached_property
    def _inverse(self) -> tuple[float, Octaves]:
        """(largest conductance, control voltages of conductances from 0 to it), up to `reach`.

        Where a transistor is off, and conducts less than the factors are wrong by, its conductance may do anything:
        there the control falls to the lowest voltage in a straight line.
        """
        lowest = 0.0 if self.unit == "quad" else float(self.gates[0])
        gates = np.linspace(lowest, self.reach, FINE + 1)
        siemens = self.conductance(gates)
        if self.unit == "quad":
            siemens[0] = 0.0
        falls = np.flatnonzero((np.diff(siemens) <= 0) | ((siemens[:-1] <= 0) & (self.unit != "quad")))
        if falls.size:
            start = falls[-1] + 1
            if self.unit == "quad" or np.abs(siemens[: start + 1]).max() > max(self.error, LEAST) * siemens.max():
                raise Error(
                    f"conductance does not rise with its control at {gates[falls[-1]]:.4g} V: look at the model card, "
                    "or lower the tolerance"
                )
            siemens, gates = np.append(0.0, siemens[start:]), np.append(lowest, gates[start:])
        most = float(siemens[-1])
        return most, Octaves.of(lambda g: np.interp(g, siemens, gates), most)

    def control(self, conductance: Array) -> Array:
        """Control voltage [V] that makes a finger conduct so much [S], a quad's of the conductance's sign; less than
        the least: the lowest voltage.

        Raises Error for more than `reach` gives.
        """
        most, inverse = self._inverse
        worst = float(np.max(np.abs(conductance), initial=0.0))
        if not worst <= most * (1 + 1e-9):
            raise Error(
                f"conductance {worst:.4g} S is more than the {most:.4g} S of {self.width * 1e9:.4g} nm × "
                f"{self.length * 1e6:.4g} µm at {self.reach:.3g} V: take more fingers or a wider device"
            )
        if self.unit == "quad":
            return np.copysign(inverse(np.minimum(np.abs(conductance), most)), conductance)
        return inverse(np.clip(conductance, 0.0, most))

    # --- running, in the arrays' own module and type --------------------------------------------------

    def shapes(self, v: Array) -> list[Array]:
        """ψ_r(v), as many as the rank, each of the shape of v."""
        return [_horner(row, v) for row in self.coefficients]

    def slopes(self, v: Array) -> list[Array]:
        """Derivatives ψ_r′(v) [1/V]."""
        return [_horner(row[1:] * np.arange(1, len(row)), v) for row in self.coefficients]

    def current(self, gate: Array, v: Array) -> Array:
        """I(V, v) [A] of one finger; gate and v broadcast."""
        phi = self.factors(gate)
        return sum((phi[..., r] * shape for r, shape in enumerate(self.shapes(v))), np.zeros(()))


def _horner(coefficients: Array, v: Array) -> Array:
    """Polynomial, lowest power first, at v; its numbers are Python's, so that v keeps its type."""
    *rest, top = (float(c) for c in coefficients)
    found = top + 0 * v
    for c in reversed(rest):
        found = found * v + c if c else found * v
    return found


def check_surface(gates: Array, volts: Array, surface: Array) -> None:
    """Raises Error for a surface with holes, or axes that do not rise or, of v, are not symmetric."""
    if np.shape(surface) != (len(gates), len(volts)):
        raise Error(f"surface has shape {np.shape(surface)}: measure it at {len(gates)} gates × {len(volts)} voltages")
    for name, axis in (("control voltages", gates), ("voltages v", volts)):
        if len(axis) < 4 or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
            raise Error(f"{name} of the surface do not rise: measure at 4 or more, in order")
    if not np.allclose(volts, -np.asarray(volts)[::-1], atol=1e-9):
        raise Error(f"voltages v go from {volts[0]:.4g} to {volts[-1]:.4g} V: measure symmetrically about 0")
    holes = np.argwhere(~np.isfinite(surface))
    if holes.size:
        k, j = holes[0]
        raise Error(
            f"surface has {len(holes)} holes, the first at control {gates[k]:.4g} V, v {volts[j]:.4g} V: simulate it "
            "again"
        )
    if not math.isfinite(float(np.abs(surface).max())) or not np.abs(surface).max() > 0:
        raise Error("surface is 0 everywhere: connect the transistor, or look at the model card")
