"""How many bytes a run needs at most, before it begins.

    bytes = weights + constants + state + polynomials + temporaries      at the moment when their sum is largest

weights      what `Backend.place` puts on the device: couplings, gains, masks, parameters of nodes
constants    matrices of the elements, what kernels read of each node, pools of error squares
state        inputs, operating point, where every array starts and stands, bands of the settling watch
polynomials  values at points, p numbers a node, sample and element, of the arrays that the group in work and later
             ones still read in the window
temporaries  what is pushed into an array, the factors of products, whatever a law needs on the way

Nothing of this is a formula of ours: the operating point and one window, or two blocks of steps, are walked through
by the engine's own code on arrays without numbers (`shadow.py`).

How many elements a window takes is not known before. `assumed` says it by laws that the bundled model and random ones
of all families follow, of the busiest group in a window of w = length/τ, τ the median time constant. Of windows that
grow (`windows.py`) it is the first, as busy as any: nothing is at rest in it. Its elements have to be so short that
there are

    N = w lg²(1/ε)/16            6 points an element, ε ≥ 1e-4
    N = w 2^lg(1/ε)/16           8 points

of them. They are halves of halves, so it takes the next power of two where several are solved at once; one at a time
those of 6 points grow when half of the window is through, and those of 8 come near N. In windows of one length

    N = 2.85 lg(1/ε) s(w)        6 points
    N = 2.8 ε^(−1/6) s(w)        8 points: from there on models differ, this is near the most they take

    s(w) = (w/30)^0.6 max(1, w/36n)^0.4        windows n times the usual

Elements are short where it begins and long where its arrays come to rest, hence less than in proportion to w. A wide
one is of a machine with some long time constants, in which the busiest layers do not come to rest. Where several
elements are solved at once, as on a GPU, one grows only after a row of equal ones: a third more are taken.
What observers keep is not counted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..circuits.units import engineering
from .backend import Backend, moving
from .collocation import Piece
from .fused import fused_stages
from .ledger import Ledger
from .noise_meter import NoiseMeter
from .operating_point import settle
from .plan import Group, Plan
from .request import Request, checked_bits
from .settling import SettlingWatch
from .shadow import Shadow
from .steps import Noise
from .stochastic import Stepper
from .transient import March, solver
from .weightless import Weightless, weightless

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
SCALE, TIGHT = 16.0, 1e-4  # windows that grow: time constants an element at one decade; under TIGHT twice as many each
DECADE, TIGHTEST = 2.85, 2.8  # in windows of one length, elements: a decade of tolerance; under TIGHT, times ε^(−1/6)
USUAL, WIDE, SHARE = 30.0, 36.0, 0.6  # widths of windows; power that elements grow with, in proportion beyond WIDE
ROWS = 4 / 3  # elements solved several at once / one at a time
PARTS = ("weights", "constants", "state", "polynomials", "temporaries")

FEWER = "use fewer tokens, inputs or samples at once, "
FIXES = {
    "weights": "use precision float32, fewer tokens, a smaller model or another device",
    "constants": "use precision float32, fewer tokens, a smaller model or another device",
    "state": FEWER + "precision float32 or another device",
    "polynomials": FEWER + "a looser tolerance, accuracy 'settling', precision float32 or another device",
    "temporaries": FEWER + "precision float32 or another device",
}


@dataclass(frozen=True)
class Memory:
    """Bytes of a run on its device when they are most, by part. device: numpy (the host) or cupy."""

    device: str
    weights: int
    constants: int
    state: int
    polynomials: int
    temporaries: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(int(getattr(self, part)) for part in PARTS)

    @property
    def largest(self) -> str:
        """The part that takes most."""
        return max(PARTS, key=lambda part: getattr(self, part))

    def grown(self, other: Memory, times: int) -> Memory:
        """With so many times what there is more of in another."""
        more = {part: times * max(getattr(other, part) - getattr(self, part), 0) for part in PARTS}
        return replace(self, **{part: getattr(self, part) + more[part] for part in PARTS})

    def plot(self) -> Figure:
        """Bytes by part; see `pictures.plot_memory`."""
        from .pictures import plot_memory

        return plot_memory(self)

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {engineering(getattr(self, part), 'B')}" for part in PARTS if getattr(self, part))
        return f"{engineering(self.total, 'B')} ({parts})"


class _Walk(March):
    """A march over shadows in which the groups take the `assumed` elements of a window, the last block of them by the
    engine's code. Every other group takes one less: values of elders are interpolated, as they are where groups choose
    their own elements. Without a tolerance all take one."""

    def _march_group(self, number: int, group: Group, begin: float, length: float) -> None:
        block, wanted = self.block[number], 1
        if self.tolerance is not None:
            wanted = max(1, assumed(self, length, block) - number % 2)
        each, most = length / wanted, min(wanted, block)
        before = wanted - most
        for stage in group.stages:
            self.pieces[stage.name] = list(self._past(self.x[stage.name], begin, each, before, most))
        solved, _ = self._elements(group, begin + before * each, each, most, ends=True, last=True)
        _move(solved.known.values(), "polynomials")
        self._accept(group, solved)

    def _past(self, start: Array, begin: float, each: float, before: int, most: int) -> Iterator[Piece]:
        """An array's elements before the last block: each block keeps where it began."""
        for first in range(0, before, most):
            count = min(most, before - first)
            kept = start.copy(), start.new((count * self.p, *start.shape))
            _move(kept, "polynomials")
            yield Piece(begin + first * each, each, count, *kept)


