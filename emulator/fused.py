"""The solver on a GPU: one kernel an array, from the currents that its terms push to polynomials and squares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import kernels
from .collocation import Collocation
from .plan import Plan, Stage, summed
from .pool import Pool
from .radau import between, propagator, radau, tail
from .solver import Solver, Squares, estimated

Array = Any
NOTHING = np.uint64(0)


class FusedStage:
    """An array as the kernels want it: what they read of it, on the device, and which law it follows.

    law: see `kernels.element_source`. table: addresses and strides of `values`, in the order of `kernels.ABSENT`.
    conveyed: terms that change; those that do not are the bias.
    """

    def __init__(self, stage: Stage, backend: Any) -> None:
        node, feedback = stage.node, stage.node.feedback
        self.stage, self.backend, self.xp = stage, backend, backend.xp
        self.law = 0 if stage.constant is not None and stage.pace is None else 1
        self.pull, self.guess = "", ""
        if node.bends:
            self.law = 2 if node.is_root else 3
            self.pull, self.guess = node.cuda_law
        self.conveyed = tuple(term for term in stage.conveyed if term.sources)
        self.least = 0.0 if feedback is None else feedback.floor
        constant = tuple(term for term in stage.conveyed if not term.sources)
        given = {
            "bias": summed(constant, {}) if constant else None,
            "attenuation": stage.attenuation,
            "exists": node.exists,
            "reach": None if node.rail is None else node.rail / node.unit,
            "offset": stage.offset,
            "standing": stage.standing,
            "pace": stage.pace,
            "own": node.ratio if feedback is None else None,
            "gain": None if feedback is None else feedback.gain,
            "scale": stage.per_full_scale,
        }
        values = (absent if given[name] is None else given[name] for name, absent in kernels.ABSENT.items())
        self.values = [self._spread(value, node.shape) for value in values]
        rows = [(backend.address(value), int(value.size > 1)) for value in self.values]
        self.table = self.xp.asarray(np.array(rows, np.int64))
        self.tau = node.time_constant
        self.nodes = int(np.prod(node.shape))
        self.rest = backend.kernel(kernels.rest_source(backend.dtype, self.law), "rest")

    def _spread(self, value: Array, shape: tuple[int, ...]) -> Array:
        """One number, or one a node."""
        array = self.backend.array(value)
        if array.size == 1:
            return array.reshape(1)
        return self.backend.spread(array, shape).reshape(-1)

    def drives(self, signals: Mapping[str, Array], batch: int) -> tuple[Any, ...]:
        """Arguments that say what is pushed in: drive and its step, direct and its step, control, inner."""
        shape = (batch, *self.stage.node.shape)
        feedback = self.stage.node.feedback
        control: tuple[Any, Any] = (NOTHING, np.int64(1))
        if feedback is not None and self.law == 1:
            control = self.control(signals[feedback.control])
        conveyed, direct = (self._pushed(terms, signals, shape) for terms in (self.conveyed, self.stage.direct))
        return (*conveyed, *direct, *control)

    def _pushed(self, terms: tuple[Any, ...], signals: Mapping[str, Array], shape: tuple[int, ...]) -> tuple[Any, Any]:
        """(Σ of the terms' normalised currents, contiguous; numbers from one point to the next, 0 if all are alike)."""
        if not terms:
            return NOTHING, np.int64(0)
        total = summed(terms, signals)
        alike = len(total) == 1
        whole = (shape[0] if alike else len(total), *shape[1:])
        return self.backend.spread(total, whole), np.int64(0 if alike else math.prod(shape))

    def control(self, control: Array) -> tuple[Array, Any]:
        """(values, how many nodes in a row share one): a control stands for trailing axes, or is spread out."""
        inner = self.nodes // math.prod(control.shape[1:])
        if self._leads(control.shape[1:]):
            return self.xp.ascontiguousarray(control), np.int64(inner)
        return self.backend.spread(control, (len(control), *self.stage.node.shape)), np.int64(1)

    def _leads(self, shape: tuple[int, ...]) -> bool:
        """Whether a shape is that of the array up to some axis and 1 from there on."""
        axes = next((k for k in range(len(shape), 0, -1) if shape[k - 1] != 1), 0)
        return shape[:axes] == self.stage.node.shape[:axes]


def fused_stages(plan: Plan) -> dict[str, FusedStage]:
    """The arrays of a plan for the kernels, made once."""
    if not plan.kernels:
        plan.kernels.update({stage.name: FusedStage(stage, plan.backend) for stage in plan.stages})
    return plan.kernels


class FusedSolver(Solver):
    """As `Solver`; errors are looked at once a group."""

    prompt = False

    def __init__(self, plan: Plan, collocation: Collocation) -> None:
        super().__init__(plan, collocation)
        self.stages = fused_stages(plan)
        dtype = self.backend.dtype
        self.kernels = {
            name: self.backend.kernel(kernels.element_source(dtype, self.p, s.law, s.pull, s.guess), "element")
            for name, s in self.stages.items()
        }
        self._smalls: dict[tuple[float | None, float | None], Array] = {}
        self.pool = Pool(self.backend, np.float64)

    def solve(
        self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int, *, estimate: bool
    ) -> tuple[Array, Squares | None]:
        xp, fused = self.backend.xp, self.stages[stage.name]
        size = start.size
        ratio, real = length / fused.tau, start.dtype.type
        constant = (ratio, stage.constant) if fused.law == 0 else (None, None)
        out = xp.empty((count * self.p, *start.shape), start.dtype)
        found = self.pool.take((2 + self.p) * count).reshape(2 + self.p, count) if estimate else None
        arguments = (
            np.int64(size), np.int64(size // len(start)), np.int32(count), real(ratio), real(fused.least),
            xp.ascontiguousarray(start), *fused.drives(signals, len(start)), fused.table,
            self._small(*constant), out, NOTHING if found is None else found,
        )  # fmt: skip
        self.kernels[stage.name](blocks(size), (kernels.THREADS,), arguments)
        return out, found

    def _small(self, ratio: float | None, gamma: float | None) -> Array:
        """The kernel's small matrices, handed over by value."""
        if (ratio, gamma) not in self._smalls:
            values = _matrices(self.p, ratio, gamma).astype(self.backend.dtype)
            self._smalls[ratio, gamma] = values.view(np.dtype([("at", values.dtype, len(values))]))
        return self._smalls[ratio, gamma]

    def errors(self, stages: Sequence[Stage], squares: Sequence[Squares], length: float, batch: int) -> Array:
        nodes = np.array([batch * self.stages[stage.name].nodes for stage in stages])
        mean = np.stack(self.backend.fetched(squares)) / nodes[:, None, None]
        tau = np.array([[self.stages[stage.name].tau] for stage in stages])
        return estimated(self.p, mean, length / tau)


class FusedRest:
    """Where arrays rest, one after another; `beyond()`: how many nodes of each are beyond their rail's linear part."""

    def __init__(self, plan: Plan) -> None:
        self.backend, self.stages = plan.backend, fused_stages(plan)
        self._counts = plan.backend.xp.zeros(len(self.stages), np.uint64)
        self._place = {name: k for k, name in enumerate(self.stages)}

    def __call__(self, stage: Stage, x: Mapping[str, Array], batch: int) -> Array:
        xp, node, fused = self.backend.xp, stage.node, self.stages[stage.name]
        size = batch * fused.nodes
        out = xp.empty((batch, *node.shape), self.backend.dtype)
        limited = bool(stage.conveyed) and node.rail is not None and not node.held
        count = np.uint64(self.backend.address(self._counts) + 8 * self._place[stage.name])
        arguments = (
            np.int64(size), np.int64(size // batch), out.dtype.type(fused.least), *fused.drives(x, batch), fused.table,
            np.int32(limited), out, count,
        )  # fmt: skip
        fused.rest(blocks(size), (kernels.THREADS,), arguments)
        return out

    def beyond(self) -> dict[str, int]:
        """Only arrays that have any."""
        counts = self.backend.host(self._counts)
        return {name: int(counts[k]) for name, k in self._place.items() if counts[k]}


def blocks(size: int) -> tuple[int, ...]:
    """Grid of one thread a node."""
    return (-(-size // kernels.THREADS),)


def _matrices(p: int, ratio: float | None, gamma: float | None) -> Array:
    """The kernel's small matrices in a row; those of a constant γ only where it is one."""
    dense, sparse, _ = between(p)
    parts = [radau(p)[1], tail(p), dense, sparse]
    if ratio is None or gamma is None:
        parts += [np.zeros((p, p)), np.zeros(p)]
    else:
        memory, gain = propagator(p, ratio * gamma)
        parts += [gain / gamma, memory]
    return np.concatenate([part.reshape(-1) for part in parts])
