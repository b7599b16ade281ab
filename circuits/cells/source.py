"""Source: a current from a bias DAC into each node of an array (the paper's bias vector b).

    I_i = g_i U_i s_i            constant in time; noise, loading and mismatch of the DAC are not modelled

Time-dependent inputs are clamped node arrays (`NodeArray(clamped=True)`), whose voltage the run prescribes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..arrays import real
from .gradient import summed
from .mos.rails import INPUTS
from .power import Meter
from .programming import Programming
from .siemens import Siemens
from .spice import elements
from .term import Array, Signals, Term, View

if TYPE_CHECKING:
    from ..backward import Backward
    from ..circuit import Circuit
    from .converter import Converter
    from .mismatch import Draw, Spread
    from .mos.sheet import DeviceSheet
    from .spice import Sheet


@dataclass(frozen=True)
class Source(Term):
    """Constant drive `value` (logical units, broadcastable to the target's shape); programmable as couplings are."""

    name: str
    target: str
    value: Array
    programmable: bool = True
    kind: ClassVar[str] = "source"

    def __post_init__(self) -> None:
        value = real(self.value)
        object.__setattr__(self, "value", np.asarray(value) if isinstance(value, float) else value)

    @property
    def sources(self) -> tuple[View, ...]:
        return ()

    def drive(self, x: Signals) -> Array:
        return self.value

    def jvp(self, x: Signals, dx: Signals) -> Array:
        return 0.0

    def adjoint(self, back: Backward) -> None:
        """Nothing: it reads nothing."""

    def gradient(self, x: Signals, a: Array) -> Array | None:
        return summed(a, np.shape(self.value)) if self.programmable else None

    def noise(self, circuit: Circuit) -> Siemens:
        return Siemens()

    def meter(self, circuit: Circuit) -> Meter:
        node = circuit.arrays[self.target]
        amperes = float(np.sum(np.abs(node.conductance * circuit.units(self.target) * np.asarray(self.value))))
        return Meter(standing=amperes)

    def spice(self, sheet: Sheet) -> list[str]:
        current = sheet.amperes(self.target) * np.asarray(self.value)
        keep = sheet.present(self.target) & (current != 0)
        return elements(sheet.prefix("I"), "0 %s %.12g", keep, sheet.ports(self.target), current)

    def spice_device(self, sheet: DeviceSheet) -> list[str]:
        """Ideal currents of the bias DAC, into one conveyor and out of the other."""
        current = np.broadcast_to(sheet.amperes(self.target) * np.asarray(self.value), sheet.names[self.target].shape)
        keep, names = sheet.present(self.target) & (current != 0), sheet.names[self.target]
        lines = elements(sheet.prefix("I"), "0 %s %.12g", keep, names + INPUTS[0], current)
        return lines + elements(sheet.prefix("I"), "%s 0 %.12g", keep, names + INPUTS[1], current)

    def quantized(self, circuit: Circuit, dac: Converter) -> Source:
        """Currents on the levels of a DAC whose range is the array's largest; units of the last position."""
        if not self.programmable:
            return self
        value, unit = np.asarray(self.value, float), self._unit(circuit)
        reach = np.max(np.abs(value * unit))
        return replace(self, value=dac(value * unit, reach) / unit)

    def programming(self, circuit: Circuit, spread: Spread, draw: Draw, largest: float) -> Programming | None:
        """Its range: what takes a node to its rail, or the array's largest current if that is more."""
        if not self.programmable:
            return None
        value, unit, rail = np.asarray(self.value, float), self._unit(circuit), circuit.arrays[self.target].rail
        most = np.inf if rail is None else max(rail, float(np.max(np.abs(value * unit))))
        return Programming("value", value, reach=np.broadcast_to(most / unit, value.shape))

    def _unit(self, circuit: Circuit) -> Array:
        """Volts per unit of the value's nodes, those of the last position where positions share it."""
        unit = circuit.units(self.target)
        return unit.reshape(-1, unit.shape[-1])[-1] if np.ndim(self.value) < unit.ndim else unit

    def count(self, circuit: Circuit) -> int:
        return circuit.arrays[self.target].count

    @property
    def label(self) -> str:
        return self.kind if self.programmable else f"{self.kind}, fixed"

    def weights(self, circuit: Circuit) -> int:
        return self.count(circuit) if self.programmable else 0
