"""The solver on a GPU: one kernel an array, from the currents that its terms push to polynomials and squares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuits.cells.inner import InnerNode
from ..circuits.cells.term import Term, View
from ..circuits.circuit import Circuit
from . import kernels
from .collocation import Collocation
from .element_kernel import PLACES, element_source
from .fused_rows import FusedRows
from .kernels import blocks, spread, struct, tabled
from .plan import Drives, Plan, Stage, summed
from .pool import Pool
from .radau import between, knots, propagator, radau, steps, tail
from .solver import Aim, Aims, Found, Solver, estimated

Array = Any
Read = tuple[str, tuple[int, int, int]]  # an array, and where in it: see `FusedStage._place`


class FusedStage:
    """An array as the kernels want it: what they read of it, on the device, and which law it follows.

    law: see `element_source`. cells: those that the kernels evaluate themselves; conveyed, direct: the others
    that change, those that sum over rows with a kernel of their own; those that do not change are the bias. table: see
    `kernels.ABSENT`.
    """

    def __init__(self, stage: Stage, circuit: Circuit, backend: Any) -> None:
        node, feedback = stage.node, stage.node.feedback
        self.stage, self.circuit, self.backend, self.xp = stage, circuit, backend, backend.xp
        self.law = 0 if stage.constant is not None and stage.pace is None else 1
        self.pull, self.guess, self.step, self.grain = "", "", "", node.grain
        if node.bends:
            self.law = 2 if node.is_root else 3
            self.pull, self.guess = node.cuda_law
        if isinstance(node, InnerNode) and node.bends:
            self.step = node.cuda_step
        self.tau = node.time_constant
        self.nodes = int(np.prod(node.shape))
        self.least = 0.0 if feedback is None else feedback.floor
        self._indices: list[Array] = []
        self._wide: dict[int, Array] = {}  # where nodes are in rows that lie so far apart
        self.control: Read | None = None
        if feedback is not None and self.law == 1:
            shape = circuit.arrays[feedback.control].shape
            lined_up = shape + (1,) * (len(node.shape) - len(shape))
            self.control = (
                feedback.control,
                self._place(feedback.control, np.arange(int(np.prod(shape))).reshape(lined_up)),
            )
        given = {
            "bias": self._bias(),
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
        values = [absent if given[name] is None else given[name] for name, absent in kernels.ABSENT.items()]
        self.cells = kernels.Cells()
        self.reads: list[Read] = []
        self._taken: list[tuple[int, Term]] = []
        self.conveyed = self._inlined(stage.conveyed, "conveyed", values)
        self.direct = self._inlined(stage.direct, "direct", values)
        through, past, controlled = bool(self.conveyed), bool(self.direct), self.control is not None
        self.cells = replace(self.cells, summed=through, passing=past, controlled=controlled)
        self.values = [spread(backend, value, node.shape) for value in values]
        self.table, self.scale = tabled(backend, self.values), self.values[list(kernels.ABSENT).index("scale")]
        self.rest = backend.kernel(kernels.rest_source(backend.dtype, self.law, self.cells), "rest")

    def _inlined(self, terms: Sequence[Term], way: str, values: list[Array]) -> tuple[Drives, ...]:
        """Take in the cells that a kernel can evaluate; their values are added. Returns the others that change."""
        others: list[Drives] = []
        for term in terms:
            if not term.sources:
                continue
            inline = term.inline
            if inline is None:
                shape, rows = self.stage.node.shape, term.rows
                others.append(FusedRows(rows, self.circuit, shape, self.backend) if rows else term)
                continue
            self.cells = self.cells.and_also(way, inline)
            self.reads += [self.source(view) for view in inline.reads]
            self._taken.append((len(values), term))
            values += inline.values
        return tuple(others)

    def _bias(self) -> Array | None:
        """Of the cells that never change, None without any."""
        constant = tuple(term for term in self.stage.conveyed if not term.sources)
        return summed(constant, {}) if constant else None

    def rewrite(self) -> None:
        """Take in again what stands here one a node: what its cells are programmed with has moved."""
        moved: dict[int, Array] = {}
        for begin, term in self._taken:
            assert term.inline is not None
            moved |= dict(enumerate(term.inline.values, start=begin))
        if (bias := self._bias()) is not None:
            moved[list(kernels.ABSENT).index("bias")] = bias
        for place, value in moved.items():
            self.values[place][...] = spread(self.backend, value, self.stage.node.shape)

    def source(self, view: View) -> Read:
        """Which array a view is of, and where in it."""
        return view.array, self._place(view.array, self._index(view))

    def _index(self, view: View) -> Array:
        """Which node of its array a view's nodes are, counted within a sample."""
        shape = self.circuit.arrays[view.array].shape
        return view.of(np.arange(int(np.prod(shape))).reshape(1, *shape))[0]

    def _place(self, array: str, index: Array) -> tuple[int, int, int]:
        """(address of the index, how many nodes in a row share a number, numbers of a sample) of `kernels.Source`."""
        size = int(np.prod(self.circuit.arrays[array].shape))
        each = np.broadcast_to(index, self.stage.node.shape).reshape(-1)
        inner = max(1, self.nodes // size)
        if np.array_equal(each, np.arange(self.nodes) // inner):
            return 0, inner, 0
        self._indices.append(self.xp.asarray(each.astype(np.int32)))
        return self.backend.address(self._indices[-1]), 1, size

    def drives(
        self, signals: Mapping[str, Array], batch: int, looked: Sequence[Read] = ()
    ) -> tuple[Array, list[Array]]:
        """(`kernels.Drives`; arrays to be kept until the kernel is launched). looked: what is read besides."""
        rows: list[tuple[int, ...]] = []
        held: list[Array] = []
        for terms in (self.conveyed, self.direct):
            if not terms:
                rows.append((0, 0, 0, 1, 0))
                continue
            whole, places = self._found(summed(terms, signals), batch)
            held.append(whole)
            rows.append(places)
        if self.control is None:
            rows.append((0, 0, 0, 1, 0))
        for name, (index, inner, row) in ([self.control] if self.control else []) + self.reads + list(looked):
            values = self.xp.ascontiguousarray(signals[name])
            held.append(values)
            rows.append((self.backend.address(values), values[0].size * batch, index, inner, row))
        return struct(rows), held

    def _found(self, total: Array, batch: int) -> tuple[Array, tuple[int, ...]]:
        """(sums of currents, how a kernel finds them), where they lie if their rows do, evenly."""
        instants, shape = len(total), (batch if len(total) == 1 else len(total), *self.stage.node.shape)
        wide = kernels.apart(total) if total.shape == shape else None
        if wide is None:
            total, sample, index, row = self.backend.spread(total, shape), self.nodes, 0, 0
        else:
            sample = row = self.nodes // shape[-1] * wide
            if wide not in self._wide:
                places = np.arange(0, sample, wide, dtype=np.int32)[:, None] + np.arange(shape[-1], dtype=np.int32)
                self._wide[wide] = self.xp.asarray(places.reshape(-1))
            index = self.backend.address(self._wide[wide])
        return total, (self.backend.address(total), 0 if instants == 1 else batch * sample, index, 1, row)


def fused_stages(plan: Plan) -> dict[str, FusedStage]:
    """The arrays of a plan for the kernels, made once."""
    if not plan.kernels:
        plan.kernels.update({stage.name: FusedStage(stage, plan.circuit, plan.backend) for stage in plan.stages})
    return plan.kernels


def rewrite(plan: Plan, names: Iterable[str]) -> None:
    """Let the kernels of these arrays know that their cells' programmed values have moved."""
    for name in names:
        if name in plan.kernels:
            plan.kernels[name].rewrite()


class FusedFound(Found):
    """As `Found`, on the device until it is fetched; numbers: a row an array, sums of squares (2 + p, count) where
    errors are estimated, then what is seen (count, batch + 2) where there are aims."""

    def __init__(
        self,
        solver: FusedSolver,
        stages: Sequence[Stage],
        length: float,
        count: int,
        batch: int,
        squares: int,
        seen: int,
    ) -> None:
        super().__init__(solver.p, length, count)
        self.numbers = solver.pool.take(len(stages) * (squares + seen)).reshape(len(stages), squares + seen)
        self.squares, self._host, self._row = squares, solver.backend.host, 0
        self._nodes, self._tau = solver.sizes(stages, batch)

    def place(self, address: int) -> tuple[int, int]:
        """Where the next array's squares and what is seen of it go, 0 where nothing is asked for."""
        begin = address + self._row * self.numbers.shape[1] * 8
        self._row += 1
        seen = self.squares < self.numbers.shape[1]
        return (begin if self.squares else 0), (begin + 8 * self.squares if seen else 0)

    def fetch(self, host: Array | None = None) -> None:
        if not self.numbers.size:
            return
        count, host = len(self.worst), self._host(self.numbers) if host is None else host
        if self.squares:
            mean = host[:, : self.squares].reshape(len(host), -1, count) / self._nodes
            self.worst = estimated(self._p, mean, self._length / self._tau[:, 0]).max(axis=0)
        if self.squares < host.shape[1]:
            self.seen = host[:, self.squares :].reshape(len(host), count, -1)


class FusedSolver(Solver):
    """As `Solver`; what is found is looked at once a group."""

    prompt = False

    def __init__(self, plan: Plan, collocation: Collocation) -> None:
        super().__init__(plan, collocation)
        self.stages = fused_stages(plan)
        self.kernels = {name: self.backend.kernel(self._source(s), "element") for name, s in self.stages.items()}
        self._smalls: dict[tuple[float | None, float | None], Array] = {}
        self._sizes: dict[tuple[str, int], Any] = {}
        self.pool = Pool(self.backend, np.float64)

    def _source(self, fused: FusedStage) -> str:
        return element_source(
            self.backend.dtype, self.p, fused.law, fused.cells, fused.pull, fused.guess, fused.grain
        )  # fmt: skip

    def sizes(self, stages: Sequence[Stage], batch: int) -> tuple[Array, Array]:
        """(nodes of all samples, longest time constant) of each array of a group, (arrays, 1, 1); made once."""
        key = stages[0].name, batch
        if key not in self._sizes:
            fused = [self.stages[stage.name] for stage in stages]
            self._sizes[key] = np.array([(batch * each.nodes, each.tau) for each in fused]).T[:, :, None, None]
        nodes, tau = self._sizes[key]
        return nodes, tau

    def found(
        self, stages: Sequence[Stage], length: float, count: int, batch: int, *, estimate: bool, aims: Aims
    ) -> FusedFound:
        squares, seen = (2 + self.p) * count if estimate else 0, count * (batch + 2) if aims else 0
        return FusedFound(self, stages, length, count, batch, squares, seen)

    def solve(
        self, stage: Stage, start: Array, signals: Mapping[str, Array], length: float, count: int, found: Found, *,
        estimate: bool, aim: Aim | None = None, ends: bool = False,
    ) -> tuple[Array, Array]:  # fmt: skip
        xp, fused = self.backend.xp, self.stages[stage.name]
        assert isinstance(found, FusedFound)
        size, ratio, real = start.size, length / fused.tau, start.dtype.type
        constant = (ratio, stage.constant) if fused.law == 0 else (None, None)
        out, end = xp.empty((count * self.p, *start.shape), start.dtype), xp.empty(start.shape, start.dtype)
        squares, seen = found.place(self.backend.address(found.numbers))
        drives, held = fused.drives(signals, len(start))
        arguments = (
            np.int32(size), np.int32(size // len(start)), np.int32(count), real(ratio), real(fused.least),
            xp.ascontiguousarray(start), drives, fused.table, self._small(*constant), out, end,
            np.uint64(squares), self._aim(aim, ends, seen),
        )  # fmt: skip
        self.kernels[stage.name](blocks(size), (kernels.THREADS,), arguments)
        del held
        return out, end

    def _aim(self, aim: Aim | None, ends: bool, found: int) -> Array:
        """The kernel's `Aim`."""
        if aim is None:
            return struct([0] * 9)
        address, bands = self.backend.address, np.float64(aim.bands).view(np.int64)
        where = (self.backend.kept(knots, self.p), self.backend.kept(steps, self.p, PLACES))
        return struct([address(aim.target), address(aim.per), *aim.steps, bands, ends, *map(address, where), found])

    def _small(self, ratio: float | None, gamma: float | None) -> Array:
        """The kernel's small matrices, handed over by value."""
        if (ratio, gamma) not in self._smalls:
            values = _matrices(self.p, ratio, gamma).astype(self.backend.dtype)
            self._smalls[ratio, gamma] = values.view(np.dtype([("at", values.dtype, len(values))]))
        return self._smalls[ratio, gamma]


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
        drives, held = fused.drives(x, batch)
        arguments = (
            np.int32(size), np.int32(size // batch), out.dtype.type(fused.least), drives, fused.table,
            np.int32(limited), out, count,
        )  # fmt: skip
        fused.rest(blocks(size), (kernels.THREADS,), arguments)
        del held
        return out

    def beyond(self) -> dict[str, int]:
        """Only arrays that have any."""
        counts = self.backend.host(self._counts)
        return {name: int(counts[k]) for name, k in self._place.items() if counts[k]}


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
