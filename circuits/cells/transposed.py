"""Couplings read the other way round: the part of a crossbar in the adjoint circuit (`adjoint.py`).

    forward  I_i = Σ_j G_ij v_j        adjoint  I_j = Σ_i G_ij v_i

A crossbar is a resistor between each row and each column, so its transpose needs no devices of its own: the drivers
move to the rows, and conveyors hold the columns. `Transposed` are such couplings: the forward devices with whatever
error they have, held and refreshed there. Passive couplings are read into conveyors too; what they load their own
node with is in the decay of its adjoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Error
from .coupling import Coupling
from .power import Meter
from .siemens import Siemens
from .term import Array

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..technology import Technology
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet


@dataclass(frozen=True)
class Transposed(Coupling):
    """Couplings whose devices are those of another crossbar. mirror: k, of the conveyors behind it.

    The devices are G = G*/k of what the adjoint nodes see, G* = g w U*_t/U*_s: heat and drivers' currents are those of
    G, and its noise passes the mirror, 4kT·G k².
    """

    mirror: float = 1.0

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens(self._sums(circuit)[0] * self.mirror)

    def meter(self, circuit: Circuit) -> Meter:
        """Drivers deliver Σ|G| v; the mirrors' other (k − 1) Σ|G| v stay in the conveyor, which the node states."""
        whole = super().meter(circuit)

        def seen(law: Mapping[str, Array]) -> dict[str, Array]:
            return {name: value / self.mirror for name, value in law.items()}

        return Meter(seen(whole.heat), seen(whole.delivered), seen(whole.supply))

    def loading(self, circuit: Circuit) -> tuple[Array, Array]:
        return self._sums(circuit)[0] / self.mirror, 0.0

    def peaks(self, circuit: Circuit) -> Array | None:
        """None: the forward crossbar has its devices already."""
        return None

    def strongest(self, circuit: Circuit) -> float:
        return self.balance(circuit) / self.mirror

    def balance(self, circuit: Circuit) -> float:
        """Largest |G*|."""
        return float((super().peaks(circuit) * circuit.arrays[self.target].present).max())

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        raise Error(f"{self.label} {self.name!r} has no circuit of transistors yet: write level='behavioural'")

    def spice_heat(self, sheet: Sheet, meter: str, scale: float) -> list[str]:
        return super().spice_heat(sheet, meter, scale / self.mirror)

    def fabricate(self, circuit: Circuit, spread: Spread, draw: Draw) -> Transposed:
        return self

    def weights(self, circuit: Circuit) -> int:
        return 0

    def area(self, circuit: Circuit, technology: Technology) -> float:
        return 0.0

    @property
    def label(self) -> str:
        return f"{self.kind}, transposed"
