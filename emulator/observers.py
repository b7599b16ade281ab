"""What the solver shows while it runs. It keeps no waveform itself; whoever wants one observes.

An observer is told of every accepted element of every group, in time order within a group. Groups choose their own
elements, so two groups' elements need not coincide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..circuits import checks
from ..circuits.errors import Error, shown
from ..circuits.named import unknown
from ..circuits.words import counted
from .collocation import Collocation, Piece
from .held import Held
from .plan import Group, Plan
from .radau import quadrature
from .traces import Trace

Array = Any


@dataclass(frozen=True, eq=False)
class Element:
    """Accepted elements of one group, `count` of equal length in a row; a step of the noise engine is an element with
    one point, its end.

    start, length [s] of all together; times (T,) of their points, T = count·p; values: any array the group reads or
    holds, (T, batch, *shape); initial: the group's own arrays at the start, (batch, *shape). ends: whether the group's
    window ends with them; seen: `Found.seen`, where the solver has watched them.
    """

    group: Group
    start: float
    length: float
    times: Array
    values: Mapping[str, Array]
    initial: Mapping[str, Array]
    collocation: Collocation
    count: int = 1
    ends: bool = False
    seen: Array | None = None

    @property
    def flat(self) -> Mapping[str, Array]:
        """`values` as cells read them: points and batch as one leading axis, (T·batch, *shape)."""
        return _Flat(self.values)

    @property
    def points(self) -> int:
        """Points p of one element."""
        return self.collocation.p

    @property
    def weights(self) -> Array:
        """Quadrature weights (T,) in seconds: ∫ f dt = Σ weights·f(points)."""
        return np.tile(self.length / self.count * quadrature(self.points), self.count)

    def at(self, name: str, times: Array, nodes: Any = ...) -> Array:
        """An own array's polynomial at ascending times [s] inside, (len(times), batch, *shape); nodes: index into its
        shape, of some of them."""
        start, points = self.initial[name], self.values[name]
        if nodes is not Ellipsis:
            start, points = start[(slice(None), *_tuple(nodes))], points[(slice(None), slice(None), *_tuple(nodes))]
        piece = Piece(self.start, self.length / self.count, self.count, start, points)
        return self.collocation.at(piece, np.asarray(times, float))


class _Flat(Mapping[str, Array]):
    """Arrays (T, batch, *shape) as (T·batch, *shape), evaluated when asked for."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Array:
        values = self._values[name]
        return values.reshape(-1, *values.shape[2:])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Observer(Protocol):
    """Anything that wants to see a run.

    One with `keeps`, the names of the attributes that hold what it has seen (numbers, arrays, dicts and lists of them),
    can see a run that is stopped and gone on with: they are set after `begin`. Where that depends on how the observer
    was made, `asked` says so by name (numbers, words, lists and dicts of them), and no other goes on with its run.
    """

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        """Called once; `start`: logical values (batch, *shape) of the free arrays at the start."""

    def element(self, element: Element) -> None:
        """Called for each accepted element."""

    def window(self, time: float) -> None:
        """Called when all groups have reached `time`."""


@runtime_checkable
class Recordable(Observer, Protocol):
    """An observer whose work on a GPU can be recorded with a run's and replayed (`graphs.py`).

    `element` and `restart` launch the same work whatever the values are, on the device alone: they fetch nothing, wait
    for nothing, and copy and compile nothing that `begin` has not made ready for the solvers that the plan then has.
    `begin` comes before a recording; `window`, the host's bookkeeping, also after every replay.
    """

    state: Any
    """What the launches write to, made by `begin`: whoever replays them keeps it. An observer with another one has been
    used for another machine since, and what was recorded is no longer its own."""

    def restart(self, start: Mapping[str, Array]) -> None:
        """As `begin`, for the same plan again, and by work on the device alone."""


@runtime_checkable
class Aimed(Protocol):
    """An observer that measures the distance from rest and wants to know where that is."""

    def aim(self, target: Mapping[str, Array]) -> None:
        """Called before `begin` with the operating point, logical values (batch, *shape)."""


def checked_observers(observers: Any) -> list[Observer]:
    """A list of its own. Raises Error for what is none of observers."""
    if observers is None:
        return []
    if not isinstance(observers, list | tuple):
        raise Error(f"observers are {shown(observers)}: give a list, such as [ds.EnergyMeter()]")
    for each in observers:
        if isinstance(each, type):
            raise Error(f"observer {each.__name__} is a class: pass one made of it, such as ds.EnergyMeter()")
        if not all(callable(getattr(each, part, None)) for part in ("begin", "element", "window")):
            raise Error(f"observer {shown(each)} has no begin, element and window: give one such as ds.EnergyMeter()")
    return list(observers)


