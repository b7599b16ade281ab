"""Operating point: where every node's current balances, γ·v = delivered current.

A feed-forward circuit takes one sweep in order. Arrays on a cycle are found together by pseudo-transient Newton
(Kelley & Keyes 1998): (1/δ − J) Δx = residual with δ growing as the residual falls, which follows the circuit's own
relaxation at first and so mostly ends in an equilibrium that the circuit itself would reach. Not if it starts on the
way into one that repels: where small departures δ follow dδ/dt = M δ, M = ∂(dx/dt)/∂x, and M has an eigenvalue of
positive real part s, any grow like e^(st) (Lyapunov). A warning tells of those of cycles of up to MOST_MODES nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ..circuits.arrays import module_of
from ..circuits.cells.inner import InnerNode
from ..circuits.cells.transit import TransitNode
from ..circuits.errors import Error
from ..circuits.units import engineering
from ..circuits.words import counted
from .fused import FusedRest
from .inputs import batch_size, checked_inputs
from .plan import Group, Plan, Stage

Array = Any
log = logging.getLogger(__name__)
LARGEST = 4000  # nodes of a dense matrix
MOST_NEWTON = 60
MOST_MODES = 300  # nodes of a cycle whose eigenvalues are found: about the work of its Newton steps


class Shaking(Protocol):
    """What makes of arrays at rest what those after them read: noise that stands still, slopes of rails."""

    def __call__(self, stage: Stage, x: Mapping[str, Array], /) -> Array:
        """What is read of an array that rests at x[its name], (batch, *shape)."""

    def on_cycle(self, stage: Stage, samples: slice) -> Stage:
        """An array of a cycle, which comes to rest with the others there, for some samples of the batch."""


def solve_operating_point(
    plan: Plan,
    inputs: Mapping[str, Any],
    time: float = np.inf,
    saturated: dict[str, int] | None = None,
    shaken: Shaking | None = None,
) -> dict[str, Array]:
    """Logical values (batch, *shape) of every array, inputs included. Waveforms are taken at `time`.

    saturated: if given, the nodes of each array that are beyond their rail's linear part are added to it.
    shaken: what makes of an array at rest what those after it read (`still_noise.py`, `passing.py`).
    """
    backend = plan.backend
    x: dict[str, Array] = {}
    for name, value in checked_inputs(plan.circuit, backend, inputs).items():
        x[name] = backend.array(value.at(np.array([time]))[0]) if hasattr(value, "at") else value
    for part in plan.parts:
        with part.backend.arithmetic():
            own = {name: part.backend.brought(value) for name, value in x.items()}
            rest = settle(part, own, shaken, counting=saturated is not None)
            if saturated is not None:
                saturated |= rest.beyond()
                if any(group.cyclic for group in part.groups):
                    for _, group in part.visited():
                        saturated |= saturation(group.stages, own) if group.cyclic else {}
            found = {name: value for name, value in own.items() if part is plan or name not in x}
        x |= {name: backend.brought(value) for name, value in found.items()}
    return x


def settle(plan: Plan, x: dict[str, Array], shaken: Shaking | None = None, counting: bool = False) -> Rest | FusedRest:
    """Adds every free array to the inputs x, (batch, *shape) on the device. Returns what found where they rest, which
    has counted nodes beyond their rails where that is asked for, or costs nothing."""
    backend = plan.backend
    rest = FusedRest(plan) if backend.fused else Rest(counting)
    batch = batch_size(x, {})
    for name, value in x.items():
        x[name] = backend.xp.broadcast_to(value, (batch, *value.shape[1:]))
    for _, group in plan.visited():
        alone = _by_node(group)
        if alone is not None:
            alone = alone if shaken is None else shaken.on_cycle(alone, slice(None))
            x |= _settle_by_node(plan, group, alone, x, batch)
        elif group.cyclic:
            _settle_cycle(plan, group, x, batch, shaken)
        else:
            for stage in group.stages:
                x[stage.name] = rest(stage, x, batch)
                if shaken is not None:
                    x[stage.name] = shaken(stage, x)
    return rest


class Rest:
    """Where arrays rest, one after another; `beyond()`: how many nodes of each are beyond their rail's linear part,
    of those that conveyors drive, if `counting`."""

    def __init__(self, counting: bool) -> None:
        self._counting = counting
        self._counts: dict[str, int] = {}

    def __call__(self, stage: Stage, x: Mapping[str, Array], batch: int) -> Array:
        """The values at which one array rests while the arrays it reads stand still."""
        node = stage.node
        gamma = None if node.is_root else stage.gamma(x)
        drive = stage.drive(x) if stage.conveyed else None
        if self._counting and drive is not None and node.rail is not None and not node.held:
            self._counts[stage.name] = int(node.saturated(drive, stage.own(gamma)).sum())
        held = stage.passed(drive, x, gamma)
        if node.is_root:
            assert node.feedback is not None
            value = node.feedback.settled_root(held, stage.standing, stage.offset)
        else:
            value = held / gamma
        return module_of(value).broadcast_to(value, (batch, *node.shape))

    def beyond(self) -> dict[str, int]:
        """Only arrays that have any."""
        return {name: count for name, count in self._counts.items() if count}


def saturation(stages: Sequence[Stage], x: Mapping[str, Array]) -> dict[str, int]:
    """Nodes of some arrays whose drive is beyond the linear part of its rail at x (only arrays that have any)."""
    found: dict[str, int] = {}
    for stage in stages:
        gamma = None if stage.node.is_root else stage.gamma(x)
        count = stage.saturated(x, gamma)
        if count:
            found[stage.name] = count
    return found


def residual(stage: Stage, x: Mapping[str, Array]) -> Array:
    """τ dx/dt of one array: delivered − γ·x, by the node's quickness."""
    own = x[stage.name]
    if stage.node.is_root:
        assert stage.node.feedback is not None
        gamma = stage.node.feedback.ratio(own) + stage.standing
        return stage.delivered(x, gamma) - gamma * own
    gamma = stage.gamma(x)
    return _quickened(stage, x, stage.delivered(x, gamma) - gamma * own)


