"""Forward Euler and SciPy on a plan's own cells, array by array, NumPy or CuPy.

    dx/dt = (delivered(x) − γ(x)·x) / τ        every derivative from present states, so in any order

On a GPU a step of forward Euler is one CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from common import Seconds
from scipy.integrate import solve_ivp

from dsmachine.emulator.operating_point import residual
from dsmachine.emulator.plan import Plan, Stage

from .cases import Case, Row, left_out, row

Array = Any
LARGEST = 3000  # nodes of a dense Jacobian


def rate(stage: Stage, x: Mapping[str, Array]) -> Array:
    """τ dx/dt of one array at x (K, *shape)."""
    if stage.node.bends:
        return stage.pull(x[stage.name], stage.delivered(x, None))[0]
    return residual(stage, x)


def longest_step(plan: Plan) -> float:
    """2τ/γ of the fastest node of constant γ, tails as they are at rest [s]: forward Euler is unstable beyond."""
    rates = (
        (1.0 if stage.node.is_inner else stage.constant) / np.min(plan.backend.host(stage.node.time_constants))
        for stage in plan.stages
        if stage.constant is not None
    )
    return 2 / max(map(float, rates), default=1e-300)


class Euler:
    """x ← x + h dx/dt of all arrays at once, steps of `step` seconds from zero."""

    def __init__(self, plan: Plan, inputs: Mapping[str, Array], step: float) -> None:
        self.plan, backend = plan, plan.backend
        self.share = {s.name: backend.array(step / np.asarray(s.node.time_constants, float)) for s in plan.stages}
        self.x = {s.name: backend.xp.zeros((1, *s.node.shape), backend.dtype) for s in plan.stages}
        self.x |= {name: backend.array(value)[None] for name, value in inputs.items()}
        self.steps = self._plain if backend.device == "numpy" else self._recorded()

    def _one(self) -> None:
        with self.plan.backend.arithmetic():
            moved = {stage.name: rate(stage, self.x) * self.share[stage.name] for stage in self.plan.stages}
        for name, change in moved.items():
            self.x[name] += change

    def picked(self, index: Mapping[str, Any]) -> dict[str, Array]:
        """Some nodes of some arrays, logical values on the host."""
        backend = self.plan.backend
        at = {name: tuple(backend.xp.asarray(axis) for axis in nodes) for name, nodes in index.items()}
        return dict(zip(index, backend.fetched([self.x[name][0][nodes] for name, nodes in at.items()]), strict=True))

    def _plain(self, count: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(count):
                self._one()

    def _recorded(self) -> Any:
        import cupy

        stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        before = {name: value.copy() for name, value in self.x.items()}
        self._one()  # compiles
        cupy.cuda.Device().synchronize()
        for name, value in before.items():
            self.x[name][...] = value
        cupy.cuda.Device().synchronize()
        with stream, cupy.cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            self._one()
            graph = stream.end_capture()
        self.held = (pool, graph)  # what the graph works in

        def steps(count: int) -> None:
            for _ in range(count):
                graph.launch(stream)
            stream.synchronize()

        return steps


def euler(case: Case, precision: str, shares: tuple[int, ...], cap: float) -> Iterator[Row]:
    """Rows of steps of at most τ/share, τ that of a bare node; each run once. cap [s]: given up if it would take
    longer, by the time of its first steps."""
    plan = case.plan(precision)
    span = float(case.times[1])
    for share in shares:
        count = math.ceil(span * share / case.second * (1 - 1e-9))
        if span / count > longest_step(plan):
            continue
        engine = Euler(plan, case.inputs, span / count)
        found: list[dict[str, Array]] = [engine.picked(case.index)]
        spent, done = Seconds(0.0, 0.0), 0
        for _ in case.times[1:]:
            begun = Seconds.now()
            engine.steps(count)
            taken = Seconds.now().since(begun)
            spent = Seconds(spent.wall + taken.wall, spent.cpu + taken.cpu)
            done += 1
            found.append(engine.picked(case.index))
            whole = spent.times((len(case.times) - 1) / done)
            if case.clock(whole) > cap or case.lost(found[-1]):
                break
        ended = done == len(case.times) - 1 and not case.lost(found[-1])
        sampled = (
            case.sampled({name: np.stack([each[name] for each in found]) for name in case.index}) if ended else None
        )
        cause = "too slow" if case.clock(whole) > cap else "unstable"
        note = "" if ended else f"{cause}: stopped after {done / (len(case.times) - 1):.2%} of it"
        more = {"steps": count * (len(case.times) - 1), "note": note}
        with np.errstate(over="ignore", invalid="ignore"):
            setting = f"τ/{case.second * count / span:.4g}"
            yield row(case, "forward Euler, array by array", setting, precision, whole, sampled, **more)
        if case.clock(whole) > cap:
            return


class Flat:
    """A plan's free arrays as one vector, in full scales, and its derivative by time in `second`s."""

    def __init__(self, plan: Plan, inputs: Mapping[str, Array], second: float) -> None:
        self.plan = plan
        self.inputs = {name: np.asarray(value, float)[None] for name, value in inputs.items()}
        shapes = [stage.node.shape for stage in plan.stages]
        self.edges = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
        self.scale = [np.broadcast_to(s.per_full_scale, s.node.shape) for s in plan.stages]
        self.speed = [second / np.asarray(s.node.time_constants, float) for s in plan.stages]

    def split(self, y: Array) -> dict[str, Array]:
        """(n, K) as logical values (K, *shape) by array."""
        parts = zip(self.plan.stages, self.edges[:-1], self.edges[1:], self.scale, strict=True)
        return {s.name: y[a:b].T.reshape(-1, *s.node.shape) / scale for s, a, b, scale in parts}

    def __call__(self, t: float, y: Array) -> Array:
        """dy/dt (n, K) or (n,)."""
        x = self.split(y.reshape(len(y), -1)) | self.inputs
        k = y.size // len(y)
        rows = []
        for stage, scale, speed in zip(self.plan.stages, self.scale, self.speed, strict=True):
            moved = np.broadcast_to(rate(stage, x) * speed * scale, (k, *stage.node.shape))
            rows.append(moved.reshape(k, -1).T)
        return np.concatenate(rows).reshape(y.shape)


def radau(case: Case, settings: tuple[float, ...], cap: float) -> Iterator[Row]:
    """SciPy's Radau, differences for a Jacobian, all columns of it at once."""
    if case.nodes > LARGEST:
        yield left_out(case, "SciPy Radau", "float64", f"{case.nodes} nodes, dense matrices")
        return
    flat = Flat(case.plan("float64", "numpy"), case.inputs, case.second)
    times = case.times / case.second
    for rtol in settings:
        begun = Seconds.now()
        found = solve_ivp(
            flat, (0, times[-1]), np.zeros(flat.edges[-1]), "Radau", times, rtol=rtol, atol=rtol / 10, vectorized=True
        )  # fmt: skip
        seconds = Seconds.now().since(begun)
        x = flat.split(found.y)
        sampled = case.sampled({name: x[name][(slice(None), *nodes)] for name, nodes in case.index.items()})
        more = {"steps": int(found.nlu), "note": "steps: LU decompositions"}
        yield row(case, "SciPy Radau", f"rtol {rtol:g}, atol {rtol / 10:g}", "float64", seconds, sampled, **more)
        if case.clock(seconds) > cap:
            return
