"""What the noise analysis cannot see of what noise costs: the mean displacement of a circuit that bends.

    ⟨L(z + δ)⟩ − L(z) = L′·⟨δ₂⟩ + ½ tr(L″ P) + …,        δ = δ₁ + δ₂ + …,  P = ⟨δ₁ δ₁ᵀ⟩

Both terms go with the power of the noise: δ₁ is linear in it, δ₂, what couples squares of it (a product, a softmax, a
tanh), has a mean. `noise` is linear and has P alone. A reading of noise that stands still (`still_noise.py`) is not
linear and costs a rest; it has the same numbers here with either sign, so that first order drops out of their mean, and
with a thirtieth of them, which is δ₁. Noise that stands still is not filtered, so it is too strong, and made weaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.cells import Signals
from dsmachine.emulator.inputs import checked_inputs
from dsmachine.emulator.normals import array_key
from dsmachine.emulator.operating_point import settle, solve_operating_point
from dsmachine.emulator.plan import Plan, Stage
from dsmachine.emulator.still_noise import Shaken, StillNoise

from .bench import Bench, Rows
from .mirrored import standard_error, surprises

Array = Any
TOKENS, READINGS, STRENGTHS = 8, 40, (0.1, 0.3)
SMALL = 1 / 30


def run(bench: Bench) -> None:
    """Of a few tokens, and of the passage."""
    rows = Rows("bending", fresh=bench.fresh)
    for tokens, readings in ((TOKENS, READINGS), (bench.positions, 4)):
        few = replace(bench, positions=tokens)
        plan: list[Plan] = []
        for strength in STRENGTHS:
            key = {"tokens": tokens, "times thermal": strength, "readings": readings}

            def found(few: Bench = few, plan: list[Plan] = plan, strength: float = strength, n: int = readings) -> Any:
                if not plan:
                    circuit = few.circuit(ranges=bench.ranges, precision="float32")
                    plan.append(ds.prepare(circuit, device=bench.device))
                return mean(few, plan[0], strength, n)

            rows.row(key, found)


@dataclass(frozen=True)
class Copies(Shaken):
    """One sample of the batch a strength, all of the same numbers."""

    strengths: Sequence[float] = ()

    def __call__(self, stage: Stage, x: Signals) -> Array:
        own, backend = x[stage.name], self.plan.backend
        if stage.node.is_inner:
            return own
        stream = np.random.Philox(key=array_key(self.noise.seed, stage.name), counter=(0, 0, self.reading, 0))
        drawn = np.random.Generator(stream).standard_normal((1, *own.shape[1:]), dtype=own.dtype)
        strengths = np.asarray(self.strengths, own.dtype).reshape(-1, *[1] * (own.ndim - 1))
        return own + self._spread(stage, x) * backend.array(drawn) * backend.array(strengths)


def mean(bench: Bench, plan: Plan, strength: float, readings: int) -> dict[str, float]:
    """Of some readings, with standard errors of what they cost."""
    host = plan.backend.host
    with plan.backend.arithmetic():
        inputs = checked_inputs(plan.circuit, plan.backend, bench.inputs)
        rest = host(solve_operating_point(plan, inputs)["logits"])[0]
        each = []
        for reading in range(readings):
            noise = StillNoise("thermal")
            copies = Copies(noise, plan, reading, strengths=[strength * s for s in (1, -1, SMALL, -SMALL)])
            x = {name: plan.backend.xp.concatenate([value] * 4) for name, value in inputs.items()}
            settle(plan, x, copies)
            each.append(shares(rest, host(x["logits"]), bench.ids, plan.circuit.full_scale("logits")))
            del x
    found = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    errors = {f"{name} ±": standard_error(one[name] for one in each) for name in found if "loss" in name}
    return found | errors


def shares(rest: Array, copies: Array, ids: Sequence[int], full_scale: Array) -> dict[str, float]:
    """Of logits (4, P, V): of +, −, and a little of both."""
    before = surprises(rest, ids).mean()
    linear, shift = (copies[2] - copies[3]) / (2 * SMALL), (copies[0] + copies[1]) / 2 - rest

    def cost(*logits: Array) -> float:
        return float(np.mean([surprises(each, ids).mean() for each in logits]) - before)

    def rms(off: Array) -> float:
        return 100 * float(np.sqrt(np.mean(np.square(off / full_scale))))

    return {
        "logits rms %": rms(linear),
        "mean displacement %": rms(shift),
        "loss": cost(copies[0], copies[1]),
        "loss, linear": cost(rest + linear, rest - linear),
        "loss, displaced": cost(rest + shift),
    }
