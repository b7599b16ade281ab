"""Steps on a GPU: one kernel an array and block, which draws its random numbers itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..circuits.cells.term import Inline
from . import kernels
from .agitation import Agitation, Laws
from .fused import FusedStage, Read, fused_stages
from .kernels import NOTHING, blocks, spread, tabled
from .normals import array_key, schedule
from .plan import Plan, Stage
from .step_kernels import steps_source
from .steps import Instants, Noise, Span, Steps

Array = Any


class ShakenStage:
    """An array with its noise as the kernel wants it. looked, table: what it reads and which numbers it has, those of
    conductances that it works out itself included; laws: the others that move."""

    def __init__(self, fused: FusedStage, shaken: Agitation | None) -> None:
        backend, cells, values = fused.backend, fused.cells, list(fused.values)
        self.fused, self.looked = fused, list[Read]()
        self.laws: Laws = ()
        for share, law in shaken.laws if shaken else ():
            inline = law.inline
            if inline is None:
                self.laws += ((share, law),)
                continue
            shared = Inline(f"v{len(inline.values)} * ({inline.law})", inline.reads, (*inline.values, share))
            cells = cells.and_also("moving", shared)
            self.looked += [fused.source(view) for view in shared.reads]
            values += [spread(backend, value, fused.stage.node.shape) for value in shared.values]
        self.table, self._values = tabled(backend, values), values
        self.kernel = backend.kernel(steps_source(backend.dtype, fused.law, cells, fused.step), "steps")
        scale, still = (None, None) if shaken is None else (shaken.scale, shaken.still)
        self.how = np.int32(0 if shaken is None else 2 if still is None else 1)
        self.strength = *self._stepped(scale), *self._stepped(still)

    def _stepped(self, value: Array | None) -> tuple[Any, Any]:
        """(one number or one a node, step from node to node)."""
        if value is None:
            return NOTHING, np.int64(0)
        each = spread(self.fused.backend, value, self.fused.stage.node.shape)
        return each, np.int64(each.size > 1)


def shaken_stages(plan: Plan, agitated: Mapping[str, Agitation | None], kind: str) -> dict[str, ShakenStage]:
    """The arrays of a plan for the kernels, made once for each kind of noise: its power is none of their business."""
    if kind not in plan.steps:
        stages = fused_stages(plan)
        plan.steps[kind] = {name: ShakenStage(fused, agitated[name]) for name, fused in stages.items()}
    found: dict[str, ShakenStage] = plan.steps[kind]
    return found


class FusedSteps(Steps):
    """As `Steps`; whether all went well is known on the device. laws: those that no kernel works out."""

    def __init__(self, plan: Plan, noise: Noise | None) -> None:
        super().__init__(plan, noise)
        self.backend = plan.backend
        kind = "off" if noise is None else "thermal" if noise.level == "thermal" else "given"
        self.stages = shaken_stages(plan, self.agitated, kind)
        self.power = {name: plan.backend.dtype(found.power if found else 0) for name, found in self.agitated.items()}
        self.laws = {name: each.laws for name, each in self.stages.items()}
        self._broken = self.backend.xp.zeros(1, np.int32)

    def drawn(self, stage: Stage, first: int, count: int, batch: int) -> Array | None:
        if self.noise is None or self.noise.counted:
            return None
        numbers = super().drawn(stage, first, count, batch)
        return None if numbers is None else self.backend.array(numbers)

    def take(self, stage: Stage, span: Span, start: Array, signals: Instants, out: Array) -> None:
        shaken, batch, real = self.stages[stage.name], len(start), out.dtype.type
        fused = shaken.fused
        drives, held = fused.drives(signals, batch, shaken.looked)
        arguments = (
            np.int32(start.size), np.int32(start.size // batch), np.int32(span.count), np.int32(signals.count == 1),
            real(span.h / fused.tau), real(fused.least), start, drives, shaken.table, shaken.how,
            self.power[stage.name], *shaken.strength, _or_nothing(span.moving), _or_nothing(span.seen),
            _or_nothing(span.drawn), self._keys(stage), np.int64(span.first), out, self._broken,
        )  # fmt: skip
        shaken.kernel(blocks(start.size), (kernels.THREADS,), arguments)
        del held

    def finite(self, x: Mapping[str, Array]) -> bool:
        return not int(self.backend.host(self._broken)[0])

    def _keys(self, stage: Stage) -> Array:
        return schedule(array_key(0 if self.noise is None else self.noise.seed, stage.name))


def _or_nothing(value: Array | None) -> Any:
    return NOTHING if value is None else value
