"""Heat of a circuit's parts, for the comparison with SPICE's own integral: each term, and each array's feedback.

The meter that users read is `energy.EnergyMeter`, which this folder does not know. Both integrate the power laws that
the cells state (`circuits.cells.parts`), so what ngspice confirms here is what is reported there; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.cells import feedback_of, parts
from ..emulator.observers import Element
from ..emulator.plan import Plan
from ..emulator.run import Run

Array = Any


class HeatMeter:
    """Observer: joules of heat by part, with the quadrature of the solver's own elements; one sample."""

    def __init__(self) -> None:
        self.joules: dict[str, float] = {}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._laws = {name: cell.meter(plan.circuit) for name, cell in parts(plan.circuit).items()}
        self.joules = dict.fromkeys(self._laws, 0.0)

    def element(self, element: Element) -> None:
        values, weights = element.flat, element.weights
        for stage in element.group.stages:
            for part in (*(term.name for term in stage.terms), feedback_of(stage.name)):
                if part in self._laws:
                    heat = np.broadcast_to(self._laws[part](values).heat, weights.shape)
                    self.joules[part] += float(weights @ heat)

    def window(self, time: float) -> None:
        pass


def power_at(run: Run, inputs: Mapping[str, Array]) -> dict[str, float]:
    """Heat [W] of each part at an operating point with these inputs, (*shape) each."""
    circuit = run.circuit
    x = {name: volts / circuit.units(name) for name, volts in run.outputs.items()}
    x |= {name: np.asarray(value, float)[None] for name, value in inputs.items()}
    return {name: float(np.sum(cell.meter(circuit)(x).heat)) for name, cell in parts(circuit).items()}
