"""Common ground of the transfer cells: one viewed array in, one array out, a current f(v) into each target node.

The output goes into a virtual ground, so no heat arises in a cell's own elements; what it draws from the supply follows
from what it delivers, cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Error
from .siemens import Siemens
from .term import Array, Inline, Signals, Term, View

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit


@dataclass(frozen=True)
class Transfer(Term):
    """A cell with one input array. Subclasses state the law `f` and its derivative `slope`, both by element."""

    name: str
    target: str
    source: View

    @property
    def sources(self) -> tuple[View, ...]:
        return (self.source,)

    def f(self, x: Array) -> Array:
        raise self.lacks("f, its law")

    def slope(self, x: Array) -> Array:
        raise self.lacks("slope, the derivative of f")

    @property
    def inline_slope(self) -> Inline | None:
        """`slope` as `inline` has the law; None for cells that have no law by element."""
        return None

    def drive(self, x: Signals) -> Array:
        return self.f(self.source.of(x[self.source.array]))

    def jvp(self, x: Signals, dx: Signals) -> Array:
        moved = dx.get(self.source.array)
        return 0.0 if moved is None else self.slope(self.source.of(x[self.source.array])) * self.source.of(moved)

    def adjoint(self, back: Backward) -> None:
        """A product of the target's adjoint with f′, which the cell's own `add_slope` makes a voltage."""
        if back.one(self.source) is None:
            return
        slope = back.beside(f"{back.prefix}{self.name}.slope", self.target)
        self.add_slope(back, slope)
        back.times(self, View(slope))

    def add_slope(self, back: Backward, slope: str) -> None:
        """Adds to the adjoint circuit what drives the array `slope`, in the target's shape, to f′ of the input."""
        raise Error(f"{self.label} {self.name!r} has no slope as a cell: use the ideal one")

    def slope_siemens(self, siemens: Array) -> Siemens:
        """ΣG of cells whose devices conduct as the law rises: siemens·|f′|."""
        return Siemens(moving=SlopeSiemens(self, np.asarray(siemens)))

    def full_current(self, circuit: Circuit, gain: Array = 1.0) -> Array:
        """g U |gain| of each target node that exists [A]: what the output mirror delivers for `gain` logical units."""
        node = circuit.arrays[self.target]
        return np.broadcast_to(node.conductance * circuit.units(self.target) * abs(gain) * node.present, node.shape)

    def count(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].count


@dataclass(frozen=True)
class CellSiemens:
    """Moving ΣG (`siemens.py`) of a transfer cell, a law of the one array that the cell reads."""

    cell: Transfer

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.cell.source.array,)

    @property
    def inline(self) -> Inline | None:
        return None


@dataclass(frozen=True)
class SlopeSiemens(CellSiemens):
    """ΣG = siemens·|f′(x)| of a cell."""

    siemens: Array

    @property
    def inline(self) -> Inline | None:
        slope = self.cell.inline_slope
        if slope is None:
            return None
        return replace(slope, law=f"v{len(slope.values)} * fabs({slope.law})", values=(*slope.values, self.siemens))

    def __call__(self, x: Signals) -> Array:
        return self.siemens * abs(self.cell.slope(self.cell.source.of(x[self.cell.source.array])))
