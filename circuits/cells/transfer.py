"""Common ground of the transfer cells: one viewed array in, one array out, a current f(v) into each target node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .power import Meter
from .term import Array, Signals, Term, View

if TYPE_CHECKING:
    from ..circuit import Circuit


@dataclass(frozen=True)
class Transfer(Term):
    """A cell with one input array. Subclasses state the law `f` and its derivative `slope`, both by element."""

    name: str
    target: str
    source: View
    tail_current: float = 5e-6

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.source,)

    def f(self, x: Array) -> Array:
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        raise NotImplementedError

    def drive(self, x: Signals) -> Array:
        return self.f(self.source.of(x[self.source.array]))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        moved = dx.get(self.source.array)
        return 0.0 if moved is None else self.slope(self.source.of(x[self.source.array])) * self.source.of(moved)

    def meter(self, circuit: Circuit) -> Meter:
        """Output current into a virtual ground: no heat in the cell's own elements; the tail is drawn always."""
        return Meter(standing=self.tail_current * self.count(circuit))

    def count(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].count
