"""What a machine's periphery is built as: converters of so many bits, output stages of class A or AB.

An output stage is what a buffer or a conveyor delivers its current with:

    AB   a small bias, and from the supply each ampere as it flows
    A    the largest current that may be asked of it, at the rails of all nodes, flows from the supply all along

Weights of b bits may droop by half a step, ΔV ∝ 2^−b, and cost a DAC of b bits each time they are written, E ∝ 2^b.

A language model's answer is at its last position: "last" converts that one's outputs; "all" those of every position,
as who scores a text wants; "none" is what stays on the chip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..circuits import checks
from ..circuits.cells.hold import leakage
from ..circuits.errors import Error, shown
from ..circuits.technology import Technology
from ..circuits.units import engineering

CLASSES = ("AB", "A")
READS = ("all", "last", "none")
HOLDS = ("plain", "low-leakage")


@dataclass(frozen=True)
class Design:
    """technology: with switches and converters of these bits; output_class: "AB" or "A"; dac_bits, adc_bits,
    weight_bits: of what writes inputs, reads outputs and writes weights; read: the outputs of "all" positions, of the
    "last" or of "none"; weight_hold: the switches behind which weights are kept, "plain" or "low-leakage"."""

    technology: Technology
    output_class: str
    dac_bits: float
    adc_bits: float
    weight_bits: float
    read: str
    weight_hold: str

    @classmethod
    def of(
        cls,
        technology: Technology,
        output_class: str,
        dac_bits: int | None,
        adc_bits: int | None,
        weight_bits: int | None,
        read: str,
        weight_hold: str,
    ) -> Design:
        """The technology with other bits than its own (None: those). Raises Error for an unknown choice."""
        for name, value, known in (
            ("output_class", output_class, CLASSES),
            ("read", read, READS),
            ("weight_hold", weight_hold, HOLDS),
        ):
            if not checks.among(value, known):
                raise Error(f"{name} {shown(value)} is unknown: use {' or '.join(map(repr, known))}")
        for name, bits in (("dac_bits", dac_bits), ("adc_bits", adc_bits), ("weight_bits", weight_bits)):
            if bits is not None:
                checks.number(name, bits, "give bits, 1 … 32", least=1, most=32)
        own = technology.converter.bits
        converter = technology.converter.of_bits(dac_bits, adc_bits)
        switch = technology.switch.of_bits(own if weight_bits is None else weight_bits, own)
        switch = replace(switch, off_current=leakage(technology, weight_hold))
        dac, adc, weight = (own if of is None else of for of in (dac_bits, adc_bits, weight_bits))
        tech = replace(technology, converter=converter, switch=switch)
        return cls(tech, output_class, dac, adc, weight, read, weight_hold)

    def assumptions(self, weights: int, least_resistance: float, outputs: str) -> tuple[str, ...]:
        """What the account takes for granted, in words. least_resistance [Ω]: of all conveyors; outputs: which are
        read, in words."""
        conveyor, converter, switch = self.technology.conveyor, self.technology.converter, self.technology.switch
        ohms, least = (engineering(value, "Ω") for value in (conveyor.input_resistance, least_resistance))
        steps = (converter.dac_energy / 2**self.dac_bits, converter.adc_energy / 2**self.adc_bits)
        dac, adc = (engineering(step, "J") for step in steps)
        said = [
            f"buffers and conveyors of class {self.output_class}",
            f"ideal conveyors have r_x of {ohms}, or what holds their gain to {conveyor.gain_error:.2g}, least {least}",
            outputs,
            f"DACs of {self.dac_bits:g} bits at {dac} a step, ADCs of {self.adc_bits:g} bits at {adc} a step",
        ]
        if weights:
            cost, interval = engineering(switch.refresh_energy, "J"), engineering(switch.refresh_interval, "s")
            said.append(
                f"{weights:,} weights of {self.weight_bits:g} bits behind {self.weight_hold} switches, rewritten at "
                f"{cost} every {interval}"
            )
        return tuple(said)
