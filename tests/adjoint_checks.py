"""An adjoint circuit against the transposed Jacobian of the forward cells, as a matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.adjoint import AdjointCircuit
from dsmachine.emulator.operating_point import jacobian, solve_operating_point
from dsmachine.emulator.prepare import prepare


def without_rails(circuit: ds.Circuit) -> ds.Circuit:
    """Rails bend what they hold, which the adjoint leaves out."""
    nodes = [replace(n, rail=None, held=False) for n in circuit.arrays.values() if not n.is_inner]
    return circuit.with_terms((), nodes)


def transposed_solution(circuit: ds.Circuit, inputs: Any, force: Any) -> dict[str, Any]:
    """a with Jᵀ a = −∂L/∂x, J from the forward cells' jvp, solved as a matrix."""
    plan = prepare(circuit, precision="float64")
    x = {name: value[:1] for name, value in solve_operating_point(plan, inputs).items()}
    stages = plan.stages
    push = [force if s.name == circuit.output else np.zeros(s.node.shape) for s in stages]
    found = np.linalg.solve(jacobian(plan, stages, x).T, -np.concatenate([p.reshape(-1) for p in push]))
    cuts = np.cumsum([int(np.prod(s.node.shape)) for s in stages])[:-1]
    return {s.name: part.reshape(s.node.shape) for s, part in zip(stages, np.split(found, cuts), strict=True)}


def check_adjoint(circuit: ds.Circuit, inputs: Any, output: str, limit: float = 1e-10) -> Any:
    circuit = replace(circuit, output=output)
    node = circuit.arrays[output]
    force = np.random.default_rng(1).normal(size=node.shape) * node.present
    found = ds.gradients(circuit, inputs, {"loss.gradient": force}, loss="given")
    expected = transposed_solution(circuit, inputs, force)
    made = found.backward.circuit
    assert isinstance(made, AdjointCircuit) and output in made.parts
    for name in made.parts:
        if name in expected:
            here = circuit.arrays[name].present
            off = np.abs(found.node(name)[0] - expected[name])[here].max()
            assert off <= limit * max(np.abs(expected[name]).max(), 1e-9), name
    return found
