"""The energy function that a circuit of symmetric couplings descends (the paper's eq. 1-3).

    H(v) = −Σ_{i≠j} G_ij v_i v_j + Σ_i g_i v_i² − 2 Σ_i I_i v_i            [W]
    dH/dt = −2 Σ_i C_i (dv_i/dt)² ≤ 0

I_i is what clamped arrays, sources and offsets push into node i. Holds for G_ij = G_ji, which is checked; g_i includes
the load of passive couplings, less the node's coupling to itself. Rails do not spoil the descent: they only slow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.chip import Chip, circuit_of
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from .backend import Backend
from .linearized import joined
from .operating_point import jacobian, residual
from .plan import Plan, Stage, make_plan

Array = Any


def hamiltonian(machine: Circuit | Chip, v: Mapping[str, Array]) -> Array:
    """H in watts, (batch,), or a number for voltages without batch.

    v: volts of every array, clamped ones included, (batch, *shape) or (*shape); the batch may be points in time.
    Raises Error for couplings that are not symmetric (naming the pair) and for currents that are not linear in v.
    """
    circuit = circuit_of(machine)
    free = [replace(node, rail=None) for node in circuit.arrays.values() if not node.clamped]
    plan = make_plan(circuit.with_terms((), free), Backend(precision="float64"))
    volts, single = _batched(circuit, v)
    logical = {name: value / circuit.units(name) for name, value in volts.items()}
    still = logical | {s.name: np.zeros_like(logical[s.name]) for s in plan.stages}
    siemens = _siemens(plan, {name: value[:1] for name, value in still.items()})
    amperes = joined(plan.stages, {s.name: _current(plan, s, still) for s in plan.stages})
    x = joined(plan.stages, volts)
    actual = joined(plan.stages, {s.name: _current(plan, s, logical) for s in plan.stages})
    _check_linear(plan, actual, x @ siemens.T + amperes, np.abs(x) @ np.abs(siemens.T) + np.abs(amperes))
    _check_symmetric(plan, siemens)
    energy = -((x @ siemens) * x).sum(axis=-1) - 2 * (amperes * x).sum(axis=-1)
    return float(energy[0]) if single else energy


def _batched(circuit: Circuit, v: Mapping[str, Array]) -> tuple[dict[str, Array], bool]:
    v = checks.mapping("volts", v, "give a mapping {array: volts}")
    found, single = {}, True
    for name, node in circuit.arrays.items():
        if name not in v:
            raise Error(f"hamiltonian needs the volts of array {name!r}: pass v={{{name!r}: …}}")
        value = np.asarray(v[name], float)
        if value.shape != node.shape and value.shape[1:] != node.shape:
            raise Error(f"volts of {name!r} have shape {value.shape}: expected {node.shape}, or a batch of it")
        single &= value.shape == node.shape
        found[name] = value[None] if value.shape == node.shape else value
    return found, single


def _current(plan: Plan, stage: Stage, x: Mapping[str, Array]) -> Array:
    """C dv/dt [A] of one array without rails."""
    return stage.node.conductance * plan.circuit.units(stage.name) * residual(stage, x)


def _siemens(plan: Plan, x: Mapping[str, Array]) -> Array:
    """∂(C dv/dt)/∂v (n, n): G_ij off the diagonal, −g_i + G_ii on it."""
    unit = joined(plan.stages, {s.name: plan.circuit.units(s.name) for s in plan.stages})
    own = joined(plan.stages, {s.name: np.full(s.node.shape, s.node.conductance) for s in plan.stages})
    return (own * unit)[:, None] * jacobian(plan, plan.stages, x) / unit


def _check_linear(plan: Plan, actual: Array, linear: Array, scale: Array) -> None:
    wrong = (np.abs(actual - linear) > 1e-9 * scale.max()).any(axis=0)
    if wrong.any():
        name = _named(plan, int(np.flatnonzero(wrong)[0]))[0]
        raise Error(f"array {name!r} has currents that are not linear in v: only couplings have this Hamiltonian")


def _check_symmetric(plan: Plan, siemens: Array) -> None:
    gap = np.abs(siemens - siemens.T)
    i, j = np.unravel_index(int(gap.argmax()), gap.shape)
    if gap[i, j] > 1e-6 * np.abs(siemens).max():
        a, b = ("{}{}".format(*_named(plan, int(k))) for k in (i, j))
        raise Error(
            f"couplings {b} → {a} ({siemens[i, j]:.3g} S) and {a} → {b} ({siemens[j, i]:.3g} S) differ: "
            "a Hamiltonian needs them equal"
        )


def _named(plan: Plan, index: int) -> tuple[str, list[int]]:
    """(array, place in it) of a node of the joined vector."""
    for stage in plan.stages:
        count = int(np.prod(stage.node.shape))
        if index < count:
            return stage.name, [int(k) for k in np.unravel_index(index, stage.node.shape)]
        index -= count
    raise AssertionError("the node is in no stage")
