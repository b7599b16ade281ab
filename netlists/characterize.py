"""Measures the transistors of a coupling unit in a simulator: a surface of currents, its factors, a device card.

One transistor is swept, its gate over V = 0 … VDD + 0.1 V and one terminal over V_CM + u, the other held at V_CM, with
the current that flows into the held one: f(V, u). The units of `circuits/devices/card.py` are sums of it, exactly,
because conveyors hold every output and buffers drive every input. Of the points swept every second gate and voltage
makes the factors; what these miss is taken at all points, so also between those they were made from.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.devices.card import UNITS, DeviceCard, Origin, Unit, check_surface
from ..circuits.devices.factors import factored
from ..circuits.devices.models import ModelCard, load_models
from ..circuits.errors import Error
from ..circuits.technology import Technology, load_technology
from ..circuits.technology_parts import Supply
from ..circuits.words import counted
from .cells import check_cells, measure_cell
from .ngspice import Engine, Waveforms, run_netlist

Array = Any
log = logging.getLogger(__name__)
GATE_STEP = 10e-3  # volts; factors are made from every second one
BEYOND = 0.1  # volts over VDD: ten σ of a threshold, 120 nm × 1 µm
SIDE = 40  # voltages on either side of 0
FORWARD = 0.4  # volts under the bulk at which a junction would count
SMALLEST, LARGEST = 10e-9, 1e-3  # metres
IGNORED = re.compile(r"unrecognized parameter \((\w+)\)")
OPTIONS = "reltol=1e-6 abstol=1e-15 vntol=1e-9 gmin=1e-15"


@dataclass(frozen=True)
class Bench:
    """One transistor in a simulator. width, length [m]; temperature [K]; threshold [V] and mobility [1]: shift and
    factor of a corner."""

    models: ModelCard
    width: float
    length: float
    temperature: float
    common_mode: float
    threshold: float = 0.0
    mobility: float = 1.0

    def netlist(self, gates: Array, sides: Array) -> str:
        """Netlist that sweeps gates and, for each, the driven terminal's distance from V_CM: equal steps, rising."""
        transistor = (
            f"M1 driven gate held 0 {self.models.name('nfet')} W={self.width:.9g} L={self.length:.9g}"
            + self.models.adjusted("nfet", self.threshold, self.mobility)
        )
        lines = [
            "dsmachine characterize: current of one transistor into its held terminal",
            self.models.text,
            transistor,
            f"Vheld held 0 {self.common_mode:.12g}",
            f"Vdriven driven 0 {self.common_mode:.12g}",
            f"Vgate gate 0 {gates[0]:.12g}",
            f".options {OPTIONS} temp={self.temperature - KELVIN:.9g}",
            f".dc Vdriven {_swept(self.common_mode + sides)} Vgate {_swept(gates)}",
            ".save i(Vheld)",
            ".print dc i(Vheld)",
            ".end",
        ]
        return "\n".join(lines) + "\n"

    def sweep(self, gates: Array, sides: Array, engine: Engine) -> tuple[Array, Waveforms]:
        """(f(V, u) [A] of shape (gates, sides), what the simulator said)."""
        waves = run_netlist(self.netlist(gates, sides), engine=engine)
        found = np.asarray(waves["i(Vheld)"])
        if found.size != len(gates) * len(sides):
            raise Error(
                f"{waves.version} gave {found.size} of {len(gates) * len(sides)} points: look at the model card"
            )
        return found.reshape(len(gates), len(sides)), waves


