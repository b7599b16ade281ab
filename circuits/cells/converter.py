"""Converters: what a DAC can write and an ADC can tell apart, `bits` over a range of ±R.

    q(v) = clip(Δ round(v/Δ) + offset, ±R),        Δ = 2R / (2^bits − 2)

Mid-tread and symmetric, as a sign and a magnitude: 0 is a level, both ends are, one code of 2^bits is spare. The error
of what stays inside is uniform in ±Δ/2, so its variance is Δ²/12.
Ranges:

    inputs, read-out   the rail of each node (its full scale where it has none)
    weights            the largest |G| of the row, which sets the scale of the row's units
    biases             the largest current of the array

Converters act on what is held: they have no part in a node's equation, no noise and no power of their own here. Joules
and seconds of a conversion are the technology's (`technology_parts.Converter`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks

if TYPE_CHECKING:
    from ..circuit import Circuit

Array = Any
LEAST_BITS, MOST_BITS = 2, 24


@dataclass(frozen=True)
class Converter:
    """An ideal uniform quantiser. bits: 2 … 24; offset: added to every level, in the unit of what is converted.

    name: what an error calls it.
    """

    bits: int
    offset: Array = 0.0
    name: str = "bits"

    def __post_init__(self) -> None:
        fix = f"use a whole number, {LEAST_BITS} … {MOST_BITS}, or None (exact)"
        checks.whole(self.name, self.bits, LEAST_BITS, MOST_BITS, fix)
        checks.values(f"offset of a converter of {self.bits} bits", self.offset)

    def step(self, reach: Array) -> Array:
        """Δ for a range of ±reach."""
        return 2 * np.asarray(reach, float) / (2**self.bits - 2)

    def __call__(self, v: Array, reach: Array) -> Array:
        """q(v), for a range of ±reach (broadcastable); 0 where reach is 0."""
        step = self.step(reach)
        levels = np.round(np.asarray(v, float) / np.where(step > 0, step, 1.0))
        return np.clip(levels * step + self.offset, -np.asarray(reach, float), reach)

    def nodes(self, circuit: Circuit, array: str, x: Array) -> Array:
        """Logical values (…, *shape) of an array's nodes as converted; the offset is in volts."""
        node, unit = circuit.arrays[array], circuit.units(array)
        reach = node.full_scale if node.rail is None else node.rail
        return self(np.asarray(x, float) * unit, reach) / unit


def converter(name: str, bits: int | None) -> Converter | None:
    """The converter of so many bits; None for none. Raises Error for bits outside 2 … 24."""
    return None if bits is None else Converter(bits, name=name)