def _move(arrays: Iterable[Array], part: str) -> None:
    for array in arrays:
        if isinstance(array, Shadow) and array.owned.part == "temporaries":
            array.owned.move(part)


class _Silent(Noise):
    """Noise of shadows."""

    def __init__(self, noise: str | float, seed: int, ledger: Ledger) -> None:
        super().__init__(noise, seed)
        self._ledger = ledger

    def normals(self, name: str, first: int, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
        return Shadow.fresh(self._ledger, (count, *shape), dtype)


class _Shared(_Silent):
    """Of one of several marches, as in `levels.py`. drawn: by array, the latest steps and their numbers."""

    def __init__(self, noise: str | float, seed: int, ledger: Ledger, drawn: dict[str, tuple[int, Array]]) -> None:
        super().__init__(noise, seed, ledger)
        self._drawn = drawn

    def normals(self, name: str, first: int, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
        if name not in self._drawn or self._drawn[name][0] != first:
            with self._ledger.of("state"):
                self._drawn[name] = first, super().normals(name, first, count, shape, dtype)
        return self._drawn[name][1]


def needed(plan: Plan, request: Request, batch: int, longest: float, stop: float, levels: int = 0) -> Memory:
    """Bytes of a run of a plan, prepared or weightless. batch: of its inputs; longest: of its time constants [s]; stop:
    when the run ends at the latest [s]. levels: of noise, as in `levels.py`; 0: a run of its own."""
    shadow = plan if isinstance(plan.backend, Weightless) else _shadowed(plan)
    backend = shadow.backend
    assert isinstance(backend, Weightless)
    with backend.ledger.of("temporaries"), backend.arithmetic():
        if levels:
            _side_by_side(shadow, request, batch, levels)
        else:
            _run(shadow, request, batch, longest, stop)
    return Memory(backend.device, *(backend.ledger.most[part] for part in PARTS))


def _run(plan: Plan, request: Request, batch: int, longest: float, stop: float) -> None:
    """What `run.py` does, as far as memory goes."""
    backend: Any = plan.backend
    ledger, xp, whole = backend.ledger, backend.xp, batch * (request.samples or 1)
    with ledger.of("state"):
        inputs = {node.name: xp.zeros((batch, *node.shape), backend.dtype) for node in plan.circuit.inputs()}
        start = {stage.name: xp.zeros((whole, *stage.node.shape), backend.dtype) for stage in plan.stages}
    if backend.fused:
        with ledger.of("constants"):
            fused_stages(plan)
    target = dict(inputs)
    if request.needs_rest:
        settle(plan, target)
        if whole > batch:
            target = {name: xp.concatenate([value] * (whole // batch)) for name, value in target.items()}
        _move(target.values(), "state")
    with ledger.of("state"):
        settles = request.settle_bits != 0 and not request.noisy
        watch = SettlingWatch(plan, target, checked_bits(request.settle_bits)) if settles else None
        meter = NoiseMeter(target, 0.0) if request.noisy else None
        elements = request.engine == "elements"
        march: Any = (
            _march(plan, request, inputs, start, watch)
            if elements
            else _stepper(plan, request, inputs, start, [own for own in (watch, meter) if own])
        )
    if elements:
        march.window(0.0, min(stop, march.first * longest))
        return
    march.step = 1.0 / march.most
    for block in range(2):  # of the longest, after which all that it keeps is there
        march.window(float(block), 1.0)


def _side_by_side(plan: Plan, request: Request, batch: int, levels: int) -> None:
    """What `levels.py` does, as far as memory goes."""
    backend: Any = plan.backend
    ledger, drawn = backend.ledger, dict[str, tuple[int, Array]]()
    with ledger.of("state"):
        inputs = {n.name: backend.xp.zeros((batch, *n.shape), backend.dtype) for n in plan.circuit.inputs()}
    if backend.fused:
        with ledger.of("constants"):
            fused_stages(plan)
    rest = dict(inputs)
    settle(plan, rest)
    _move(rest.values(), "state")
    start = {stage.name: rest[stage.name] for stage in plan.stages}
    with ledger.of("state"):
        marches = []
        for _ in range(levels):
            noise = _Shared(request.noise, request.noise_seed, ledger, drawn)
            marches.append(Stepper(plan, inputs, start, step=math.inf, noise=noise, observers=[]))
    for march in marches:
        march.step = 1.0 / march.most
    for block in range(2):  # of the longest, after which all that they keep is there
        for _turn in zip(*(march.blocks(float(block), 1.0) for march in marches), strict=True):
            pass


def _march(plan: Plan, request: Request, inputs: Any, start: Any, watch: SettlingWatch | None) -> _Walk:
    """A march at its start."""
    with plan.backend.ledger.of("constants"):  # type: ignore[attr-defined]
        _ = solver(plan, request.collocation_points)
    tolerance = None if request.elements is not None else request.local_tolerance
    points, aims = request.collocation_points, watch.aims if watch else {}
    observers = [watch] if watch else []
    march = _Walk(
        plan, inputs, start, points=points, tolerance=tolerance, first_element=request.first_element,
        growing=request.growing, observers=observers, aims=aims,
    )  # fmt: skip
    march.x = {name: value.copy() for name, value in start.items()}
    return march


def _stepper(plan: Plan, request: Request, inputs: Any, start: Any, observers: list[Any]) -> Stepper:
    noise = _Silent(request.noise, request.noise_seed, plan.backend.ledger) if request.noisy else None  # type: ignore[attr-defined]
    return Stepper(plan, inputs, start, step=math.inf, noise=noise, observers=observers)


def assumed(march: March, length: float, block: int) -> int:
    """Elements of the busiest group in a window of `length` seconds, to the nearest: the first, where windows grow.
    block: how many are solved at once at most."""
    plan, tolerance, stretch = march.plan, march.tolerance or 1.0, march.stretch
    tau = float(np.median([node.time_constant for node in plan.circuit.arrays.values() if not node.clamped]))
    width, decades, tight = length / tau, -math.log10(tolerance), tolerance < TIGHT
    if march.growing:
        least = width / SCALE * (2.0**decades if tight else decades**2)
        equal = 1 << max(1, math.ceil(math.log2(least)))
        if block > 1:
            return equal
        return round(least) if tight else equal // 2 + 1
    law = TIGHTEST * float(tolerance ** (-1 / 6)) if tight else DECADE * decades
    grown = (width / USUAL) ** SHARE * max(1.0, width / stretch / WIDE) ** (1 - SHARE)
    return max(2, round(law * float(grown) * (ROWS if block > 1 else 1.0)))


def _shadowed(plan: Plan) -> Plan:
    """A prepared plan without its numbers."""
    backend = weightless(plan.backend, "weights")
    cells = (*plan.circuit.arrays.values(), *plan.circuit.terms.values())
    circuits = {id(array) for cell in cells for array in _numbers(cell)}
    groups = tuple(
        replace(group, stages=tuple(_shadow(stage, backend.ledger, circuits) for stage in group.stages))
        for group in plan.groups
    )
    return Plan(plan.circuit, backend, groups, plan.fabrication)


def _numbers(value: Any) -> Iterator[Array]:
    """The arrays of a cell and of what it is made of."""
    if hasattr(value, "__dataclass_fields__"):
        for part in vars(value).values():
            yield from _numbers(part)
    elif isinstance(value, np.ndarray):
        yield value


def _shadow(value: Any, ledger: Ledger, circuits: set[int]) -> Any:
    """A stage or cell whose arrays have no numbers; those of the host that say which node is where stay.

    circuits: ids of the arrays that are the circuit's own, and so take no memory.
    """
    if isinstance(value, tuple):
        return tuple(_shadow(part, ledger, circuits) for part in value)
    if hasattr(value, "__dataclass_fields__"):
        copied = copy.copy(value)
        vars(copied).update({name: _shadow(part, ledger, circuits) for name, part in moving(value)})
        return copied
    if not hasattr(value, "nbytes") or not np.ndim(value):
        return value
    made = Shadow.shared if id(value) in circuits else Shadow.fresh
    return made(ledger, value.shape, value.dtype)


# --- what is there ----------------------------------------------------------------------------------------


def placed(circuit: Circuit, backend: Backend, there: Container[int] = ()) -> Memory:
    """What `prepare` puts on the device: the weights, but for those arrays (ids) that are there."""
    shadow = weightless(backend, "weights")

    def put(value: Array) -> Array:
        return Shadow.shared(shadow.ledger, value.shape, value.dtype) if id(value) in there else shadow.put(value)

    _kept = [shadow.place(part, put) for part in (*circuit.arrays.values(), *circuit.terms.values())]
    return Memory(backend.device, shadow.ledger.total, 0, 0, 0, 0)


def check_room(name: str, memory: Memory, plan: Plan | None, backend: Backend) -> None:
    """Raises Error for what does not fit beside what the device already holds, a prepared plan's weights included."""
    there, new = room(backend), memory.total - (memory.weights if plan else 0)
    if there is None or new <= there:
        return
    where = "the GPU" if backend.kind == "cupy" else "this machine"
    all_of_it, more, left, most = (
        engineering(size, "B") for size in (memory.total, new, there, getattr(memory, memory.largest))
    )
    raise Error(
        f"{name!r} needs {all_of_it} of memory, {more} more than is taken, and {where} has {left} left; most of it are "
        f"{memory.largest} ({most}): {FIXES[memory.largest]}"
    )


def room(backend: Backend) -> int | None:
    """Bytes that a run may still take on a device; None where nobody says."""
    if backend.kind == "numpy":
        return host_room()
    with backend.here():
        free = int(backend.xp.cuda.runtime.memGetInfo()[0])
        return free + int(backend.xp.get_default_memory_pool().free_bytes())


def host_room(path: str = "/proc/meminfo") -> int | None:
    """Bytes that Linux says are available; None elsewhere."""
    try:
        lines = Path(path).read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