def residual_jvp(stage: Stage, x: Mapping[str, Array], dx: Mapping[str, Array]) -> Array:
    """Derivative of `residual` along dx, where a node whose quickness changes is at rest."""
    feedback, own = stage.node.feedback, x[stage.name]
    gamma = stage.gamma(x)
    change = stage.delivered_jvp(x, dx, gamma)
    if feedback is not None and feedback.control in dx:
        change = change - feedback.slope(x[feedback.control]) * dx[feedback.control] * (own - stage.offset)
    change = change - gamma * dx[stage.name] if stage.name in dx else change
    return _quickened(stage, x, change)


def decay(stage: Stage, x: Mapping[str, Array]) -> Array:
    """λ = −∂(τ dx/dt)/∂x of a node's own voltage while the others stand still: γ, for a root γ + γ′·(x − offset)."""
    gamma, feedback = stage.gamma(x), stage.node.feedback
    if feedback is None or not stage.node.is_root:
        return _quickened(stage, x, gamma)
    own = x[stage.name]
    return gamma + feedback.slope(own) * (own - stage.offset)


def _quickened(stage: Stage, x: Mapping[str, Array], rate: Array) -> Array:
    """A rate of change that was worked out with the node's nominal time constant."""
    node = stage.node
    return node.quick(x[stage.name], stage.offset) * rate if isinstance(node, InnerNode) else rate


def _by_node(group: Group) -> Stage | None:
    """The array of a cycle of which each node sees only itself, and lags of itself, which rest where it does."""
    own = [stage for stage in group.stages if not isinstance(stage.node, TransitNode)]
    if not group.cyclic or len(own) != 1:
        return None
    names = {stage.name for stage in group.stages}
    alike = all(term.by_node for term in own[0].terms if any(view.array in names for view in term.sources))
    return own[0] if alike else None


def _settle_by_node(plan: Plan, group: Group, stage: Stage, x: Mapping[str, Array], batch: int) -> dict[str, Array]:
    """Values at which such arrays rest, by Newton's method for all nodes together from where they would rest if no
    cell read them."""
    xp = plan.backend.xp

    def alike(value: Array) -> dict[str, Array]:
        return {each.name: value for each in group.stages}

    own = xp.zeros((batch, *stage.node.shape), plan.backend.dtype)
    own = Rest(counting=False)(stage, {**x, **alike(own)}, batch)
    tolerance = 100 * float(np.finfo(plan.backend.dtype).eps)
    for _ in range(MOST_NEWTON):
        here = {**x, **alike(own)}
        steep = residual_jvp(stage, here, alike(xp.ones_like(own)))
        step = residual(stage, here) / steep
        own = own - step
        if float(abs(step).max()) <= tolerance * max(float(abs(own).max()), 1e-6):
            return alike(own)
    raise Error(f"no operating point found for {stage.name!r}: its own cells may not be stable; lower their gain")


