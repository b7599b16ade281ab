"""A Circuit: named node arrays and the terms that push current into them. One description, three readings.

The solver (`emulator`), the meter (`energy`) and the writer (`netlists`) read this and nothing else; none of them
knows what a transformer is. Circuits may have cycles; `order` says which arrays must be solved together.

A three-node ring by hand:

>>> import numpy as np
>>> from dsmachine.circuits.circuit import Circuit
>>> ring = Circuit("ring")
>>> _ = ring.nodes("s", (3,))
>>> _ = ring.couple("J", "s", "s", 0.3 * np.roll(np.eye(3), 1, axis=0))
>>> ring.order()
[('s',)]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from . import checks
from .cells import (
    NodeArray,
    Rectifier,
    Softmax,
    Source,
    TailDrive,
    TanhPair,
    Term,
    View,
    as_view,
    coupling,
    of_transistors,
    product,
    tails,
)
from .errors import Error
from .named import Named
from .words import counted

if TYPE_CHECKING:
    from .devices.card import DeviceCard

Array = Any
BOLTZMANN = 1.380649e-23  # J/K
ELEMENTARY_CHARGE = 1.602176634e-19  # C


@dataclass(repr=False)
class Circuit:
    """Node arrays and terms, in the order they were added. `temperature` in kelvin.

    Built by `nodes`, `clamp`, `couple`, `multiply`, `bias`, `add`; every name is unique.
    """

    name: str
    temperature: float = 300.0
    arrays: dict[str, NodeArray] = field(default_factory=dict)
    terms: dict[str, Term] = field(default_factory=dict)
    output: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks.name("name of a circuit", self.name)
        checks.number("temperature", self.temperature, "give kelvin, above 0", above=0)
        self.arrays = Named(self.arrays, f"array of circuit {self.name!r}")
        self.terms = Named(self.terms, f"term of circuit {self.name!r}")

    @property
    def thermal_voltage(self) -> float:
        """kT/q in volts."""
        return BOLTZMANN * self.temperature / ELEMENTARY_CHARGE

    # --- building -------------------------------------------------------------------------------------

    def add_nodes(self, node: NodeArray) -> NodeArray:
        """Add a node array; its name must be new."""
        if checks.name("name of an array", node.name) in self.arrays:
            raise Error(f"node array {node.name!r} exists already: choose another name")
        self.arrays[node.name] = node
        return node

    def nodes(self, name: str, shape: tuple[int, ...], **options: Any) -> NodeArray:
        """Add `NodeArray(name, shape, **options)`; see there for the options and their units."""
        return self.add_nodes(NodeArray(name, shape, **options))

    def clamp(self, name: str, shape: tuple[int, ...], **options: Any) -> NodeArray:
        """Add an input: nodes whose voltage the run prescribes."""
        return self.add_nodes(NodeArray(name, shape, clamped=True, **options))

    def add(self, term: Term) -> Term:
        """Add a term; the arrays it names must exist and its result must fit the target."""
        checks.made("term", term, Term, "derive its class from dsmachine.circuits.cells.Term (docs/howto/own-cell.md)")
        for member in ("name", "target"):
            if not isinstance(getattr(term, member, None), str) or not is_dataclass(term):
                kind = type(term).__name__
                raise Error(f"cell of class {kind} lacks {member}: make it a dataclass with name and target first")
        if checks.name("name of a term", term.name) in self.terms:
            raise Error(f"term {term.name!r} exists already: choose another name")
        for name in (term.target, *(view.array for view in term.sources)):
            if name not in self.arrays:
                raise Error(f"term {term.name!r} names the array {name!r}, which the circuit lacks: add it first")
        for part in fields(term):  # type: ignore[arg-type]
            value = getattr(term, part.name)
            if isinstance(value, float | int | np.ndarray):
                checks.values(f"{part.name} of term {term.name!r}", value)
        if self.arrays[term.target].clamped:
            raise Error(
                f"term {term.name!r} drives {term.target!r}, which is clamped: drive a free array, or unclamp it"
            )
        self._check_shape(term)
        self.terms[term.name] = term
        return term

    def _check_shape(self, term: Term) -> None:
        probe = {v.array: np.zeros((0, *self.arrays[v.array].shape), np.float32) for v in term.sources}
        target = self.arrays[term.target].shape
        try:
            found = np.shape(term.drive(probe))
        except (ValueError, TypeError, IndexError) as problem:
            raise Error(f"term {term.name!r} does not fit {term.target!r} of shape {target}: {problem}") from None
        try:
            np.broadcast_to(np.empty(found, bool), (0, *target))
        except ValueError:
            raise Error(
                f"term {term.name!r} does not fit {term.target!r} of shape {target}: it drives {found[1:]}"
            ) from None

    def couple(
        self,
        name: str,
        source: str | View,
        target: str,
        weight: Array,
        *,
        device_card: DeviceCard | None = None,
        **options: Any,
    ) -> Term:
        """Couplings of logical weight w (G = g·w·U_target/U_source); a matrix is dense, else one per node.

        device_card: of the transistors that they are built of; None: linear ones.
        """
        if not hasattr(weight, "dtype"):
            checks.values(f"weight of term {name!r}", weight, "give numbers")
        linear = coupling(name, source, target, weight, **options)
        if device_card is None:
            return self.add(linear)
        for array in (target, linear.source.array):
            if array not in self.arrays:
                return self.add(linear)  # which says what is missing
        return self.add(of_transistors(linear, self, device_card))

    def multiply(self, name: str, a: str | View, b: str | View, target: str, spec: str, gain: Array = 1.0) -> Term:
        """Products: contraction `spec` of two arrays, "pd,pd->p"; `a` drives the control ports."""
        if target not in self.arrays:
            raise Error(f"term {name!r} names the array {target!r}, which the circuit lacks: add it first")
        return self.add(product(name, a, b, target, spec, self.arrays[target].shape, gain))

    def bias(self, name: str, target: str, value: Array, *, programmable: bool = True) -> Term:
        """A constant drive (logical units) into each node."""
        drive = checks.values(f"value of term {name!r}", value).astype(float)
        return self.add(Source(name, target, drive, programmable))

    def tanh(self, name: str, source: str | View, target: str, gain: float = 1.0, **options: Any) -> Term:
        """A tanh pair a node; options as `TanhPair`."""
        return self.add(TanhPair(name, target, as_view(source), gain=gain, **options))

    def rectify(self, name: str, source: str | View, target: str, gain: float = 1.0, **options: Any) -> Term:
        """A rectifier a node; options as `Rectifier`."""
        return self.add(Rectifier(name, target, as_view(source), gain=gain, **options))

    def softmax(
        self,
        name: str,
        source: str | View,
        target: str,
        *,
        exists: Array | None = None,
        gain: float = 1.0,
        tail_current: float = 5e-6,
        junction_capacitance: float = 0.0,
        **options: Any,
    ) -> Term:
        """A softmax unit along the last axis; options as `Softmax`. junction_capacitance C_j [F] of each branch gives
        it an array of tails, `{name}.tail`, whose pole is N C_j nV_T / I_T; 0: tails follow at once."""
        options |= {"exists": exists, "gain": gain, "tail_current": tail_current}
        pair = Softmax(name, target, as_view(source), **options)
        checks.number(
            f"junction_capacitance of term {name!r}", junction_capacitance, "give farads, 0 (no pole) or more", least=0
        )
        if junction_capacitance == 0:
            return self.add(pair)
        if target not in self.arrays or pair.source.array not in self.arrays:
            return self.add(pair)  # which says what is missing
        tail = self.add_nodes(tails(self, pair, junction_capacitance))
        pair = replace(pair, tail=View(tail.name)).resting(self)
        self.add(TailDrive(tail.name, tail.name, pair))
        return self.add(pair)

    # --- copies ---------------------------------------------------------------------------------------

    def clamped(self, *names: str) -> Circuit:
        """A copy in which the run holds these arrays, as it does an input: what drives them does nothing meanwhile.

        `unclamped` lets them go, with terms, feedback and offset as they were.
        """
        return self._held(names, True)

    def unclamped(self, *names: str) -> Circuit:
        """A copy in which these arrays follow their own equation, inputs too; `initial=` says from where."""
        return self._held(names, False)

    def _held(self, names: Iterable[str], clamped: bool) -> Circuit:
        return self.with_terms((), [replace(self.arrays[name], clamped=clamped) for name in names])

    def with_terms(self, terms: Iterable[Term], arrays: Iterable[NodeArray] = ()) -> Self:
        """A copy in which terms and arrays of the same names are replaced."""
        return replace(
            self,
            arrays=self.arrays | {node.name: node for node in arrays},
            terms=self.terms | {term.name: term for term in terms},
        )

    # --- reading --------------------------------------------------------------------------------------

    def units(self, name: str) -> Array:
        """Volts per logical unit of each node of an array, in its shape."""
        node = self.arrays[name]
        return np.broadcast_to(np.asarray(node.unit, float), node.shape)

    def full_scale(self, name: str) -> Array:
        """Full scale of each node in logical units, in the array's shape."""
        node = self.arrays[name]
        return np.broadcast_to(np.asarray(node.full_scale, float), node.shape) / self.units(name)

    def inputs(self) -> list[NodeArray]:
        """The clamped arrays."""
        return [node for node in self.arrays.values() if node.clamped]

    def into(self, name: str) -> list[Term]:
        """Terms that drive an array."""
        return [term for term in self.terms.values() if term.target == name]

    def conveyed_load(self, name: str) -> Array:
        """Static ΣG [S] at the conveyor's input of each node of an array; 0.0 without cells there."""
        return sum((term.loading(self)[0] for term in self.into(name) if term.conveyed), start=0.0)

    def standing_load(self, name: str) -> Array:
        """Static ΣG [S] straight on each node's capacitor, of passive cells; 0.0 without any."""
        return sum((term.loading(self)[1] for term in self.into(name) if not term.conveyed), start=0.0)

    def needs(self, name: str) -> set[str]:
        """Arrays whose voltages an array's equation contains, itself only if it does."""
        return self.all_needs()[name]

    def node_count(self) -> int:
        """Nodes that exist, inputs included."""
        return sum(node.count for node in self.arrays.values())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, {counted(self.node_count(), 'node')} in "
            f"{counted(len(self.arrays), 'array')}, {counted(len(self.terms), 'term')})"
        )

    def order(self) -> list[tuple[str, ...]]:
        """Free arrays in feed-forward order; arrays on a common cycle share a tuple."""
        return self.ordered(self.all_needs())

    def all_needs(self) -> dict[str, set[str]]:
        """`needs` of every array, in one pass over the terms."""
        found: dict[str, set[str]] = {name: set() for name in self.arrays}
        for term in self.terms.values():
            found[term.target].update(view.array for view in term.sources)
        for name, node in self.arrays.items():
            if node.feedback is not None and node.feedback.control != name:
                found[name].add(node.feedback.control)
        return found

    def ordered(self, needs: dict[str, set[str]]) -> list[tuple[str, ...]]:
        """`order`, by what `all_needs` found."""
        free = [name for name, node in self.arrays.items() if not node.clamped]
        return sorted_components(free, {name: [n for n in needs[name] if not self.arrays[n].clamped] for name in free})


def sorted_components(names: list[str], edges: dict[str, list[str]]) -> list[tuple[str, ...]]:
    """Strongly connected components in topological order (edges: name -> names it needs)."""
    try:
        return [(name,) for name in TopologicalSorter({n: set(edges[n]) - {n} for n in names}).static_order()]
    except CycleError:
        pass
    index = {name: k for k, name in enumerate(names)}
    rows = [index[n] for n in names for _ in edges[n]]
    cols = [index[m] for n in names for m in edges[n]]
    graph = coo_array((np.ones(len(rows)), (rows, cols)), shape=(len(names), len(names)))
    _, label = connected_components(graph, directed=True, connection="strong")
    members: dict[int, list[str]] = {}
    for name in names:
        members.setdefault(int(label[index[name]]), []).append(name)
    needs = {c: {int(label[index[m]]) for n in group for m in edges[n]} - {c} for c, group in members.items()}
    return [tuple(members[c]) for c in TopologicalSorter(needs).static_order()]
