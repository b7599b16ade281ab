"""Coupling units measured in ngspice, as plain as can be: what a device-level netlist needs of a characterised card."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from dsmachine.circuits.cells.mos.design import Transistors
from dsmachine.circuits.devices.models import load_models
from dsmachine.netlists.ngspice import run_netlist

Array = Any
GATES = np.linspace(0.45, 1.0, 56)


@dataclass(frozen=True)
class MeasuredUnit:
    """One finger's conductance by gate voltage (quads: by control), from a sweep of single transistors."""

    unit: str
    gates: Array = field(repr=False)
    siemens: Array = field(repr=False)
    width: float = 120e-9
    length: float = 1e-6
    common_mode: float = 0.25
    vdd: float = 1.0

    def conductance(self, gate: Array) -> Array:
        return np.interp(gate, self.gates, self.siemens)

    def control(self, conductance: Array) -> Array:
        return np.interp(conductance, self.siemens, self.gates)


@cache
def measured(unit: str = "pair", volts: float = 0.1, bias: float = 0.8) -> MeasuredUnit:
    """A unit whose conductance is the chord at ±`volts`."""
    wanted = GATES if unit != "quad" else np.concatenate([bias + np.linspace(0, 0.2, 41), bias - np.linspace(0, 0.2, 41)])
    order = np.sort(np.unique(wanted))
    step = volts if unit == "single" else volts / 2
    both = [_currents(order, sign * step) for sign in (1, -1)]
    chord = (both[0] - both[1]) / (2 * step)
    if unit != "quad":
        return MeasuredUnit(unit, order, chord)
    control = np.linspace(0, 0.4, 41)
    return MeasuredUnit(unit, control, np.interp(bias + control / 2, order, chord) - np.interp(bias - control / 2, order, chord))


def _currents(gates: Array, u: float) -> Array:
    models = load_models()
    lines = ["one transistor by gate voltage", models.text, "Vg g 0 0", f"Vd d 0 {0.25 + u:.9g}", "Vs s 0 0.25"]
    size = "w=120n l=1u"
    lines += [f"M1 d g s 0 {models.nfet} {size}", f".dc Vg {gates[0]:g} {gates[-1]:g} 0.005", ".save i(Vd)", ".print dc i(Vd)", ".end"]
    waves = run_netlist("\n".join(lines) + "\n", engine="batch")
    return -np.interp(gates, waves.axis, waves["i(vd)"].real)


def transistors(unit: str = "pair", **options: Any) -> Transistors:
    """Transistors of the bundled model cards."""
    return Transistors(load_models(), measured("pair"), None if unit == "pair" else measured(unit), **options)
