"""The sections of a `Technology`: documented numbers in SI units, one class a section of the TOML file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any


def _q(unit: str, zero: bool = False) -> Any:
    """A quantity in an SI unit; above zero, or at zero too where `zero`."""
    return field(metadata={"unit": unit, "zero": zero})


@dataclass(frozen=True)
class Supply:
    """vdd [V]; common_mode [V] about which both terminals of a node move; swing [V]: differential rail of a node;
    headroom: rail over settled range."""

    vdd: float = _q("V")
    common_mode: float = _q("V")
    swing: float = _q("V")
    headroom: float = _q("1")

    @property
    def full_scale(self) -> float:
        """Settled range of a node [V]: swing / headroom."""
        return self.swing / self.headroom


@dataclass(frozen=True)
class Device:
    """Of the process: threshold [V], on_conductance [S] of a transistor at full gate drive, mobility_exponent of its
    fall with temperature."""

    threshold: float = _q("V")
    on_conductance: float = _q("S")
    mobility_exponent: float = _q("1", zero=True)


@dataclass(frozen=True)
class Node:
    """capacitance [F] of its own; conductance [S] g of the feedback; feedback_floor g_min/g; area [m²]."""

    capacitance: float = _q("F")
    conductance: float = _q("S")
    feedback_floor: float = _q("1", zero=True)
    area: float = _q("m²", zero=True)

    @property
    def time_constant(self) -> float:
        """C/g [s] of a node without wire and gates."""
        return self.capacitance / self.conductance


@dataclass(frozen=True)
class Wire:
    """pitch [m] of couplings along a row and along a column; tile: couplings of a row behind one buffer;
    gate_capacitance [F] of each product unit and buffer that a node drives."""

    pitch: float = _q("m")
    tile: float = _q("1")
    gate_capacitance: float = _q("F", zero=True)


@dataclass(frozen=True)
class Metal:
    """Layer of a kind of line. resistance [Ω/m] and capacitance [F/m] per length at the layer's least pitch [m], which
    two wires of a differential line need twice per coupling."""

    resistance_per_length: float = _q("Ω/m", zero=True)
    capacitance_per_length: float = _q("F/m", zero=True)
    pitch: float = _q("m")


@dataclass(frozen=True)
class CouplingUnit:
    """width, length [m] of a transistor of one finger; g_max [S]: largest conductance of a unit, fingers in parallel;
    area [m²]."""

    width: float = _q("m")
    length: float = _q("m")
    g_max: float = _q("S")
    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class ProductUnit:
    """area [m²]."""

    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class SoftmaxUnit:
    """slope_factor n; tail_current [A] of a row; leakage_floor [nats] under the row's maximum, used only when asked
    for; junction_capacitance C_j [F] of a branch on its tail (0: the tail follows at once); area [m²] a branch."""

    slope_factor: float = _q("1")
    tail_current: float = _q("A")
    leakage_floor: float = _q("1")
    junction_capacitance: float = _q("F", zero=True)
    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class TanhUnit:
    """slope_factor n, which sets the (ideal) divider in front of the pair; tail_current [A]; area [m²]."""

    slope_factor: float = _q("1")
    tail_current: float = _q("A")
    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class RectifierUnit:
    """bias_current [A]; area [m²]."""

    bias_current: float = _q("A", zero=True)
    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class Buffer:
    """One for each tile of a row that a node drives. bias_current [A] class A; gain, without couplings;
    output_resistance [Ω], which they take a share of it by; conductance [S] that charges the tile's wire;
    class_b_factor: amperes drawn from the supply per ampere delivered to couplings; common_mode: amperes saved per
    ampere of common mode that comes back from them; delay [s] without couplings; inductance [H] of its output, which
    couplings make more delay of; area [m²]."""

    bias_current: float = _q("A", zero=True)
    gain: float = _q("1")
    output_resistance: float = _q("Ω", zero=True)
    conductance: float = _q("S")
    class_b_factor: float = _q("1", zero=True)
    common_mode: float = _q("1", zero=True)
    delay: float = _q("s", zero=True)
    inductance: float = _q("H", zero=True)
    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class Conveyor:
    """Of each node that couplings drive. bias_current [A], for an input_resistance r_x [Ω] (in the equations only when
    asked for); gain_error: most that r_x ΣG may be in a machine of ideal conveyors, whose bias rises as r_x falls;
    mirror_copies: times the current is drawn again; current_gain of what it delivers, noise_conductance G_n [S] of it;
    noise_resistance R_n [Ω] of its input, beside r_x itself; common_mode: amperes drawn per ampere of common mode that
    flows out of both inputs; delay [s] of what it delivers, without couplings; inductance [H] in series with r_x,
    which couplings make more delay of; area [m²]."""

    bias_current: float = _q("A", zero=True)
    mirror_copies: float = _q("1", zero=True)
    input_resistance: float = _q("Ω")
    gain_error: float = _q("1")
    current_gain: float = _q("1")
    noise_conductance: float = _q("S", zero=True)
    noise_resistance: float = _q("Ω", zero=True)
    common_mode: float = _q("1", zero=True)
    delay: float = _q("s", zero=True)
    inductance: float = _q("H", zero=True)
    area: float = _q("m²", zero=True)


@dataclass(frozen=True)
class Converter:
    """Energy [J] and time [s] of one conversion, area [m²] of one converter, how many share the work; bits that these
    figures are of."""

    dac_energy: float = _q("J", zero=True)
    dac_time: float = _q("s")
    dac_area: float = _q("m²", zero=True)
    dac_count: float = _q("1")
    adc_energy: float = _q("J", zero=True)
    adc_time: float = _q("s")
    adc_area: float = _q("m²", zero=True)
    adc_count: float = _q("1")
    bits: float = _q("1")

    def of_bits(self, dac_bits: int | None, adc_bits: int | None) -> Converter:
        """These converters with other bits (None: as they are), by Walden's figure of merit: energy E = FoM·2^bits.

        A finer converter is a slower one of equal power, t ∝ 2^bits; a coarser one is no faster.
        """
        more = {
            kind: 2.0 ** (bits - self.bits) for kind, bits in (("dac", dac_bits), ("adc", adc_bits)) if bits is not None
        }
        changed = {f"{kind}_energy": getattr(self, f"{kind}_energy") * factor for kind, factor in more.items()}
        changed |= {f"{kind}_time": getattr(self, f"{kind}_time") * max(1.0, factor) for kind, factor in more.items()}
        return replace(self, **changed)


@dataclass(frozen=True)
class Switch:
    """Retention: off_current [A] of the write switch, low_leakage_current [A] of one whose gate is driven under its
    source, leakage_doubling [K], hold_capacitance [F] of a weight, key or value, droop [V] that is allowed to a weight,
    refresh_energy [J] of one weight."""

    off_current: float = _q("A", zero=True)
    low_leakage_current: float = _q("A", zero=True)
    leakage_doubling: float = _q("K")
    hold_capacitance: float = _q("F")
    droop: float = _q("V")
    refresh_energy: float = _q("J", zero=True)

    def of_bits(self, bits: float, own: float) -> Switch:
        """These switches for weights of so many bits, where the figures above are of `own`: half a step of droop."""
        finer = 2.0 ** (bits - own)
        return replace(self, droop=self.droop / finer, refresh_energy=self.refresh_energy * finer)

    @property
    def refresh_interval(self) -> float:
        """Seconds until leakage has moved a weight by `droop`: C·ΔV/I (inf without leakage)."""
        return self.hold_capacitance * self.droop / self.off_current if self.off_current else math.inf


@dataclass(frozen=True)
class Controller:
    """Digital controller. power_per_coupling [W] of a published one, for each weight that is not a copy; scale: of its
    power to this process; step [s]: least one of an evolution. For information: area [m²] per coupling."""

    power_per_coupling: float = _q("W", zero=True)
    scale: float = _q("1")
    step: float = _q("s")
    area_per_coupling: float = _q("m²", zero=True)


@dataclass(frozen=True)
class Mismatch:
    """Pelgrom's coefficients of one transistor: threshold_area A_Vt [V·m], beta_area A_β [m] (relative).

    σ(V_t) = A_Vt/√(W L),  σ(β) = A_β/√(W L)     (Pelgrom, Duinmaijer & Welbers, IEEE JSSC 24(5), 1989)

    threshold_gradient [V], beta_gradient: what they rise by from one coupling of an array to the next in the direction
    gradient_angle [rad], 0 along a row.
    """

    threshold_area: float = _q("V·m", zero=True)
    beta_area: float = _q("m", zero=True)
    threshold_gradient: float = _q("V", zero=True)
    beta_gradient: float = _q("1", zero=True)
    gradient_angle: float = _q("1", zero=True)

    def of(self, area: float) -> tuple[float, float]:
        """(σ of the threshold [V], σ of the current factor, relative) of a transistor of gate area W·L [m²]."""
        return self.threshold_area / math.sqrt(area), self.beta_area / math.sqrt(area)


@dataclass(frozen=True)
class Flicker:
    """1/f noise at the gate of a transistor, S_v = D / (W L f) with D = K_F/C_ox, density [V²·m²].

    While a machine relaxes it stands still, and from run to run it is another voltage. Slower than `slowest` [s], when
    the machine was last trimmed, it was trimmed away; faster than `fastest` [s], a run, it averages out:

        σ² = ∫ S_v df = D/(W L) ln(slowest/fastest) = A_F²/(W L)

    conveyor_area [m²]: gate of the transistor whose voltage is that of a node's two conveyors; 0: ideal conveyors.
    """

    density: float = _q("V²·m²", zero=True)
    slowest: float = _q("s")
    fastest: float = _q("s")
    conveyor_area: float = _q("m²", zero=True)

    @property
    def area(self) -> float:
        """A_F [V·m]."""
        return math.sqrt(self.density * max(math.log(self.slowest / self.fastest), 0.0))


SECTIONS: dict[str, type] = {
    "supply": Supply,
    "device": Device,
    "node": Node,
    "wire": Wire,
    "row_wire": Metal,
    "column_wire": Metal,
    "coupling": CouplingUnit,
    "product": ProductUnit,
    "softmax": SoftmaxUnit,
    "tanh": TanhUnit,
    "rectifier": RectifierUnit,
    "buffer": Buffer,
    "conveyor": Conveyor,
    "converter": Converter,
    "switch": Switch,
    "controller": Controller,
    "mismatch": Mismatch,
    "flicker": Flicker,
}
FIELDS = {"temperature": {"unit": "K", "zero": False}} | {
    f"{section}.{f.name}": dict(f.metadata) for section, kind in SECTIONS.items() for f in fields(kind)
}
INFORMATION = (  # for people: nothing is computed from these
    "row_wire.pitch",
    "column_wire.pitch",
    "tanh.slope_factor",
    "controller.area_per_coupling",
)
UNITS: dict[str, str] = {key: str(meta["unit"]) for key, meta in FIELDS.items()}
