"""The sections of a `Technology`: documented numbers in SI units, one class a section of the TOML file.

    name: float = _q(SI unit, least, most)

A number outside of least … most is warned of; one that is a prefix (1,000 times) beyond is refused, since it is no
choice but a slip: 49 F for 49 fF. What may be 0 may be as small as it likes, as differences of measurements are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .errors import Error

PREFIX = 1e3  # how far a number is off whose prefix was forgotten, at least


def _q(unit: str, least: float, most: float, zero: bool = False) -> Any:
    """A quantity in an SI unit, and between what it lies in any process and design that is known or thinkable, in
    orders of magnitude; above zero, or at zero too where `zero`."""
    return field(metadata={"unit": unit, "least": least, "most": most, "zero": zero})


@dataclass(frozen=True)
class Supply:
    """vdd [V]; common_mode [V] about which both terminals of a node move; swing [V]: differential rail of a node;
    headroom: rail over settled range."""

    vdd: float = _q("V", 0.1, 10)
    common_mode: float = _q("V", 0.01, 10)
    swing: float = _q("V", 0.01, 10)
    headroom: float = _q("1", 0.5, 50)

    @property
    def full_scale(self) -> float:
        """Settled range of a node [V]: swing / headroom."""
        return self.swing / self.headroom


@dataclass(frozen=True)
class Device:
    """Of the process: threshold [V], on_conductance [S] of a transistor at full gate drive, mobility_exponent of its
    fall with temperature."""

    threshold: float = _q("V", 0.01, 3)
    on_conductance: float = _q("S", 1e-8, 0.1)
    mobility_exponent: float = _q("1", 0.1, 5, zero=True)


@dataclass(frozen=True)
class Node:
    """capacitance [F] of its own; conductance [S] g of the feedback; feedback_floor g_min/g; area [m²]."""

    capacitance: float = _q("F", 1e-16, 1e-9)
    conductance: float = _q("S", 1e-10, 0.1)
    feedback_floor: float = _q("1", 0.0001, 1, zero=True)
    area: float = _q("m²", 1e-14, 1e-6, zero=True)

    @property
    def time_constant(self) -> float:
        """C/g [s] of a node without wire and gates."""
        return self.capacitance / self.conductance


@dataclass(frozen=True)
class Wire:
    """pitch [m] of couplings along a row and along a column; tile: couplings of a row behind one buffer;
    gate_capacitance [F] of each product unit and buffer that a node drives."""

    pitch: float = _q("m", 1e-8, 0.001)
    tile: float = _q("1", 1, 1e6)
    gate_capacitance: float = _q("F", 1e-18, 1e-11, zero=True)


@dataclass(frozen=True)
class Metal:
    """Layer of a kind of line. resistance [Ω/m] and capacitance [F/m] per length at the layer's least pitch [m], which
    two wires of a differential line need twice per coupling."""

    resistance_per_length: float = _q("Ω/m", 100, 1e9, zero=True)
    capacitance_per_length: float = _q("F/m", 1e-12, 1e-8, zero=True)
    pitch: float = _q("m", 1e-8, 0.001)


@dataclass(frozen=True)
class CouplingUnit:
    """width, length [m] of a transistor of one finger; g_max [S]: largest conductance of a unit, fingers in parallel;
    area [m²]."""

    width: float = _q("m", 1e-8, 0.001)
    length: float = _q("m", 1e-8, 0.001)
    g_max: float = _q("S", 1e-9, 0.1)
    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class ProductUnit:
    """area [m²]."""

    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class SoftmaxUnit:
    """slope_factor n; tail_current [A] of a row; leakage_floor [nats] under the row's maximum, used only when asked
    for; junction_capacitance C_j [F] of a branch on its tail (0: the tail follows at once); area [m²] a branch."""

    slope_factor: float = _q("1", 1, 3)
    tail_current: float = _q("A", 1e-12, 0.01)
    leakage_floor: float = _q("1", 0.1, 100)
    junction_capacitance: float = _q("F", 1e-19, 1e-11, zero=True)
    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class TanhUnit:
    """slope_factor n, which sets the (ideal) divider in front of the pair; tail_current [A]; area [m²]."""

    slope_factor: float = _q("1", 1, 3)
    tail_current: float = _q("A", 1e-12, 0.01)
    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class RectifierUnit:
    """bias_current [A]; area [m²]."""

    bias_current: float = _q("A", 1e-12, 0.01, zero=True)
    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class Buffer:
    """One for each tile of a row that a node drives. bias_current [A] class A; gain, without couplings;
    output_resistance [Ω], which they take a share of it by; conductance [S] that charges the tile's wire;
    class_b_factor: amperes drawn from the supply per ampere delivered to couplings; common_mode: amperes saved per
    ampere of common mode that comes back from them; delay [s] without couplings; inductance [H] of its output, which
    couplings make more delay of; area [m²]."""

    bias_current: float = _q("A", 1e-12, 0.1, zero=True)
    gain: float = _q("1", 0.1, 10)
    output_resistance: float = _q("Ω", 0.001, 1e7, zero=True)
    conductance: float = _q("S", 1e-9, 10)
    class_b_factor: float = _q("1", 0.1, 100, zero=True)
    common_mode: float = _q("1", 1e-6, 100, zero=True)
    delay: float = _q("s", 1e-14, 1e-6, zero=True)
    inductance: float = _q("H", 1e-12, 0.01, zero=True)
    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class Conveyor:
    """Of each node that couplings drive. bias_current [A], for an input_resistance r_x [Ω] (in the equations only when
    asked for); gain_error: most that r_x ΣG may be in a machine of ideal conveyors, whose bias rises as r_x falls;
    mirror_copies: times the current is drawn again; current_gain of what it delivers, noise_conductance G_n [S] of it;
    noise_resistance R_n [Ω] of its input, beside r_x itself; common_mode: amperes drawn per ampere of common mode that
    flows out of both inputs; delay [s] of what it delivers, without couplings; inductance [H] in series with r_x,
    which couplings make more delay of; area [m²]."""

    bias_current: float = _q("A", 1e-12, 0.1, zero=True)
    mirror_copies: float = _q("1", 0.1, 100, zero=True)
    input_resistance: float = _q("Ω", 0.001, 1e7)
    gain_error: float = _q("1", 1e-6, 10)
    current_gain: float = _q("1", 0.1, 10)
    noise_conductance: float = _q("S", 1e-10, 1, zero=True)
    noise_resistance: float = _q("Ω", 0.001, 1e7, zero=True)
    common_mode: float = _q("1", 1e-6, 100, zero=True)
    delay: float = _q("s", 1e-14, 1e-6, zero=True)
    inductance: float = _q("H", 1e-12, 0.01, zero=True)
    area: float = _q("m²", 1e-15, 1e-7, zero=True)


@dataclass(frozen=True)
class Converter:
    """Energy [J] and time [s] of one conversion, area [m²] of one converter, how many share the work; bits that these
    figures are of."""

    dac_energy: float = _q("J", 1e-16, 1e-6, zero=True)
    dac_time: float = _q("s", 1e-12, 0.01)
    dac_area: float = _q("m²", 1e-12, 0.0001, zero=True)
    dac_count: float = _q("1", 1, 1e7)
    adc_energy: float = _q("J", 1e-16, 1e-6, zero=True)
    adc_time: float = _q("s", 1e-12, 0.01)
    adc_area: float = _q("m²", 1e-12, 0.0001, zero=True)
    adc_count: float = _q("1", 1, 1e7)
    bits: float = _q("1", 1, 32)

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

    off_current: float = _q("A", 1e-20, 1e-6, zero=True)
    low_leakage_current: float = _q("A", 1e-20, 1e-6, zero=True)
    leakage_doubling: float = _q("K", 1, 100)
    hold_capacitance: float = _q("F", 1e-16, 1e-9)
    droop: float = _q("V", 1e-7, 1)
    refresh_energy: float = _q("J", 1e-16, 1e-6, zero=True)

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

    power_per_coupling: float = _q("W", 1e-12, 0.01, zero=True)
    scale: float = _q("1", 0.0001, 100)
    step: float = _q("s", 1e-13, 0.01)
    area_per_coupling: float = _q("m²", 1e-14, 1e-6, zero=True)


@dataclass(frozen=True)
class Mismatch:
    """Pelgrom's coefficients of one transistor: threshold_area A_Vt [V·m], beta_area A_β [m] (relative).

    σ(V_t) = A_Vt/√(W L),  σ(β) = A_β/√(W L)     (Pelgrom, Duinmaijer & Welbers, IEEE JSSC 24(5), 1989)

    threshold_gradient [V], beta_gradient: what they rise by from one coupling of an array to the next in the direction
    gradient_angle [rad], 0 along a row.
    """

    threshold_area: float = _q("V·m", 1e-11, 1e-7, zero=True)
    beta_area: float = _q("m", 1e-11, 1e-6, zero=True)
    threshold_gradient: float = _q("V", 1e-9, 0.01, zero=True)
    beta_gradient: float = _q("1", 1e-9, 0.01, zero=True)
    gradient_angle: float = _q("1", 1e-6, 6.3, zero=True)

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

    density: float = _q("V²·m²", 1e-28, 1e-18, zero=True)
    slowest: float = _q("s", 1e-6, 1e10)
    fastest: float = _q("s", 1e-12, 10000)
    conveyor_area: float = _q("m²", 1e-15, 1e-8, zero=True)

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
FIELDS: dict[str, dict[str, Any]] = {"temperature": {"unit": "K", "least": 200.0, "most": 450.0, "zero": False}} | {
    f"{section}.{f.name}": dict(f.metadata) for section, kind in SECTIONS.items() for f in fields(kind)
}
INFORMATION = (  # for people: nothing is computed from these
    "row_wire.pitch",
    "column_wire.pitch",
    "tanh.slope_factor",
    "controller.area_per_coupling",
)
UNITS: dict[str, str] = {key: str(meta["unit"]) for key, meta in FIELDS.items()}


def outside(what: str, key: str, value: float) -> str | None:
    """A warning of a number that is not where such numbers lie. Raises Error for one that cannot be meant."""
    least, most, unit = (FIELDS[key][name] for name in ("least", "most", "unit"))
    if least <= value <= most or value == 0:
        return None
    range_ = f"{least:g} … {most:g}{'' if unit == '1' else f' {unit}'}"
    said = f"{what} is {value:g}{'' if unit == '1' else f' {unit}'}"
    if value > most * PREFIX or (value < least / PREFIX and not FIELDS[key]["zero"]):
        raise Error(f"{said}, far outside of {range_}: check its unit and prefix")
    return f"{said}, outside of {range_} where such numbers lie: check its unit and prefix"
