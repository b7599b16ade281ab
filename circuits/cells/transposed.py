"""Couplings read the other way round: the part of a crossbar in the adjoint circuit (`adjoint.py`).

    forward  I_i = Σ_j G_ij v_j        adjoint  I_j = Σ_i G_ij v_i

A crossbar is a resistor between each row and each column, so its transpose needs no devices of its own: the drivers
move to the rows, and conveyors hold the columns. `Transposed` are such couplings: the forward devices with whatever
error they have, held and refreshed there. Passive couplings are read into conveyors too; what they load their own
node with is in the decay of its adjoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .coupling import Coupling

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread


@dataclass(frozen=True)
class Transposed(Coupling):
    """Couplings whose devices are those of another crossbar."""

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Transposed:
        return self

    def weights(self, circuit: Circuit) -> int:
        return 0

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return 0.0

    @property
    def label(self) -> str:
        return f"{self.kind}, transposed"