def characterize(
    unit: Unit = "pair",
    *,
    technology: str | Path = "cmos45",
    models: ModelCard | None = None,
    width: float | None = None,
    length: float | None = None,
    corner: str = "TT",
    temperature: float | None = None,
    vdd: float | None = None,
    overrides: Mapping[str, float] | None = None,
    bias: float | None = None,
    tolerance: float = 1e-3,
    cells: Sequence[str] = (),
    engine: Engine = "pyspice",
) -> DeviceCard:
    """The device card of a coupling unit, I(V, v) = Σ_r φ_r(V) ψ_r(v), as a simulator measures it.

    Args:
        unit: "single", "pair" or "quad" transistors.
        technology: name or path; with `corner`, `temperature` [K], `vdd` [V] and `overrides` as `load_technology` takes
            them. It says V_CM, VDD, the swing that v is swept over, and the size.
        models: transistors; the bundled cards if not given.
        width, length: of each transistor [m], instead of the technology's `coupling.width`, `coupling.length`.
        bias: V_b [V] of a quad; midway between VDD and the threshold above V_CM if not given.
        tolerance: largest residual, as a share of the largest current.
        cells: others to measure, of "tanh", "rectifier", "softmax", "feedback" and "transit" (`cells.py`); a model
            mapped with a card that has any follows transistors in all its cells.
        engine: "pyspice", "batch" or "neospice".

    Raises Error for a size, temperature or tolerance out of range, a model the simulator rejects, and currents that
    make no device card.
    """
    if unit not in UNITS:
        raise Error(f"unit {unit!r} is unknown: take single, pair or quad")
    if bias is not None and unit != "quad":
        raise Error(f"bias {bias!r} would be ignored by unit {unit!r}: leave it out, or take 'quad'")
    share = "give a share of the largest current, above 0 and up to 0.1"
    checks.number("tolerance", tolerance, share, above=0, most=0.1)
    check_cells(cells)
    tech = load_technology(technology, corner=corner, temperature=temperature, vdd=vdd, overrides=overrides)
    models = models or load_models()
    shift, mobility = corner_of(technology, corner)
    bench = Bench(
        models,
        _metres("width", tech.coupling.width if width is None else width),
        _metres("length", tech.coupling.length if length is None else length),
        tech.temperature,
        tech.supply.common_mode,
        shift,
        mobility,
    )
    _check_terminals(tech.supply)
    card = _measured(unit, tech, bench, bias, tolerance, engine)
    card.control(0.0)  # whose conductance does not rise is no card
    if not cells:
        return card
    transistors = Transistors(models, card, threshold=shift, mobility=mobility)
    return replace(card, cells={name: measure_cell(name, transistors, engine=engine) for name in cells})


def corner_of(technology: str | Path, corner: str) -> tuple[float, float]:
    """(shift of the threshold [V], factor on mobility) by which transistors stand in a technology's corner.

    on_conductance ∝ µ (VDD − V_th): what the threshold does not explain is mobility.
    """
    typical, here = (load_technology(technology, corner=c) for c in ("TT", corner))
    drive = [t.supply.vdd - t.device.threshold for t in (typical, here)]
    faster = here.device.on_conductance / typical.device.on_conductance
    return here.device.threshold - typical.device.threshold, faster * drive[0] / drive[1]


def _measured(
    unit: Unit, tech: Technology, bench: Bench, bias: float | None, tolerance: float, engine: Engine
) -> DeviceCard:
    supply = tech.supply
    gates = GATE_STEP * np.arange(round((supply.vdd + BEYOND) / GATE_STEP) + 1)
    volts = np.linspace(-supply.swing, supply.swing, 2 * SIDE + 1)
    found, waves = bench.sweep(gates, volts / 2, engine)
    log.info("%s swept %s in %.2f s", waves.version, counted(found.size, "point"), waves.seconds)
    ignored = sorted({name[:40] for name in IGNORED.findall(waves.log)})
    if ignored:
        log.warning("%s ignores parameters of %s: %s", waves.version, bench.models.origin, ", ".join(ignored[:12]))
    check_surface(gates, volts, found)
    models = bench.models
    card = _Maker(
        tech, bench, volts, tolerance, Origin(
            technology=tech.name, corner=tech.corner, models=models.origin, model=models.name("nfet"),
            sha256=models.sha256, engine=waves.engine, version=waves.version, tolerance=tolerance,
        ),
    )  # fmt: skip
    if unit == "single":
        return card("single", gates, found / 2, "any", supply.vdd)
    odd, even = (found - found[:, ::-1]) / 2, (found + found[:, ::-1]) / 2
    largest = float(np.abs(odd).max())
    pair = card("pair", gates, odd, "odd", supply.vdd)
    if float(np.abs(even).max()) > tolerance * largest:
        pair = replace(pair, even=card("pair", gates, even, "even", supply.vdd, largest))
    return pair if unit == "pair" else _quad(card, pair, gates, odd, _bias(tech, bias))