class Probe:
    """Records arrays (or chosen nodes of them) at given times, or `density` samples an element.

    `nodes`: mapping array name -> index into its shape (e.g. (slice(None), 0)), or a list of names (all nodes).
    After the run: `times(name)` (T,), `volts(name)` (T, batch, …).
    """

    keeps = ("_times", "_values", "_next")

    def __init__(self, nodes: Mapping[str, Any] | Sequence[str], times: Array | None = None, density: int = 8) -> None:
        if not (isinstance(nodes, Mapping | list | tuple) and {*map(type, nodes)} <= {str}):
            raise Error(f"nodes of a probe are {shown(nodes)}: give a list of arrays, or a mapping {{array: index}}")
        self.density = checks.whole("density", density, 1, 10_000)
        self.index = dict(nodes) if isinstance(nodes, Mapping) else dict.fromkeys(nodes, ...)
        self.sample_times = None if times is None else np.sort(checks.moments("times", times))
        self._next: dict[str, int] = {}
        self._times: dict[str, list[Array]] = {name: [] for name in self.index}
        self._values = Held()  # logical
        self._nodes: dict[str, Any] = {}  # `index` where the values are
        self._unit: dict[str, Array] = {}
        self._picked: dict[str, Array] = {}
        self._shape: dict[str, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        names = list(self.index)
        some = [*names[:4], "…"] if len(names) > 5 else names
        dense, asked = f"{counted(self.density, 'sample')} an element", self.sample_times
        when = dense if asked is None else counted(len(asked), "time")
        return f"{type(self).__name__}({', '.join([*some, when])})"

    @property
    def asked(self) -> dict[str, Any]:
        """What its records are of."""
        nodes = {name: repr(i.tolist() if hasattr(i, "tolist") else i) for name, i in self.index.items()}
        when = {"density": self.density} if self.sample_times is None else {"times": self.sample_times.tolist()}
        return {"nodes": nodes, **when}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._values.begin(plan.backend)
        for name, index in self.index.items():
            if name not in plan.circuit.arrays:
                raise Error(f"probe of {name!r}: {plan.circuit.name!r} has no such array; {_nearest(name, plan)}")
            unit = plan.circuit.units(name)
            self._unit[name] = unit[index]
            self._picked[name] = np.arange(unit.size).reshape(unit.shape)[index]
            self._shape[name] = unit.shape
            self._next[name] = 0 if self.sample_times is None else int(np.searchsorted(self.sample_times, 0.0, "right"))
            self._nodes[name] = plan.backend.index(index)
            if name in start and (self.sample_times is None or 0.0 in self.sample_times):
                picked = start[name][(slice(None), *_tuple(self._nodes[name]))]
                self._keep(name, np.zeros(1), plan.backend.xp.array(picked)[None])

    def _keep(self, name: str, times: Array, picked: Array) -> None:
        self._times[name].append(times)
        self._values.keep(name, picked)

    def element(self, element: Element) -> None:
        for name in self.index:
            if name not in element.initial:
                continue
            times = self._inside(name, element)
            if len(times):
                self._keep(name, times, element.at(name, times, self._nodes[name]))

    def _inside(self, name: str, element: Element) -> Array:
        """Sample times up to the element's end, to rounding, from where the element before stopped: each once."""
        if self.sample_times is None:
            share = np.arange(1, self.density * element.count + 1) / (self.density * element.count)
            return element.start + element.length * share
        stop = element.start + element.length * (1 + 1e-9 / element.count)
        begin, self._next[name] = self._next[name], int(np.searchsorted(self.sample_times, stop, "right"))
        return self.sample_times[begin : self._next[name]]

    def window(self, time: float) -> None:
        pass

    def times(self, name: str) -> Array:
        """Sample times [s]."""
        return np.concatenate(self._times[self._own(name)])

    def volts(self, name: str) -> Array:
        """Samples in volts, (T, batch, …)."""
        return np.concatenate(self._values.lists[self._own(name)]) * self._unit[name]

    def _own(self, name: str) -> str:
        if name not in self.index:
            raise unknown(name, self.index, "array of this probe")
        return name

    def traces(self) -> dict[str, Trace]:
        """Everything recorded, by array."""
        return {
            name: Trace(self.times(name), self.volts(name), "V", self._picked[name], self._shape[name])
            for name, times in self._times.items()
            if times
        }


def _nearest(name: str, plan: Plan) -> str:
    names = list(plan.circuit.arrays)
    close = get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    return "did you mean " + ", ".join(repr(known) for known in close) + "?"


def _tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)
