"""Heat of a circuit's parts, for the comparison with SPICE's own integral: each term, and each array's feedback.

The meter proper is `energy.EnergyMeter`, which this folder does not know; both ask the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..circuits.cells import NodeArray, Term
from ..circuits.circuit import Circuit
from ..emulator.observers import Element
from ..emulator.plan import Plan
from ..emulator.run import Run

Array = Any


def heat_parts(circuit: Circuit) -> dict[str, Term | NodeArray]:
    """Name of each part that can turn power to heat -> its cell: terms, then `feedback of ARRAY`."""
    terms: dict[str, Term | NodeArray] = dict(circuit.terms)
    nodes = {f"feedback of {node.name}": node for node in circuit.arrays.values() if not node.clamped}
    return terms | nodes


class _Flat(Mapping[str, Array]):
    """An element's values (T, batch, *shape) as cells read them, (T·batch, *shape)."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        self.values_of = values

    def __getitem__(self, name: str) -> Array:
        x = self.values_of[name]
        return x.reshape(-1, *x.shape[2:])

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)


def _feedback_power(circuit: Circuit, node: NodeArray, x: Mapping[str, Array]) -> Array:
    """g₀ γ v² summed over the nodes that exist, (K,) [W]."""
    gamma = node.ratio if node.feedback is None else node.feedback.ratio(x[node.feedback.control])
    volts = x[node.name] * circuit.units(node.name)
    here = 1.0 if node.exists is None else node.exists
    return (node.conductance * gamma * here * volts * volts).reshape(len(volts), -1).sum(axis=1)


class HeatMeter:
    """Observer: joules of heat by part, with the quadrature of the solver's own elements."""

    def __init__(self) -> None:
        self.joules: dict[str, float] = {}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._circuit = plan.circuit
        self._laws = {name: term.meter(plan.circuit) for name, term in plan.circuit.terms.items()}
        self.joules = dict.fromkeys(heat_parts(plan.circuit), 0.0)

    def element(self, element: Element) -> None:
        values, weights = _Flat(element.values), element.weights
        for stage in element.group.stages:
            for term in stage.terms:
                read = {view.array: values[view.array] for view in term.sources} | {stage.name: values[stage.name]}
                heat = self._laws[term.name](read).heat
                self.joules[term.name] += float(weights @ np.broadcast_to(heat, weights.shape))
            node = self._circuit.arrays[stage.name]
            heat = _feedback_power(self._circuit, node, values)
            self.joules[f"feedback of {stage.name}"] += float(weights @ heat)

    def window(self, time: float) -> None:
        pass


def power_at(run: Run, inputs: Mapping[str, Array]) -> dict[str, float]:
    """Heat [W] of each part at an operating point with these inputs, (*shape) each."""
    circuit = run.circuit
    x = {name: volts / circuit.units(name) for name, volts in run.outputs.items()}
    x |= {name: np.asarray(value, float)[None] for name, value in inputs.items()}
    power = {name: float(term.meter(circuit)(x).heat[0]) for name, term in circuit.terms.items()}
    free = [node for node in circuit.arrays.values() if not node.clamped]
    return power | {f"feedback of {n.name}": float(_feedback_power(circuit, n, x)[0]) for n in free}
