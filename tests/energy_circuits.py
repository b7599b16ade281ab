"""A tile with units per node and a mask, and a run of it under the meter."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.run import transient
from dsmachine.energy.meter import EnergyMeter, EnergyReport

Array = Any
TAU = 49e-15 / 32.26e-6
C, G, VDD = 49e-15, 32.26e-6, 1.0


def weigh(circuit: Circuit, inputs: dict[str, Array], duration: float, **options: Any) -> EnergyReport:
    meter = EnergyMeter()
    settings: dict[str, Any] = {"tolerance": 1e-7, "precision": "float64"} | options
    transient(circuit, inputs, duration=duration, observers=[meter], **settings)
    return meter.report()


def tile() -> tuple[Circuit, Array]:
    rng = np.random.default_rng(1)
    circuit = Circuit("tile")
    circuit.clamp("u", (2, 3), unit=0.3)
    unit = rng.uniform(0.2, 0.4, (2, 4))
    circuit.nodes("a", (2, 4), unit=unit, rail=None, layer="1")
    weight = rng.normal(size=(4, 3))
    circuit.couple("w", "u", "a", weight)
    mask = np.array([[True, False], [True, True]])
    circuit.nodes("p", (2, 2), unit=0.5, rail=None, layer="2", exists=mask)
    circuit.multiply("q", "a", "a", "p", "id,jd->ij", gain=0.5)
    return circuit, weight
