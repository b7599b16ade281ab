"""Common ground of the transfer cells: one viewed array in, one array out, a current f(v) into each target node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .term import Array, Meter, Signals, Term, View

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
        amperes = self.tail_current * self.count(circuit)

        def read(x: Signals) -> tuple[Array, Array]:
            leading = len(x[self.source.array])
            return np.zeros(leading), np.full(leading, amperes)

        return read

    def count(self, circuit: Circuit) -> int:
        node = circuit.arrays[self.target]
        return int(np.prod(node.shape)) if node.exists is None else int(np.count_nonzero(node.exists))
