"""A circuit made ready to be solved: stages in feed-forward order, their cells placed on a backend.

A *stage* is one node array with the terms that drive it. A *group* is a run of stages that march together: those
of one layer, or of one cycle. The order of groups is feed-forward: a group needs only earlier groups and inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from ..circuits.cells import NodeArray, Signals, Source, Term
from ..circuits.circuit import Circuit, sorted_components
from ..circuits.words import counted
from .backend import Backend, moving
from .store import Store

Array = Any
Brought = dict[int, tuple[Array, Array]]
STREAMED = 8  # how many times as long windows are where all weights pass by in each
MOST_PACES = 16  # distinct time constants of an array that get a propagator each


@dataclass(frozen=True)
class Stage:
    """One node array, ready: everything constant is worked out.

    conveyed, direct: the terms that reach the capacitor through the conveyor, and straight; load [S]: ΣG at the
    conveyor's input where r_x matters, else 0; attenuation: share of the conveyed current that the conveyor delivers;
    standing: γ of plain resistors on the node (passive couplings); per_full_scale: 1 / full scale [1/logical unit];
    constant: γ where it is one and the same for all nodes and times; pace: how much faster than the array's slowest
    each node runs, None if none does; pace_sets: (pace, flat indices of its nodes) where few differ.
    """

    node: NodeArray
    conveyed: tuple[Term, ...]
    direct: tuple[Term, ...]
    load: Array
    attenuation: Array
    standing: Array
    offset: Array
    per_full_scale: Array
    constant: float | None
    pace: Array | None = None
    pace_sets: tuple[tuple[float, Array], ...] = ()

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def terms(self) -> tuple[Term, ...]:
        return self.conveyed + self.direct

    def gamma(self, x: Signals) -> Array:
        """γ: a constant, or (K, …) broadcastable to the nodes. Not for root nodes, which know it only when solved."""
        if self.constant is not None:
            return self.constant
        feedback = self.node.feedback
        if feedback is None:
            return self.node.ratio + self.standing
        return feedback.ratio(x[feedback.control]) + self.standing

    def own(self, gamma: Array) -> Array:
        """γ of the node's own feedback, given γ with passive couplings' load (None, a root's, stays None)."""
        return gamma if gamma is None or isinstance(self.standing, float) else gamma - self.standing

    def drive(self, x: Signals) -> Array:
        """Σ of the conveyed normalised currents, (K, *shape) or broadcastable, before the rail."""
        total = summed(self.conveyed, x)
        if not isinstance(self.attenuation, float):
            total = total * self.attenuation
        return total if self.node.exists is None else total * self.node.exists

    def delivered(self, x: Signals, gamma: Array) -> Array:
        """The drive that reaches the capacitor: rail applied, offset too where γ is known (not None, a root)."""
        return self.passed(self.drive(x) if self.conveyed else None, x, gamma)

    def passed(self, drive: Array | None, x: Signals, gamma: Array) -> Array:
        """The same of what conveyors are driven with; None: there are none."""
        held = 0.0 if drive is None else self.node.delivered(drive, self.own(gamma))
        if self.direct:
            past = summed(self.direct, x)
            held = held + (past if self.node.exists is None else past * self.node.exists)
        return held if gamma is None or isinstance(self.offset, float) else held + gamma * self.offset

    def delivered_jvp(self, x: Signals, dx: Signals, gamma: Array) -> Array:
        """Derivative of `delivered` along dx at fixed γ."""
        change = 0.0
        if self.conveyed:
            slope = self.node.delivered_slope(self.drive(x), self.own(gamma))
            change = sum((term.jvp(x, dx) for term in self.conveyed), start=0.0) * self.attenuation * slope
        change = change + sum((term.jvp(x, dx) for term in self.direct), start=0.0)
        return change if self.node.exists is None else change * self.node.exists

    def pull(self, x: Array, drive: Array) -> tuple[Array, Array]:
        """τ dx/dt and minus its derivative, of a node whose own voltage bends its equation."""
        return self.node.pull(x, drive, self.standing, self.offset)

    def saturated(self, x: Signals, gamma: Array) -> int:
        """Nodes whose conveyed drive is beyond the linear part of the rail."""
        return int(self.beyond(x, gamma).sum())

    def beyond(self, x: Signals, gamma: Array) -> Array:
        """Mask (K, *shape), or one that broadcasts to it, of those nodes."""
        if not self.conveyed:
            return np.zeros((1,) * (1 + len(self.node.shape)), bool)
        return self.node.saturated(self.drive(x), self.own(gamma))


class Drives(Protocol):
    """What pushes current into nodes: a cell, or what stands for it on a device."""

    def drive(self, x: Signals) -> Array:
        """As `Term.drive`."""


def summed(terms: Sequence[Drives], x: Signals) -> Array:
    """Σ of the terms' normalised currents, (K, *shape) or broadcastable."""
    total = terms[0].drive(x)
    fresh = False  # whether `total` is ours to write into
    for term in terms[1:]:
        part = term.drive(x)
        if fresh and total.shape >= np.shape(part):
            total += part
        else:
            total, fresh = total + part, True
    return total


@dataclass(frozen=True)
class Group:
    """Stages that march together. A cyclic group is swept until it agrees with itself."""

    layer: str
    stages: tuple[Stage, ...]
    cyclic: bool


@dataclass(frozen=True, repr=False)
class Plan:
    """A circuit on a backend, in order. fabrication: seed and spreads of a chip.

    What is made of it once, when it is first wanted: solvers, by points of an element; kernels, by array
    (`fused.py`); noise, by array and kind (`agitation.py`); steps, by kind of noise (`fused_steps.py`); quickest
    (`quickest.py`, `duration.py`); taken and graphs, by case (`graphs.py`); needs: memory, by request (`memory.py`).
    brought: (array of the circuit's, where it is on the device), by the former's identity.

    store: where weights are that come to the device group by group; None: they are there. split: on several devices,
    the plan of each one's share (`share.py`), whose groups these are, seen from this plan's own device. sends: arrays
    that later shares read. thread: that marches a share. stretch, first: windows are at least so many times as long as
    usual, the first ones a share of that, or shorter (`windows.py`); growth: those are no longer than so many times the
    time since the start.
    """

    circuit: Circuit
    backend: Backend
    groups: tuple[Group, ...]
    fabrication: dict[str, Any] = field(default_factory=dict)
    solvers: dict[int, Any] = field(default_factory=dict, compare=False)
    kernels: dict[str, Any] = field(default_factory=dict, compare=False)
    noise: dict[tuple[str, bool], Any] = field(default_factory=dict, compare=False)
    steps: dict[str, Any] = field(default_factory=dict, compare=False)
    quickest: dict[str, Any] = field(default_factory=dict, compare=False)
    taken: dict[Any, Any] = field(default_factory=dict, compare=False)
    graphs: dict[Any, Any] = field(default_factory=dict, compare=False)
    needs: dict[Any, Any] = field(default_factory=dict, compare=False)
    brought: Brought = field(default_factory=dict, compare=False)
    store: Store | None = field(default=None, compare=False)
    split: tuple[Plan, ...] = ()
    sends: frozenset[str] = frozenset()
    thread: Any = field(default=None, compare=False)
    stretch: int = 1
    first: float = 1.0
    growth: float = 1.0

    def __repr__(self) -> str:
        where = f"{', '.join(self.devices)}, {self.backend.precision}"
        return f"{type(self).__name__}({self.circuit!r}, {where}, {counted(len(self.groups), 'group')})"

    @property
    def parts(self) -> tuple[Plan, ...]:
        """What is solved on a device each: the shares, or all of it."""
        return self.split or (self,)

    @property
    def devices(self) -> list[str]:
        return [part.backend.device for part in self.parts]

    @property
    def streamed(self) -> bool:
        return any(part.store for part in self.parts)

    @property
    def resident(self) -> bool:
        """Whether one device holds all of it."""
        return not self.split and not self.store

    def visited(self) -> Iterator[tuple[int, Group]]:
        """(number, group) in order, each with its weights on the device until the next is asked for."""
        for number, group in enumerate(self.groups):
            with self.store.at_hand(number) if self.store else nullcontext():
                yield number, group

    @property
    def stages(self) -> list[Stage]:
        return [stage for group in self.groups for stage in group.stages]


def let_go(plan: Plan, steps: Sequence[Sequence[Stage]]) -> list[list[str]]:
    """For each step, stages that are done together, the free arrays that no later step, or share, reads."""
    needs = plan.circuit.all_needs()
    last = {stage.name: number for number, stages in enumerate(steps) for stage in stages}
    for number, stages in enumerate(steps):
        for stage in stages:
            last |= {name: number for name in needs[stage.name] if name in last}
    found: list[list[str]] = [[] for _ in steps]
    for name, number in last.items():
        if name not in plan.sends:
            found[number].append(name)
    return found


def make_plan(
    circuit: Circuit,
    backend: Backend,
    fabrication: dict[str, Any] | None = None,
    *,
    stream: bool = False,
    share: slice = slice(None),
    there: Brought | None = None,
    **more: Any,
) -> Plan:
    """Stages of a circuit in feed-forward order, grouped by layer and cycle; share: which of the groups; stream:
    whether their weights come to the device group by group; there: what the device holds already; more: of the plan."""
    drives, grouped = driven(circuit), groups_of(circuit)[share]
    brought: Brought = {}

    def put(value: Array) -> Array:
        known = (there or {}).get(id(value))
        brought[id(value)] = known or (value, backend.put(value))
        return brought[id(value)][1]

    with backend.here():
        store = Store(backend, [[t for n in names for t in drives[n]] for _, names, _ in grouped]) if stream else None
        place = store.placed if store else partial(backend.place, put=put)
        groups = tuple(
            Group(label, tuple(_stage(circuit, backend, place, circuit.arrays[n], drives[n]) for n in names), cyclic)
            for label, names, cyclic in grouped
        )
    stretch = STREAMED if stream else 1
    return Plan(circuit, backend, groups, fabrication or {}, store=store, stretch=stretch, brought=brought, **more)


def outline(value: Any) -> Iterator[Any]:
    """What memory depends on in a stage, or a part of it: kinds of its parts, shapes and types of their arrays."""
    yield type(value).__name__
    if isinstance(value, tuple):
        for part in value:
            yield from outline(part)
    elif hasattr(value, "__dataclass_fields__"):
        for _, part in moving(value):
            yield from outline(part)
    elif hasattr(value, "nbytes"):
        yield value.shape, value.dtype.str


def driven(circuit: Circuit) -> dict[str, list[Term]]:
    """The terms that drive each array."""
    found: dict[str, list[Term]] = {name: [] for name in circuit.arrays}
    for term in circuit.terms.values():
        found[term.target].append(term)
    return found


def _stage(
    circuit: Circuit, backend: Backend, place: Callable[[Term], Term], node: NodeArray, terms: list[Term]
) -> Stage:
    felt = node.input_resistance > 0 or node.noise_ohms > 0
    load = circuit.conveyed_load(node.name) if felt else 0.0
    standing = circuit.standing_load(node.name) / node.conductance
    loaded = _any(load)
    terms = terms or [Source(f"{node.name} undriven", node.name, np.zeros(1))]
    ordered = sorted(terms, key=lambda term: not term.sources)  # sources last: broadcast onto a full array
    pace, sets = _paces(node)
    return Stage(
        node=backend.place(node),
        conveyed=tuple(place(t) for t in ordered if t.conveyed),
        direct=tuple(place(t) for t in ordered if not t.conveyed),
        load=backend.array(load) if loaded else 0.0,
        attenuation=backend.array(node.attenuation(load)) if loaded or np.any(node.current_gain != 1) else 1.0,
        standing=backend.array(standing) if _any(standing) else 0.0,
        offset=backend.array(_masked(node, node.offset) / np.asarray(node.unit, float)) if _any(node.offset) else 0.0,
        per_full_scale=backend.array(np.divide(node.unit, node.full_scale)),
        constant=_constant(node, standing),
        pace=None if pace is None else backend.array(pace),
        pace_sets=sets,
    )


def _paces(node: NodeArray) -> tuple[Array | None, tuple[tuple[float, Array], ...]]:
    """(pace of each node, sets of equal pace if they are few); (None, ()) where all nodes have one time constant."""
    if np.ndim(node.time_constants) == 0 or np.ptp(node.time_constants) == 0:
        return None, ()
    pace = node.time_constant / np.broadcast_to(np.asarray(node.time_constants, float), node.shape)
    values, which = np.unique(pace, return_inverse=True)
    if len(values) > MOST_PACES:
        return pace, ()
    return pace, tuple((float(v), np.flatnonzero(which.reshape(-1) == k)) for k, v in enumerate(values))


def _any(value: Array) -> bool:
    return value != 0 if isinstance(value, float) else bool(np.any(value))


def _masked(node: NodeArray, value: Array) -> Array:
    """A value of each node, 0 where there is none: what reads nodes that do not exist reads 0 V."""
    return np.asarray(value, float) if node.exists is None else np.where(node.exists, value, 0.0)


def _constant(node: NodeArray, standing: Array) -> float | None:
    """γ of nodes without control, if it is the same for all: feedback and passive load may add up to it."""
    if node.feedback is not None:
        return None
    if np.ndim(node.ratio) == 0 and not _any(standing):
        return float(node.ratio)
    gamma = np.asarray(node.ratio, float) + standing
    mean = float(np.mean(gamma))
    return mean if float(np.ptp(gamma)) <= 1e-12 * mean else None


def groups_of(circuit: Circuit) -> list[tuple[str, list[str], bool]]:
    """(layer, names in order, cyclic) of each group: cycles on their own, else consecutive arrays of a layer."""
    found: list[tuple[str, list[str], bool]] = []
    needs = circuit.all_needs()
    for component in _ordered_by_layer(circuit, needs):
        cyclic = len(component) > 1 or component[0] in needs[component[0]]
        layer = circuit.arrays[component[0]].layer
        if found and not cyclic and not found[-1][2] and found[-1][0] == layer:
            found[-1][1].append(component[0])
        else:
            found.append((layer, list(component), cyclic))
    return found


def _ordered_by_layer(circuit: Circuit, needs: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Feed-forward order in which the arrays of a layer stand together wherever the wiring allows."""
    components = circuit.ordered(needs)
    layer = {name: circuit.arrays[c[0]].layer for c in components for name in c}
    labels = list(dict.fromkeys(layer.values()))
    if len(labels) == 1:
        return components
    edges: dict[str, list[str]] = {label: [] for label in labels}
    for name, label in layer.items():
        edges[label] += [layer[n] for n in needs[name] if n in layer and layer[n] != label]
    rank = {label: k for k, group in enumerate(sorted_components(labels, edges)) for label in group}
    return sorted(components, key=lambda c: rank[layer[c[0]]])
