"""Steps on a GPU: one kernel an array and block, which draws its random numbers itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import kernels
from .fused import NOTHING, fused_stages
from .normals import array_key
from .plan import Plan, Stage
from .step_kernels import steps_source
from .steps import Instants, Noise, Span, Steps

Array = Any


class FusedSteps(Steps):
    """As `Steps`; whether all went well is known on the device."""

    def __init__(self, plan: Plan, noise: Noise | None) -> None:
        super().__init__(plan, noise)
        self.backend, self.stages = plan.backend, fused_stages(plan)
        self._kernels = {
            name: self.backend.kernel(steps_source(self.backend.dtype, fused.law, fused.cells), "steps")
            for name, fused in self.stages.items()
        }
        self._tables: dict[str, tuple[Any, ...]] = {}
        self._broken = self.backend.xp.zeros(1, np.int32)

    def drawn(self, stage: Stage, first: int, count: int, batch: int) -> Array | None:
        if self.noise is None or self.noise.counted:
            return None
        numbers = super().drawn(stage, first, count, batch)
        return None if numbers is None else self.backend.array(numbers)

    def take(self, stage: Stage, span: Span, start: Array, signals: Instants, out: Array) -> None:
        fused, batch, real = self.stages[stage.name], len(start), out.dtype.type
        drives, held = fused.drives(signals, batch)
        arguments = (
            np.int32(start.size), np.int32(start.size // batch), np.int32(span.count), np.int32(signals.count == 1),
            real(span.h / fused.tau), real(fused.least), start, drives, fused.table,
            *self._shaken(stage), _or_nothing(span.moving), _or_nothing(span.drawn), *self._key(stage),
            np.int64(span.first), out, self._broken,
        )  # fmt: skip
        self._kernels[stage.name](kernels.blocks(start.size), (kernels.THREADS,), arguments)
        del held

    def finite(self, x: Mapping[str, Array]) -> bool:
        return not int(self.backend.host(self._broken)[0])

    def _shaken(self, stage: Stage) -> tuple[Any, ...]:
        """What the kernel wants of the array's agitation: how, power, scale and its step, still and its step."""
        if stage.name not in self._tables:
            shaken, shape = self.agitated[stage.name], stage.node.shape
            scale, still = (None, None) if shaken is None else (shaken.scale, shaken.still)
            how = 0 if shaken is None else 2 if still is None else 1
            power = self.backend.dtype(0.0 if shaken is None else shaken.power)
            self._tables[stage.name] = np.int32(how), power, *self._spread(scale, shape), *self._spread(still, shape)
        return self._tables[stage.name]

    def _spread(self, value: Array | None, shape: tuple[int, ...]) -> tuple[Any, Any]:
        """(one number or one a node, step from node to node)."""
        if value is None:
            return NOTHING, np.int64(0)
        if value.size == 1:
            return value, np.int64(0)
        return self.backend.spread(value, shape), np.int64(1)

    def _key(self, stage: Stage) -> tuple[Any, Any]:
        seed, name = array_key(0 if self.noise is None else self.noise.seed, stage.name)
        return np.uint64(seed), np.uint64(name)


def _or_nothing(value: Array | None) -> Any:
    return NOTHING if value is None else value
