"""A circuit near a state, as matrices: its Jacobian from the cells' derivatives, and what noise makes of it.

    τ_i dx_i/dt ≈ Σ_j J_ij δx_j + noise,        A = J/τ,        A P + P Aᵀ + Q = 0

P is the stationary covariance (Lyapunov), Q_ii = 2kT ΣG_i / (C_i U_i)² the two-sided intensity of node i's noise.
Dense: for circuits of up to a few thousand nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..circuits.cells import feedback_of
from ..circuits.cells.conveyor_loop import share_of
from ..circuits.circuit import BOLTZMANN
from .operating_point import drift
from .plan import Plan, Stage

Array = Any


def joined(stages: Sequence[Stage], values: Mapping[str, Array]) -> Array:
    """Values of several arrays, (…, *shape) or broadcastable to it, as one vector (…, n) in the stages' order."""
    parts = []
    for stage in stages:
        value, shape = np.asarray(values[stage.name], float), stage.node.shape
        lead = np.broadcast_shapes(value.shape, shape)[: -len(shape)]
        parts.append(np.broadcast_to(value, (*lead, *shape)).reshape(*lead, -1))
    return np.concatenate(parts, axis=-1)


def thermal_intensity(plan: Plan, x: Mapping[str, Array]) -> Array:
    """Q_ii = 2kT ΣG_i / (C_i U_i)² (n,) of every free node at x, in logical units squared a second."""
    return joined(plan.stages, {stage.name: stage_intensity(plan, stage, x)[0] for stage in plan.stages})


def stage_intensity(plan: Plan, stage: Stage, x: Mapping[str, Array]) -> Array:
    """Q of one array's nodes at some states x: (K, *shape), or (1, *shape) where it depends on no state."""
    return sum(intensities(plan, stage, x).values(), start=np.zeros((1, *stage.node.shape)))


def intensities(plan: Plan, stage: Stage, x: Mapping[str, Array]) -> dict[str, Array]:
    """Its parts by what makes them, named as the parts of a meter: every term that drives the array, and its feedback
    with its conveyor. Each broadcastable to (K, *shape)."""
    circuit, host = plan.circuit, plan.backend.host
    node, terms = circuit.arrays[stage.name], circuit.into(stage.name)
    seen = {view.array: host(x[view.array]) for term in terms for view in term.sources}
    load = np.asarray(host(stage.load), float)
    share = share_of(node, load)
    found = {term.name: (share if term.conveyed else 1.0) * term.noise(circuit)(seen) for term in terms}
    found[feedback_of(stage.name)] = node.noise_conductance(host(stage.own(stage.gamma(x))), load)
    scale = 2 * BOLTZMANN * circuit.temperature / (node.capacitance * circuit.units(stage.name)) ** 2
    return {name: scale * siemens * node.present for name, siemens in found.items()}


def stationary_covariance(plan: Plan, x: Mapping[str, Array]) -> Array:
    """P (n, n) of all free nodes, logical units squared, for thermal noise around the operating point x."""
    from scipy.linalg import solve_continuous_lyapunov

    return solve_continuous_lyapunov(drift(plan, plan.stages, x), -np.diag(thermal_intensity(plan, x)))