@dataclass(frozen=True)
class _Maker:
    """Cards of surfaces that one sweep gave."""

    tech: Technology
    bench: Bench
    volts: Array
    tolerance: float
    origin: Origin

    def __call__(
        self, unit: Unit, gates: Array, surface: Array, parity: str, reach: float, largest: float | None = None
    ) -> DeviceCard:
        """The card of a surface over all gates and voltages, made from every second one of each."""
        largest = float(np.abs(surface).max()) if largest is None else largest
        kept = np.ix_(range(0, len(gates), 2), range(0, len(self.volts), 2))
        factors = factored(self.volts[::2], surface[kept], self.tolerance, parity, largest)
        card = DeviceCard(
            unit=unit,
            width=self.bench.width,
            length=self.bench.length,
            common_mode=self.bench.common_mode,
            vdd=self.tech.supply.vdd,
            temperature=self.bench.temperature,
            full_scale=self.tech.supply.full_scale,
            reach=reach,
            gates=gates[::2],
            volts=self.volts[::2],
            surface=surface[kept],
            table=factors.table,
            coefficients=factors.coefficients,
            error=factors.error,
            origin=self.origin,
        )
        missed = np.abs(card.current(gates[:, None], self.volts) - surface)
        return replace(card, error=float(missed.max()) / largest)


def _quad(card: _Maker, pair: DeviceCard, gates: Array, odd: Array, bias: float) -> DeviceCard:
    """Two pairs, V_b ± V/2, the second crossed; V_b stands on a gate that was swept."""
    middle = round(bias / GATE_STEP)
    side = (len(gates) - 1 - middle) // 2 * 2
    steps = np.arange(-side, side + 1)
    surface = odd[middle + steps] - odd[middle - steps]
    quad = card("quad", 2 * GATE_STEP * steps, surface, "odd", round(2 * (pair.vdd - gates[middle]), 9))
    return replace(quad, bias=float(gates[middle]), pair=pair)


def _bias(tech: Technology, bias: float | None) -> float:
    supply, threshold = tech.supply, tech.device.threshold
    if bias is None:
        return (supply.vdd + supply.common_mode + threshold) / 2
    checks.number("bias", bias, f"give volts between 0 and VDD, {supply.vdd:g} V", above=0)
    if bias > supply.vdd - 2 * GATE_STEP:
        raise Error(f"bias {bias!r} V leaves a quad no room under VDD, {supply.vdd:g} V: lower it")
    return bias


def _check_terminals(supply: Supply) -> None:
    lowest = supply.common_mode - supply.swing / 2
    if lowest < -FORWARD:
        raise Error(
            f"swing ±{supply.swing:g} V takes a terminal to {lowest:.3g} V, where its junction to the bulk conducts: "
            "lower supply.swing or raise supply.common_mode"
        )


def _swept(axis: Array) -> str:
    """start, stop and step of equal steps; the stop a little late, so that rounding leaves out no point."""
    step = (axis[-1] - axis[0]) / (len(axis) - 1)
    return f"{axis[0]:.12g} {axis[-1] + step / 4:.12g} {step:.12g}"


def _metres(name: str, value: float) -> float:
    return checks.number(name, value, f"give metres, {SMALLEST:g} … {LARGEST:g}", least=SMALLEST, most=LARGEST)
