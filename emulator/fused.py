"""The solver on a GPU: one kernel an array, from the currents that its terms push to polynomials and squares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import kernels
from .collocation import Collocation
from .plan import Plan, Stage, summed
from .radau import between, propagator, radau, tail
from .solver import Solver, Squares

Array = Any
POOL = 1 << 16  # numbers that squares are handed out from, so that one copy fetches those of a group
NOTHING = np.uint64(0)


@dataclass(frozen=True)
class Ready:
    """What the kernel wants to know of an array, on the device: `table` of addresses and strides into `values`, the
    terms that change, conveyed and direct, and which law it is (`kernels.element_source`)."""

    law: int
    kernel: Any
    table: Array
    values: dict[str, Array]
    conveyed: tuple[Any, ...]
    direct: tuple[Any, ...]
    floor: Any


class Slice:
    """Part (rows, count) of the pool."""

    def __init__(self, pool: Array, begin: int, rows: int, count: int) -> None:
        self.pool, self.begin, self.rows, self.count = pool, begin, rows, count

    @property
    def end(self) -> int:
        return self.begin + self.rows * self.count


class FusedSolver(Solver):
    """As `Solver`; errors are looked at once a group."""

    prompt = False

    def __init__(self, plan: Plan, collocation: Collocation) -> None:
        super().__init__(plan, collocation)
        self.ready = {stage.name: self._make_ready(stage) for stage in plan.stages}
        self._pool, self._used, self._batch = None, POOL, 1

    def solve(
        self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int, *, estimate: bool
    ) -> tuple[Array, Squares | None]:
        xp, node, ready = self.backend.xp, stage.node, self.ready[stage.name]
        size, points, self._batch = start.size, count * self.p, len(start)
        ratio = length / node.time_constant
        drive, drive_step = self._pushed(ready.conveyed, signals, start.shape)
        direct, direct_step = self._pushed(ready.direct, signals, start.shape)
        control, inner = NOTHING, 1
        if ready.law == 1 and node.feedback is not None:
            control, inner = self._control(signals[node.feedback.control], node.shape)
        matrices = self.backend.kept(_matrices, self.p, *((ratio, stage.constant) if ready.law == 0 else (None, None)))
        out = xp.empty((points, *start.shape), start.dtype)
        found = self._slice(2 + self.p * node.is_root, count) if estimate else None
        real = start.dtype.type
        ready.kernel(
            (-(-size // kernels.THREADS),),
            (kernels.THREADS,),
            (
                np.int64(size), np.int64(size // len(start)), np.int32(count), real(ratio), real(ready.floor),
                xp.ascontiguousarray(start), drive, np.int64(drive_step), direct, np.int64(direct_step), control,
                np.int64(inner), ready.table, matrices, out,
                NOTHING if found is None else np.uint64(self.backend.address(found.pool) + 8 * found.begin),
            ),
        )  # fmt: skip
        return out, found

    def _control(self, control: Array, shape: tuple[int, ...]) -> tuple[Array, int]:
        """(values, how many nodes in a row share one): a control stands for trailing axes, or is spread out."""
        xp, lead = self.backend.xp, control.shape[1:]
        axes = len(lead)
        while axes and lead[axes - 1] == 1:
            axes -= 1
        if lead[:axes] != shape[:axes]:
            return xp.ascontiguousarray(xp.broadcast_to(control, (len(control), *shape))), 1
        return xp.ascontiguousarray(control), int(np.prod(shape[axes:]))

    def errors(self, stages: Sequence[Stage], squares: Sequence[Squares], length: float) -> Array:
        fetched: dict[int, tuple[int, Array]] = {}
        for part in squares:
            if id(part.pool) not in fetched:
                same = [other for other in squares if other.pool is part.pool]
                begin, end = min(s.begin for s in same), max(s.end for s in same)
                fetched[id(part.pool)] = begin, self.backend.host(part.pool[begin:end])
        rows = []
        for stage, part in zip(stages, squares, strict=True):
            begin, values = fetched[id(part.pool)]
            square = values[part.begin - begin : part.end - begin].reshape(part.rows, part.count)
            rows.append(self._error(stage, square / self._nodes(stage), length))
        return np.stack(rows)

    def _nodes(self, stage: Stage) -> int:
        return self._batch * int(np.prod(stage.node.shape))

    def _slice(self, rows: int, count: int) -> Slice:
        """Numbers that are 0."""
        if self._used + rows * count > POOL:
            self._pool, self._used = self.backend.xp.zeros(max(POOL, rows * count), np.float64), 0
        begin, self._used = self._used, self._used + rows * count
        return Slice(self._pool, begin, rows, count)

    def _pushed(self, terms: tuple[Any, ...], signals: Mapping[str, Array], shape: tuple[int, ...]) -> tuple[Any, int]:
        """(Σ of the terms' normalised currents, contiguous; numbers from one point to the next, 0 if all are alike)."""
        if not terms:
            return NOTHING, 0
        xp, total = self.backend.xp, summed(terms, signals)
        alike = len(total) == 1
        whole = (shape[0] if alike else len(total), *shape[1:])
        return xp.ascontiguousarray(xp.broadcast_to(total, whole)), 0 if alike else int(np.prod(shape))

    def _make_ready(self, stage: Stage) -> Ready:
        node, xp = stage.node, self.backend.xp
        constant = [term for term in stage.conveyed if not term.sources]
        law = 0 if stage.constant is not None and stage.pace is None else 1
        pull, guess = "", ""
        if node.bends:
            law = 2 if node.is_root else 3
            pull, guess = node.cuda_law
        feedback = node.feedback
        given = {
            "bias": summed(tuple(constant), {}) if constant else None,
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
        values = {
            name: self._spread(kernels.ABSENT[name] if given[name] is None else given[name], node.shape)
            for name in kernels.ROWS
        }
        table = [(self.backend.address(value), int(value.size > 1)) for value in values.values()]
        source = kernels.element_source(self.backend.dtype, self.p, law, pull, guess)
        return Ready(
            law,
            kernels.compiled(source, "element"),
            xp.asarray(np.array(table, np.int64)),
            values,
            tuple(term for term in stage.conveyed if term.sources),
            stage.direct,
            0.0 if feedback is None else feedback.floor,
        )

    def _spread(self, value: Array, shape: tuple[int, ...]) -> Array:
        """One number, or one a node."""
        array = self.backend.array(value)
        if array.size == 1:
            return array.reshape(1)
        return self.backend.xp.ascontiguousarray(self.backend.xp.broadcast_to(array, shape)).reshape(-1)


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