def _settle_cycle(plan: Plan, group: Group, x: dict[str, Array], batch: int, shaken: Shaking | None) -> None:
    """Adds the arrays of a cycle to x, one batch element after another."""
    xp = plan.backend.xp
    size = sum(int(np.prod(stage.node.shape)) for stage in group.stages)
    if size > LARGEST:
        raise Error(
            f"the cycle {[s.name for s in group.stages]} has {size} nodes: operating_point takes {LARGEST} at most"
        )
    solved, growth = [], np.zeros(batch)
    for k in range(batch):
        one = slice(k, k + 1)
        stages = group.stages if shaken is None else tuple(shaken.on_cycle(stage, one) for stage in group.stages)
        alone = replace(group, stages=stages)
        solved.append(_settle_one(plan, alone, {n: v[one] for n, v in x.items()}, size))
        growth[k] = _growth(plan, stages, solved[-1]) if size <= MOST_MODES else 0.0
    for stage in group.stages:
        x[stage.name] = xp.concatenate([found[stage.name] for found in solved])
    if growth.any():
        log.warning(
            "operating point of the cycle %s is unstable in %d of %s: departures grow e-fold in %s, to where transient "
            "ends; lower the gain of its loop",
            ", ".join(stage.name for stage in group.stages), np.count_nonzero(growth), counted(batch, "sample"),
            engineering(1 / growth.max(), "s"),
        )  # fmt: skip


def _growth(plan: Plan, stages: Sequence[Stage], x: Mapping[str, Array]) -> float:
    """The largest real part of an eigenvalue of `drift` at rest at x (1, *shape) [1/s], 0 where departures fade.

    Rounding moves eigenvalues that depend smoothly on the matrix by eps of the largest, of a double one by √eps.
    """
    modes = np.linalg.eigvals(drift(plan, stages, x))
    least = float(np.sqrt(np.finfo(plan.backend.dtype).eps)) * float(abs(modes).max())
    growth = float(modes.real.max())
    return growth if growth > least else 0.0


def _settle_one(plan: Plan, group: Group, x: dict[str, Array], size: int) -> dict[str, Array]:
    backend = plan.backend
    for stage in group.stages:
        x[stage.name] = backend.array(np.zeros((1, *stage.node.shape)))
    pace, before = 1.0, np.inf
    tolerance = 100 * float(np.finfo(backend.dtype).eps)
    for steps in range(500):
        miss = np.concatenate([backend.host(residual(s, x)).reshape(-1) for s in group.stages]).astype(float)
        norm = float(np.abs(miss).max())
        scale = max(float(abs(x[s.name]).max()) for s in group.stages)
        if norm <= tolerance * max(scale, 1e-6):
            log.debug(
                "operating point of the cycle %s: %d Newton steps", ", ".join(s.name for s in group.stages), steps
            )
            return x
        pace = min(pace * min(max(before / norm, 0.5), 10.0), 1e12)
        before = norm
        step = np.linalg.solve(np.eye(size) / pace - jacobian(plan, group.stages, x), miss)
        _move(plan, group, x, step)
    names = [stage.name for stage in group.stages]
    raise Error(f"no operating point found for the cycle {names}: it may not be stable; lower its gain")


def drift(plan: Plan, stages: Sequence[Stage], x: Mapping[str, Array]) -> Array:
    """Dense M = ∂(dx/dt)/∂x (n, n) [1/s] of some stages at x (1, *shape): the Jacobian over each node's τ."""
    nodes = [plan.circuit.arrays[stage.name] for stage in stages]
    rates = np.concatenate([np.broadcast_to(1 / node.time_constants, node.shape).reshape(-1) for node in nodes])
    return rates[:, None] * jacobian(plan, stages, x)


def jacobian(plan: Plan, stages: Sequence[Stage], x: Mapping[str, Array]) -> Array:
    """Dense ∂(τ dx/dt)/∂x (n, n) of some stages at x (1, *shape), by pushing the identity through the cells."""
    backend = plan.backend
    size = sum(int(np.prod(stage.node.shape)) for stage in stages)
    if size > LARGEST:
        names = ", ".join(stage.name for stage in stages[:4])
        raise Error(f"arrays {names}, … have {size} nodes: {LARGEST} at most can be linearised as one matrix")
    columns = []
    for stage in stages:
        count = int(np.prod(stage.node.shape))
        push = {stage.name: backend.array(np.eye(count).reshape(count, *stage.node.shape))}
        wide = {n: backend.xp.broadcast_to(v, (count, *v.shape[1:])) for n, v in x.items()}
        rows = [
            np.broadcast_to(backend.host(residual_jvp(s, wide, push)), (count, *s.node.shape)).reshape(count, -1)
            for s in stages
        ]
        columns.append(np.concatenate(rows, axis=1).T)
    return np.concatenate(columns, axis=1).astype(float)


def _move(plan: Plan, group: Group, x: dict[str, Array], step: Array) -> None:
    start = 0
    for stage in group.stages:
        count = int(np.prod(stage.node.shape))
        part = plan.backend.array(step[start : start + count]).reshape(1, *stage.node.shape)
        x[stage.name] = x[stage.name] + part
        start += count
