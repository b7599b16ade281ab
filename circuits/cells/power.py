"""What a cell costs, in a form that a meter can integrate cheaply (DESIGN §6).

    heat(t)      = Σ_a Σ_n H_an x_an²  + rest        W, in the cell's own elements
    delivered(t) = Σ_a Σ_n D_an x_an²  + rest        W, handed over by the driving nodes at their own voltages
    supply(t)    = Σ_a Σ_n A_an |x_an| + standing + rest        A, drawn from the rails
    common(t)    = Σ_a Σ_n M_an x_an²                          A, common mode of both sides, from conveyors into drivers

a: arrays the cell reads, n: their nodes, x: logical values. The sums over nodes are left to the meter: with ∫x² and
∫|x| of each node, which all cells on an array share, a cell costs one dot product a *run*. Only what is not of this
form (`rest`: products of two arrays, feedback that another node drives) is evaluated at every point.

Terms and node units state their law in this one form; whoever weighs a circuit (`energy`, and the heat that a
netlist is checked against) takes it from `parts`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ..circuit import Circuit
    from .node import NodeArray
    from .term import Term, View

Array = Any
Signals = Mapping[str, Array]


class Power(NamedTuple):
    """heat [W], delivered [W], supply [A] of a cell at K points, (K,) each."""

    heat: Array
    delivered: Array
    supply: Array


@dataclass(frozen=True)
class Costs:
    """What a node's flows (`Law`) cost.

    cuda: statements that set `watts` and `amperes` from y, c, the node's `own` number and `least`. heat, supply, own:
    one number, or one a node in y's shape without K.
    """

    cuda: str
    heat: Array
    supply: Array
    share: float = 0.0
    own: Array = 0.0
    least: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of y without K."""
        return np.broadcast_shapes(*(np.shape(of) for of in (self.heat, self.supply, self.own)))


class Law(ABC):
    """What is not of the first form, node by node: a dataclass whose `flows` at the nodes y, given c, are weighed.

    heat = Σ heat·watts,    delivered = share · heat,    supply = Σ supply·amperes
    """

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """Names of the arrays it needs."""

    @abstractmethod
    def pair(self, x: Signals) -> tuple[Array, Array]:
        """Signals y (K, …) and c, broadcastable to it."""

    @abstractmethod
    def flows(self, y: Array, c: Array) -> tuple[Array, Array]:
        """(amperes, watts) of each node, (K, …)."""

    @property
    @abstractmethod
    def costs(self) -> Costs:
        """The same in CUDA, and the weights."""

    def __call__(self, x: Signals) -> Power:
        """At points (K, *shape): (K,) each."""
        costs = self.costs
        amperes, watts = (of.reshape(len(of), -1) for of in self.flows(*self.pair(x)))
        heat = _weighed(watts, costs.heat)
        return Power(heat, costs.share * heat, _weighed(amperes, costs.supply))


class Driven(Law):
    """Law of nodes y that drive what pulls at them: amperes |c y|, watts |c| y²."""

    CUDA: ClassVar[str] = "amperes = fabs(c * y); watts = amperes * fabs(y);"

    @property
    @abstractmethod
    def nodes(self) -> View:
        """y."""

    @abstractmethod
    def pull(self, x: Signals) -> Array:
        """c (K, …), broadcastable to y."""

    @property
    def alone(self) -> bool:
        """Whether c is y."""
        return False

    def pair(self, x: Signals) -> tuple[Array, Array]:
        return self.nodes.of(x[self.nodes.array]), self.pull(x)

    def flows(self, y: Array, c: Array) -> tuple[Array, Array]:
        amperes = np.abs(np.multiply(y, c, order="C"))
        return amperes, amperes * np.abs(y)


@dataclass(frozen=True)
class Meter:
    """The power law of one cell, everything that does not change in a run worked out.

    heat, delivered [W per x²], supply [A per |x|], common [A per x²]: arrays by array name, each in that array's shape.
    standing [A]. rest: a `Law`, or None. load [S]: ΣG at the input of each target node's conveyor.
    """

    heat: Mapping[str, Array] = field(default_factory=dict)
    delivered: Mapping[str, Array] = field(default_factory=dict)
    supply: Mapping[str, Array] = field(default_factory=dict)
    common: Mapping[str, Array] = field(default_factory=dict)
    standing: float = 0.0
    rest: Law | None = None
    load: Array = 0.0

    def __call__(self, x: Signals) -> Power:
        """The cell's power at each of K points, (K,); a plain number where no array has a part in it."""
        heat = _dot(self.heat, x, np.square)
        delivered = _dot(self.delivered, x, np.square)
        supply = _dot(self.supply, x, np.abs) + self.standing
        if self.rest is None:
            return Power(heat, delivered, supply)
        more = self.rest(x)
        return Power(heat + more.heat, delivered + more.delivered, supply + more.supply)


def _weighed(flat: Array, weight: Array) -> Array:
    """Σ over nodes (K,) of values (K, N) by a weight of each, or one for all."""
    return flat.sum(axis=1) * weight if np.ndim(weight) == 0 else flat @ weight.reshape(-1)


def parts(circuit: Circuit) -> dict[str, Term | NodeArray]:
    """Name of each part that has a power law -> its cell: every term that drives a free array, and `feedback of ARRAY`
    of every free array. What drives an array that the run holds does nothing meanwhile."""
    free = {name: node for name, node in circuit.arrays.items() if not node.clamped}
    terms: dict[str, Term | NodeArray] = {n: term for n, term in circuit.terms.items() if term.target in free}
    return terms | {feedback_of(name): node for name, node in free.items()}


def feedback_of(array: str) -> str:
    """What the feedback of an array is called among the parts."""
    return f"feedback of {array}"


def _dot(weights: Mapping[str, Array], x: Signals, of: Callable[[Array], Array]) -> Array:
    total: Array = 0.0
    for name, weight in weights.items():
        values = x[name]
        total = total + of(values).reshape(len(values), -1) @ weight.reshape(-1)
    return total


def scatter(circuit: Circuit, view: View, values: Array) -> Array:
    """Values of the viewed nodes, put where they belong in an array of the whole array's shape (0 elsewhere)."""
    whole = np.zeros((1, *circuit.arrays[view.array].shape))
    part = view.of(whole)
    part[...] = np.broadcast_to(values, part.shape[1:]) if np.ndim(values) == 0 else np.reshape(values, part.shape)
    return whole[0]


def added(a: Mapping[str, Array], b: Mapping[str, Array]) -> dict[str, Array]:
    """Sum of two sets of arrays by name."""
    return dict(a) | {name: a[name] + value if name in a else value for name, value in b.items()}
