"""Cell card: what a simulator measured of a cell that is not one transistor's law, as a curve over its ideal one.

    y = Σ_k c_k t^k          t: the ideal law, y: the measured one, both as shares of what the cell is made for

tanh       t = tanh x, y = I/I_T at x logical units, odd in t: smooth, and flat where the pair has switched
rectifier  t: current into its mirror over `largest`, y: what leaves it over 4 · `largest`, t >= 0
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import Error
from .lag import Lag

Array = Any
CELLS = {"tanh": (1, 3, 5, 7, 9), "rectifier": (1, 2, 3, 4, 5)}
"""Powers k of t, cell by cell."""


@dataclass(frozen=True)
class CellCard:
    """cell: "tanh" or "rectifier"; ideal (n,) t and measured (n,) y as found; coefficients c_k (degree + 1,), lowest
    power first; error: largest |residual| as a share of the largest |y|; largest [A]: t = 1; lag: of a tanh
    pair's mirrors.

    Raises Error for numbers that make no card: a curve with holes, or one that does not rise.
    """

    cell: str
    ideal: Array = field(repr=False)
    measured: Array = field(repr=False)
    coefficients: Array = field(repr=False)
    error: float
    largest: float
    lag: Lag | None = None

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise Error(f"cell {self.cell!r} is unknown: take {' or '.join(CELLS)}")
        t, y = np.asarray(self.ideal, float), np.asarray(self.measured, float)
        if t.ndim != 1 or t.shape != y.shape or t.size < 8 or not (np.isfinite(t).all() and np.isfinite(y).all()):
            raise Error(f"curve of the {self.cell} has holes or fewer than 8 points: characterize again")
        if np.shape(self.coefficients) != (1 + CELLS[self.cell][-1],) or not np.isfinite(self.coefficients).all():
            raise Error(f"coefficients of the {self.cell} have shape {np.shape(self.coefficients)}: characterize again")
        if (np.diff(self.value(np.linspace(t.min(), t.max(), 200))) <= 0).any():
            raise Error(f"the {self.cell} does not rise with its input: look at the model card")

    def value(self, t: Array) -> Array:
        """y(t)."""
        return np.polynomial.polynomial.polyval(t, self.coefficients)

    @property
    def polynomial(self) -> tuple[float, ...]:
        """c_k."""
        return tuple(float(c) for c in self.coefficients)


def cell_card(cell: str, ideal: Array, measured: Array, largest: float, lag: Lag | None = None) -> CellCard:
    """The card of a curve, in least squares; every second point is only checked."""
    powers, found = np.array(CELLS[cell]), np.zeros(1 + CELLS[cell][-1])
    columns = np.asarray(ideal)[:, None] ** powers
    found[powers] = np.linalg.lstsq(columns[::2], measured[::2], rcond=None)[0]
    missed = float(np.abs(columns @ found[powers] - measured).max() / np.abs(measured).max())
    return CellCard(cell, ideal, measured, found, missed, largest, lag)
