"""The circuit of a plan as a right-hand side in JAX, what repeats from layer to layer stacked along a first axis.

    dx/dt = (delivered(x) − γ(x)·x) / τ,        t in units of `second`; tails: dT/dt = (e^(d − T) − 1) / τ

Every derivative depends on present states only, so arrays that stand alike in their layers (h.0.mlp.pre, h.1.mlp.pre,
…) are one array (layers, *shape), and their couplings one batched product. The laws are written down again, beside
those of the cells, and are tested against them. Numbers come from the plan's own cells, in its precision.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dsmachine.circuits.cells import Coupling, Product, Rectifier, Softmax, Source, TanhPair, Term
from dsmachine.circuits.cells.node import KNEE
from dsmachine.circuits.cells.softmax import ABSENT
from dsmachine.circuits.cells.tail import FARTHEST, TailDrive
from dsmachine.emulator.plan import Plan, Stage

Array = Any
Values = Mapping[str, Any]


# --- laws -----------------------------------------------------------------------------------------------


def ramp(z: Array, width: Array) -> Array:
    u = jnp.clip((z + width) / (2 * width), 0, 1)
    return 2 * width * u**3 * (1 - u / 2) + jnp.maximum(z - width, 0)


def limit(z: Array, bound: Array) -> Array:
    ratio = jnp.abs(z) / bound
    u = jnp.clip((ratio - (1 - KNEE)) / (2 * KNEE), 0, 1)
    return jnp.copysign((jnp.minimum(ratio, 1 + KNEE) - 2 * KNEE * u**3 * (1 - u / 2)) * bound, z)


def feedback_ratio(control: Array, gain: Array, floor: float) -> Array:
    return floor + ramp(gain * control - floor, floor / 2)


def branches(cell: Softmax, c: Values, score: Array) -> tuple[Array, Array]:
    """(current of each branch over the largest's, the largest's nats)."""
    z = score * cell.gain + c["shift"]
    z = z if c["exists"] is None else jnp.where(c["exists"], z, ABSENT)
    top = z.max(axis=-1, keepdims=True)
    current = jnp.exp(z - top)
    if cell.floor is not None:
        current = current + math.exp(-cell.floor) * (1.0 if c["exists"] is None else c["exists"])
    return current, top


@singledispatch
def numbers(cell: Term) -> dict[str, Any]:
    """What a cell's law needs: numbers that may differ from layer to layer."""
    raise NotImplementedError(f"{type(cell).__name__} {cell.name!r} has no law in JAX yet: add one in {__file__}")


@singledispatch
def law(cell: Term, c: Values, shape: tuple[int, ...], *x: Array) -> Array:
    """Drive (layers, *shape) of cells like `cell`; c: their stacked `numbers`; x: what they read."""
    raise NotImplementedError(type(cell).__name__)


@numbers.register
def _(cell: Coupling) -> dict[str, Any]:
    return {"weight": cell.weight}


@law.register
def _(cell: Coupling, c: Values, shape: tuple[int, ...], x: Array) -> Array:
    if cell.elementwise:
        return x * c["weight"]
    flat = x.reshape(len(x), -1, c["weight"].shape[-1])
    return jnp.einsum("zpi,zoi->zpo", *_alike(flat, c["weight"])).reshape(-1, *shape)


@numbers.register
def _(cell: Product) -> dict[str, Any]:
    if cell.errors is not None:
        raise NotImplementedError(f"product {cell.name!r} is fabricated: give the ideal circuit")
    return {"gain": cell.gain}


@law.register
def _(cell: Product, c: Values, shape: tuple[int, ...], a: Array, b: Array) -> Array:
    inputs, out = cell.spec.split("->")
    first, second = inputs.split(",")
    return c["gain"] * jnp.einsum(f"Z{first},Z{second}->Z{out}", *_alike(a, b)).reshape(-1, *shape)


