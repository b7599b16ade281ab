"""Noisy runs of one machine at several levels, of which only the ends are wanted.

They begin at the same operating point and draw the same random numbers, step by step, so they march side by side, a
block of steps each in turn, and what one has drawn the others use. Of N levels

    bytes ≤ weights + constants + N · state + normals + temporaries

as `memory.py` finds by marching shadows the same way; normals: of a block of steps, a number a step, sample and node of
all arrays, which stay until the last march has used them; none on a GPU, whose kernels draw for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .duration import noise_come_through, run_windows
from .inputs import batch_size, checked_inputs
from .operating_point import solve_operating_point
from .plan import Plan
from .prepare import check_memory
from .quickest import shortest_time_constant
from .request import Request
from .steps import Noise
from .stochastic import Stepper
from .volts import Volts

Array = Any
Drawn = dict[str, tuple[tuple[int, int], Array]]


@dataclass(frozen=True)
class Ends:
    """outputs: by level, the last value of each free array [V]; saturated: nodes at their rails where all begin."""

    outputs: list[Volts]
    saturated: dict[str, int]


class _Shared(Noise):
    """Of one of several levels. drawn: by array, the latest steps, (first, count) and their numbers."""

    def __init__(self, level: str | float, seed: int, drawn: Drawn) -> None:
        super().__init__(level, seed)
        self._drawn = drawn

    def normals(self, name: str, first: int, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
        known = self._drawn.get(name)
        if known is None or known[0] != (first, count):
            known = self._drawn[name] = (first, count), super().normals(name, first, count, shape, dtype)
        return known[1]


def ends_of_levels(
    plan: Plan,
    inputs: Mapping[str, Array],
    levels: Sequence[str | float],
    *,
    noise_seed: int = 0,
    read_window: float | None = None,
    step: float | None = None,
) -> Ends:
    """What `transient(plan, inputs, noise=level, …)` ends with, for each level, to the last bit.

    inputs: clamped arrays that stand still. read_window [s]: by default until noise has come through, half of what
    `transient` takes, which then averages as long.
    """
    window = noise_come_through(plan) if read_window is None else read_window
    requests = [Request(level, noise_seed, read_window=window, step=step) for level in levels]
    with plan.backend.arithmetic():
        values = checked_inputs(plan.circuit, plan.backend, inputs)
        batch = batch_size(values, {})
        check_memory(plan, requests[0], batch, levels=len(levels))
        saturated: dict[str, int] = {}
        rest = solve_operating_point(plan, values, saturated=saturated)
        start = {stage.name: rest[stage.name] for stage in plan.stages}
        length = (step or 0.25) * shortest_time_constant(plan, rest)
        drawn: Drawn = {}
        noises = [_Shared(request.noise, noise_seed, drawn) for request in requests]
        marches = [Stepper(plan, values, start, step=length, noise=noise, observers=[]) for noise in noises]
        for begin, duration in run_windows(plan, marches[0], [], window, requests[0], 0):
            for _ in zip(*(march.blocks(begin, duration) for march in marches), strict=True):
                pass
    return Ends([Volts(plan, march.x) for march in marches], saturated)
