"""Keys and values of earlier tokens on hold capacitors: one bank of `positions` rows for keys, one for values a layer.

In a `serial` machine one set of couplings serves every token. What a token's keys (values) are read from is a row of
followers,

    τ dy_j/dt = x_j + n_j k − y_j        x_j: held by the capacitor of row j,  n_j: select line of the row written now

so the present token writes its own row through n, a switch whose gate the line drives, and reads the others; its own
capacitor holds nothing yet.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells import View
from .builder import Builder

Array = Any
SELECT = "select"  # one line a row, shared by all banks
HELD, BANK, WRITE = "_held", "_bank", ".write"  # suffixes: capacitors, followers, the switch of the row written now


def banked(b: Builder, name: str, view: View) -> View:
    """The bank (positions, …) of what the one token of a serial machine shows in `view` (1, …)."""
    held, bank = name + HELD, name + BANK
    spread = _spread(b, view)
    for array, clamped in ((held, True), (bank, False)):
        b.nodes(array, spread.shape, spread=spread, clamped=clamped, stored=clamped)
    b.each(f"{bank}.read", held, bank, 1.0)
    own = "igtd" if spread.ndim == 4 else "igd"
    b.circuit.multiply(bank + WRITE, SELECT, view, bank, f"j,{own}->j{own}")
    return View(bank)


def select_lines(b: Builder) -> None:
    """Digital lines, 1 at the row that is written now and 0 elsewhere."""
    b.nodes(SELECT, (b.keys,), spread=np.ones(b.keys), clamped=True, stored=True)


def _spread(b: Builder, view: View) -> Array:
    """Range of each row of a bank: the first token's own, the others' theirs."""
    array = b.circuit.arrays[view.array]
    width = int(np.prod(array.shape[1:]))
    rows = b.all_ranges.spread(view.array, (b.keys, width)).reshape(b.keys, *array.shape[1:])
    return np.asarray(view.of(rows[None])[0])