def _alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Both with as many layers."""
    layers = max(len(a), len(b))
    return tuple(jnp.broadcast_to(x, (layers, *x.shape[1:])) for x in (a, b))  # type: ignore[return-value]


@numbers.register
def _(cell: Source) -> dict[str, Any]:
    return {"value": cell.value}


@law.register
def _(cell: Source, c: Values, shape: tuple[int, ...]) -> Array:
    return c["value"]


@numbers.register
def _(cell: TanhPair) -> dict[str, Any]:
    return {"gain": cell.gain, "shift": cell.shift}


@law.register
def _(cell: TanhPair, c: Values, shape: tuple[int, ...], x: Array) -> Array:
    return c["gain"] * jnp.tanh(x + c["shift"])


@numbers.register
def _(cell: Rectifier) -> dict[str, Any]:
    return {"gain": cell.gain}


@law.register
def _(cell: Rectifier, c: Values, shape: tuple[int, ...], x: Array) -> Array:
    return c["gain"] * ramp(x, cell.knee)


@numbers.register
def _(cell: Softmax) -> dict[str, Any]:
    return {"exists": cell.exists, "shift": cell.shift, "share": cell.share}


@law.register
def _(cell: Softmax, c: Values, shape: tuple[int, ...], *x: Array) -> Array:
    current, top = branches(cell, c, x[-1])
    if cell.tail is None:
        return current / current.sum(axis=-1, keepdims=True)
    return current * jnp.exp(top - x[0]) * c["share"]


@numbers.register
def _(cell: TailDrive) -> dict[str, Any]:
    return numbers(cell.pair)


@law.register
def _(cell: TailDrive, c: Values, shape: tuple[int, ...], score: Array) -> Array:
    current, top = branches(cell.pair, c, score)
    return jnp.log((current * c["share"]).sum(axis=-1, keepdims=True)) + top


# --- stacks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stack:
    """Stages that stand alike in their layers. reads[term][view]: the arrays that each layer's view reads; controls:
    those that drive the feedback."""

    name: str
    stages: tuple[Stage, ...]
    reads: tuple[tuple[tuple[str, ...], ...], ...]
    controls: tuple[str, ...] | None

    @property
    def first(self) -> Stage:
        return self.stages[0]

    @property
    def members(self) -> list[str]:
        return [stage.name for stage in self.stages]


def stacked(plan: Plan) -> dict[str, Stack]:
    """Stacks of a plan by their name, such as h.*.mlp.pre."""
    alike: dict[Any, list[Stage]] = {}
    for stage in plan.stages:
        alike.setdefault(_likeness(stage), []).append(stage)
    found: dict[str, Stack] = {}
    for stages in alike.values():
        first = stages[0]
        name = re.sub(r"\.\d+\.", ".*.", first.name)
        name = name if name not in found else first.name
        reads = tuple(
            tuple(tuple(s.terms[k].sources[v].array for s in stages) for v in range(len(term.sources)))
            for k, term in enumerate(first.terms)
        )
        driven = first.node.feedback is not None
        controls = tuple(s.node.feedback.control for s in stages) if driven else None  # type: ignore[union-attr]
        found[name] = Stack(name, tuple(stages), reads, controls)
    return found


def _likeness(stage: Stage) -> Any:
    """What must be equal for stages to be stacked: all but numbers and which arrays are read."""
    node = stage.node
    fixed = (node.shape, type(node), node.rail, node.exists is None, stage.constant, _of_feedback(stage))
    return (re.sub(r"\.\d+\.", ".*.", stage.name), fixed, *(_of_term(term) for term in stage.terms))


def _of_feedback(stage: Stage) -> Any:
    feedback = stage.node.feedback
    return None if feedback is None else (feedback.floor, stage.node.is_root)


def _of_term(term: Term) -> Any:
    views = tuple(replace(view, array="") for view in term.sources)
    plain = {k: v for k, v in vars(term).items() if isinstance(v, bool | str | tuple) and k not in ("name", "target")}
    return (type(term), term.conveyed, views, tuple(sorted(plain.items())), _fixed(getattr(term, "pair", term)))


def _fixed(cell: Any) -> Any:
    """Plain numbers that a law keeps in itself."""
    return tuple((key, getattr(cell, key)) for key in ("floor", "knee") if hasattr(cell, key))


@dataclass
class JaxCircuit:
    """`rate(x, constants)` of a plan: dicts of arrays (layers, *shape) by stack, time in units of `second` seconds.

    constants: every number, as `rate` takes them, so that they are no part of the compiled program.
    """

    plan: Plan
    inputs: Mapping[str, Array]
    second: float
    stacks: dict[str, Stack] = field(init=False)
    constants: dict[str, dict[str, Array]] = field(init=False)

    def __post_init__(self) -> None:
        self.stacks = stacked(self.plan)
        self._place = {m: (stack.name, k) for stack in self.stacks.values() for k, m in enumerate(stack.members)}
        self._plain: dict[str, dict[str, Any]] = {}
        self.constants = {"inputs": {n: self._array(np.asarray(v)[None]) for n, v in self.inputs.items()}}
        for stack in self.stacks.values():
            rank = len(stack.first.node.shape)
            self._keep(stack.name, rank, [self._of_stage(stage) for stage in stack.stages])
            for k in range(len(stack.first.terms)):
                cells = [numbers(stage.terms[k]) for stage in stack.stages]
                self._keep(f"{stack.name} {k}", rank, cells)

    def _of_stage(self, stage: Stage) -> dict[str, Any]:
        node, feedback = stage.node, stage.node.feedback
        return {
            "tau": np.asarray(node.time_constants, float) / self.second,
            "reach": 0.0 if node.rail is None else node.rail / np.asarray(node.unit, float),
            "exists": node.exists,
            "ratio": node.ratio,
            "standing": stage.standing,
            "offset": stage.offset,
            "attenuation": stage.attenuation,
            "gain": None if feedback is None else feedback.gain,
        }

    def _keep(self, key: str, rank: int, each: Sequence[Mapping[str, Any]]) -> None:
        """Stack what a number is in every layer; one and the same plain number stays plain."""
        self.constants[key], self._plain[key] = {}, {}
        for name in each[0]:
            values = [layer[name] for layer in each]
            if all(isinstance(v, float) or v is None for v in values) and len(set(values)) == 1:
                self._plain[key][name] = values[0]
                continue
            flat = [np.asarray(v) for v in values]
            flat = [v.reshape((1,) * (rank - v.ndim) + v.shape) for v in flat]
            same = all(v.size < 1 << 20 and np.array_equal(v, flat[0]) for v in flat)
            self.constants[key][name] = self._array(np.stack(flat[:1] if same else flat))

    def _array(self, value: Array) -> Array:
        return jnp.asarray(value, None if value.dtype == bool else self.plan.backend.dtype)

    def zero(self) -> dict[str, Array]:
        """The state at rest without inputs, where every run starts."""
        dtype = self.plan.backend.dtype
        return {s.name: jnp.zeros((len(s.stages), *s.first.node.shape), dtype) for s in self.stacks.values()}

    def rate(self, x: Mapping[str, Array], constants: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """dx/dt, in units of 1/second."""
        return {stack.name: self._rate(stack, x, constants) for stack in self.stacks.values()}

    def _rate(self, stack: Stack, x: Mapping[str, Array], constants: Any) -> Array:
        first, node, own = stack.first, stack.first.node, x[stack.name]
        c = self._plain[stack.name] | constants[stack.name]
        conveyed, direct = (self._masked(c, part) for part in self._drives(stack, x, constants))
        if node.is_inner:
            return (jnp.exp(jnp.minimum(direct - own, FARTHEST)) - 1) / c["tau"]
        gamma = self._gamma(stack, c, x, constants)
        held = conveyed * c["attenuation"]
        if node.rail is not None and first.conveyed:
            bound = (gamma - c["standing"]) * c["reach"]
            if node.is_root:
                assert node.feedback is not None
                bound = jnp.where(held > 0, c["gain"] * c["reach"] ** 2, node.feedback.floor * c["reach"])
            held = limit(held, bound)
        return (held + direct - gamma * (own - c["offset"])) / c["tau"]

    def _masked(self, c: Values, value: Array) -> Array:
        return value if c["exists"] is None else value * c["exists"]

    def _gamma(self, stack: Stack, c: Values, x: Mapping[str, Array], constants: Any) -> Array:
        if stack.first.constant is not None:
            return stack.first.constant
        feedback = stack.first.node.feedback
        if feedback is None or stack.controls is None:
            return c["ratio"] + c["standing"]
        control = self._read(stack.controls, x, constants)
        return feedback_ratio(control, c["gain"], feedback.floor) + c["standing"]

    def _drives(self, stack: Stack, x: Mapping[str, Array], constants: Any) -> tuple[Array, Array]:
        """(Σ of what goes through the conveyor, Σ of what does not)."""
        total: list[Array] = [0.0, 0.0]
        for k, term in enumerate(stack.first.terms):
            key = f"{stack.name} {k}"
            seen = [
                view.of(self._read(names, x, constants))
                for view, names in zip(term.sources, stack.reads[k], strict=True)
            ]
            part = law(term, self._plain[key] | constants[key], stack.first.node.shape, *seen)
            total[not term.conveyed] = total[not term.conveyed] + part
        return total[0], total[1]

    def _read(self, names: Sequence[str], x: Mapping[str, Array], constants: Any) -> Array:
        """What each layer reads, (layers, …): runs of other stacks one after another; (1, …) if all read the same."""
        wanted = names[:1] if len(set(names)) == 1 else names
        runs: list[list[Any]] = []  # stack or input, first layer, one past the last
        for name in wanted:
            of, k = self._place.get(name, (name, 0))
            if runs and runs[-1][0] == of and runs[-1][2] == k:
                runs[-1][2] += 1
            else:
                runs.append([of, k, k + 1])
        parts = [(x[of] if of in x else constants["inputs"][of])[a:b] for of, a, b in runs]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    # --- from and to the plan ---------------------------------------------------------------------------

    def stack(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Values (1, *shape) by array as a state."""
        return {s.name: jnp.concatenate([jnp.asarray(values[m]) for m in s.members]) for s in self.stacks.values()}

    def member(self, x: Mapping[str, Array], name: str) -> Array:
        """One array (*shape) of a state."""
        of, k = self._place[name]
        return x[of][k]

    def picked(self, x: Mapping[str, Array], index: Mapping[str, Any]) -> dict[str, Array]:
        """Some nodes of some arrays: index into the shape of each."""
        return {name: self.member(x, name)[nodes] for name, nodes in index.items()}


def compiled(task: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """task under jit, matrix products in float32 proper, or in TF32."""
    exact = "tensorfloat32" if precision == "tf32" else "highest"

    def run(*args: Any) -> Any:
        with jax.default_matmul_precision(exact):
            return jitted(*args)

    jitted = jax.jit(task)
    return run
