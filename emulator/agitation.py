"""What shakes the nodes of an array: the noise of their devices in the form in which a step needs it.

    s² = power · scale · (h/τ) S φ₁(2a),      a = λh/τ,  λ the node's own decay
    thermal:    power = 1,   scale = 2kT/(C U²),      S = γ + (r_x's part + Σ of the cells' ΣG) / g₀
    a given σ:  power = σ²,  scale = 2 full scale²,   S = λ

of the step that `stochastic.py` takes. All but σ depends on the machine alone and is kept in its plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..circuits.cells import Signals
from ..circuits.cells.conveyor_loop import share_of
from ..circuits.cells.siemens import MovingSiemens
from ..circuits.circuit import BOLTZMANN
from .plan import Plan, Stage

Array = Any
Laws = tuple[tuple[Array, MovingSiemens], ...]


@dataclass(frozen=True)
class Agitation:
    """Of one array. scale, 0 where there is no node, and still, what never changes of S without γ: one number or one a
    node; still is None where σ is given. laws: cells whose ΣG moves, each with what makes a part of S of it."""

    scale: Array
    still: Array | None = None
    power: float = 1.0
    laws: Laws = ()


def moving(laws: Laws, x: Signals) -> Array:
    """What changes of S by some laws, (K, *shape) or broadcastable."""
    return sum(share * law(x) for share, law in laws)


def agitation(plan: Plan, stage: Stage, level: str | float) -> Agitation | None:
    """Of an array at a level of noise, "thermal" or σ; None for tails, which have no noise of their own."""
    if stage.node.is_inner:
        return None
    thermal = level == "thermal"
    if (stage.name, thermal) not in plan.noise:
        plan.noise[stage.name, thermal] = _thermal(plan, stage) if thermal else _unit(plan, stage)
    found: Agitation = plan.noise[stage.name, thermal]
    return found if thermal else replace(found, power=float(level) ** 2)


def _unit(plan: Plan, stage: Stage) -> Agitation:
    """Of σ = 1."""
    present = plan.circuit.arrays[stage.name].present
    return Agitation(plan.backend.array(_alike(2 * plan.circuit.full_scale(stage.name) ** 2 * present)))


def _thermal(plan: Plan, stage: Stage) -> Agitation:
    circuit, backend = plan.circuit, plan.backend
    node = circuit.arrays[stage.name]
    scale = 2 * BOLTZMANN * circuit.temperature / (node.capacitance * circuit.units(stage.name) ** 2) * node.present
    load = np.asarray(backend.host(stage.load), float)
    still, arrives = node.noise_conductance(0.0, load), share_of(node, load)
    laws = []
    for term in circuit.into(stage.name):
        share, siemens = arrives if term.conveyed else 1.0, term.noise(circuit)
        still = still + share * siemens.still
        if siemens.moving is not None:
            laws.append((backend.array(share / node.conductance), backend.place(siemens.moving)))
    return Agitation(backend.array(_alike(scale)), backend.array(_alike(still / node.conductance)), laws=tuple(laws))


def _alike(values: Array) -> Array:
    """One number for nodes that are all alike."""
    values = np.asarray(values, float)
    return values.reshape(-1)[0] if values.size and np.ptp(values) == 0 else values
