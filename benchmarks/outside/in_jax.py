"""diffrax and forward Euler by XLA, layers batched (`jax_circuit.py`), until the reference has settled.

Seconds are those of compiled programs that return the last state alone; compiling is told apart. Errors come from the
same solve, which also interpolates the compared nodes at the common times.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # CuPy needs room too

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from common import Seconds, seconds_of

from .cases import Case, Row, row
from .explicit import longest_step
from .jax_circuit import JaxCircuit, compiled

Array = Any
MOST_STEPS = 1 << 22
LONG = 5.0  # seconds; what takes longer is timed once
VERSIONS = f"jax {jax.__version__}, diffrax {diffrax.__version__}"


def worst(error: Any) -> Array:
    """The largest of the arrays' rms: what is asked for is an error of the worst array."""
    each = [jnp.sqrt(jnp.mean(jnp.square(leaf))) for leaf in jax.tree.leaves(error)]
    return jnp.max(jnp.stack(each))


class Jaxed:
    """A case in JAX: its state, constants and compared nodes."""

    def __init__(self, case: Case, precision: str) -> None:
        if precision == "float64" and not jax.config.jax_enable_x64:
            raise ValueError("JAX would make float32 of float64 without a word: set JAX_ENABLE_X64=1")
        self.case, self.precision = case, precision
        plan = case.plan("float64" if precision == "float64" else "float32", "numpy")
        self.circuit = JaxCircuit(plan, case.inputs, case.second)
        self.start = self.circuit.zero()
        self.times = jnp.asarray(case.times / case.second, plan.backend.dtype)
        self.index = {n: tuple(jnp.asarray(axis) for axis in nodes) for n, nodes in case.index.items()}

    def compile(self, task: Any, *args: Any) -> tuple[Any, float]:
        """(the compiled program, seconds that compiling and a first run on `args` take)."""
        program = compiled(task, self.precision)
        return program, self.timed(program, *args, repeats=1).wall

    def timed(self, program: Any, *args: Any, repeats: int) -> Seconds:
        return seconds_of(lambda: jax.block_until_ready(program(*args)), lambda: None, repeats)[0]

    def picked(self, x: Any, index: Any) -> Any:
        return self.circuit.picked(x, index)


def euler(case: Case, precision: str, shares: tuple[int, ...], cap: float, repeats: int) -> Iterator[Row]:
    """Forward Euler, steps of at most τ/share."""
    on = Jaxed(case, precision)
    spans = len(case.times) - 1

    def steps(x: Any, constants: Any, step: Array, count: int) -> Any:
        def one(_: int, x: Any) -> Any:
            rate = on.circuit.rate(x, constants)
            return {name: x[name] + step * rate[name] for name in x}

        return jax.lax.fori_loop(0, count, one, x)

    def sampled(x: Any, constants: Any, step: Array, count: int, index: Any) -> Any:
        def span(x: Any, _: Any) -> Any:
            x = steps(x, constants, step, count)
            return x, on.picked(x, index)

        return jax.lax.scan(span, x, None, length=spans)[1]

    program, sampler, compiling = None, compiled(sampled, precision), 0.0
    for share in shares:
        count = math.ceil(float(case.times[1]) * share / case.second * (1 - 1e-9))
        step = jnp.asarray(float(case.times[1]) / case.second / count, on.times.dtype)
        args = (on.start, on.circuit.constants, step)
        if float(case.times[1]) / count > longest_step(on.circuit.plan):
            continue
        if program is None:
            program, compiling = on.compile(steps, *args, 1)
        setting, more = f"τ/{1 / float(step):.4g}", {"steps": count * spans, "compile_s": compiling}
        whole = on.timed(program, *args, count, repeats=1).times(spans)
        if case.clock(whole) > cap:
            note = f"too slow: by {100 / spans:.2g} % of it"
            yield row(case, "forward Euler, XLA", setting, precision, whole, None, **more, note=note)
            return
        found = {n: np.asarray(v) for n, v in sampler(*args, count, on.index).items()}
        if any(case.lost({name: v[k] for name, v in found.items()}) for k in range(spans)):
            yield row(case, "forward Euler, XLA", setting, precision, whole, None, **more, note="unstable")
            continue
        found = {name: np.concatenate([np.zeros_like(v[:1]), v]) for name, v in found.items()}
        seconds = on.timed(program, *args, count * spans, repeats=repeats if case.clock(whole) < LONG else 1)
        yield row(case, "forward Euler, XLA", setting, precision, seconds, case.sampled(found), **more)


def adaptive(
    case: Case,
    precision: str,
    method: str,
    settings: tuple[tuple[float, float], ...],
    cap: float,
    repeats: int,
) -> Iterator[Row]:
    """A solver of diffrax by its name, step by PI control; settings: (rtol, atol), logical units."""
    on = Jaxed(case, precision)
    solver = getattr(diffrax, method)()
    end = float(on.times[-1])
    term = diffrax.ODETerm(lambda t, x, constants: on.circuit.rate(x, constants))

    def solve(x: Any, constants: Any, stop: Array, tolerances: Array, saveat: Any) -> Any:
        control = diffrax.PIDController(tolerances[0], tolerances[1], pcoeff=0.3, icoeff=0.4, norm=worst)
        return diffrax.diffeqsolve(
            term, solver, jnp.zeros_like(stop), stop, jnp.full_like(stop, 1e-3), x, constants, saveat=saveat,
            stepsize_controller=control, max_steps=MOST_STEPS, throw=False, adjoint=diffrax.ForwardMode(),
        )  # fmt: skip

    def last(x: Any, constants: Any, stop: Array, tolerances: Array) -> Any:
        found = solve(x, constants, stop, tolerances, diffrax.SaveAt(t1=True))
        return found.ys, found.stats["num_steps"], diffrax.is_successful(found.result)

    def sampled(x: Any, constants: Any, stop: Array, tolerances: Array, times: Array, index: Any) -> Any:
        saveat = diffrax.SaveAt(ts=times, fn=lambda t, x, _: on.picked(x, index))
        return solve(x, constants, stop, tolerances, saveat).ys

    dtype, constants = on.times.dtype, on.circuit.constants
    program, sampler, compiling = None, compiled(sampled, precision), 0.0
    for rtol, atol in settings:
        tolerances = jnp.asarray([rtol, atol], dtype)
        if program is None:
            program, compiling = on.compile(last, on.start, constants, jnp.asarray(end / 1e4, dtype), tolerances)
        setting, more = f"rtol {rtol:g}, atol {atol:g}", {"compile_s": compiling, "note": ""}
        for share in (0.01, 0.05):  # so much of the run tells how long it would take
            stop = jnp.asarray(end * share, dtype)
            whole = on.timed(program, on.start, constants, stop, tolerances, repeats=1).times(1 / share)
            if case.clock(whole) > cap * 2 ** (share < 0.02):
                more["note"] = f"too slow: by the first {share:.0%} of it"
                yield row(case, f"diffrax {method}", setting, precision, whole, None, **more)
                return
        args = (on.start, constants, on.times[-1], tolerances)
        seconds = on.timed(program, *args, repeats=repeats if case.clock(whole) < LONG else 1)
        _, steps, ended = program(*args)
        found = None
        if bool(ended):
            values = sampler(*args, on.times, on.index)
            found = case.sampled({name: np.asarray(v) for name, v in values.items()})
        yield row(
            case, f"diffrax {method}", setting, precision, seconds, found, steps=int(steps),
            **more | {"note": "" if bool(ended) else "failed"},
        )  # fmt: skip
