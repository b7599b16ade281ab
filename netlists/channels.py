"""Noise of the channels in transfer cells, as ngspice finds it (the circuits: `circuits/cells/mos/mirror.py`, …).

A cell's own devices at the common mode, driven by an ideal current; what comes out, as the G of a density 4kT·G:

    branch     one branch device and its mirrors, its source standing still          G_b(I) + 2 G_p(I)
    source     volts at its source by the current drawn there                        1 / G_s(I), its pole
    mirrors    what is pushed out 2 G_p(I), what is pulled κ² 2 G_p + (1 + κ²) G_n   at ratio 1, κ the turned gain
    rectifier  half the difference of what its mirrors push and pull                 G_r(I)
    sink       the tail current, with what the bias line adds                        share of 2qI, capacitance

Each G(I) is fitted by the law of `circuits/cells/channel.py`; poles are delays far under them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from ..circuits import checks
from ..circuits.cells.channel import Channel, Channels
from ..circuits.cells.mos.design import MADE, Transistors
from ..circuits.cells.mos.mirror import mirrored
from ..circuits.cells.mos.product import REACH
from ..circuits.cells.mos.rails import BIAS, BIAS_N, DECOUPLED, KELVIN
from ..circuits.cells.mos.rectifier import MIRROR as RECTIFIER
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.softmax import CENTRE, DESIGN_CURRENT, LENGTH, WIDTH
from ..circuits.cells.transistor_units import square_of
from ..circuits.circuit import BOLTZMANN, Circuit
from ..circuits.devices.card import DeviceCard
from .lags import measure_ends
from .ngspice import Engine, run_netlist

Array = Any
AMPERES = DESIGN_CURRENT * np.geomspace(0.03, 1, 6)
FREQUENCY = 1e4  # Hz: far under every pole, and there is no 1/f noise in the law
SLOW = 1e6  # Hz, under the poles of mirrors
TAU = 1.5e-9  # s, of a bare node, which what a bias line's decoupling leaves of its noise is weighed by


def measure_channels(transistors: Transistors, *, engine: Engine = "batch") -> Channels:
    """Measure the noise of products' and transfer cells' transistors, for `with_channels`.

    Raises Error where ngspice is missing or rejects the model cards.
    """
    checks.made("transistors", transistors, Transistors, MADE)
    bench, pair, centre = _Bench(transistors, engine), transistors.pair_card, transistors.quad_bias
    pushed, pulled = (bench.densities(partial(bench.mirrors, end=end)) for end in "pn")
    (straight,), (turned,) = (bench.passed(partial(bench.mirrors, end=end), "i(Vout)") for end in "pn")
    kept = float(np.mean(turned.gain))
    (source,) = bench.passed(bench.source, "v(t)")
    diode, copies = bench.passed(bench.rectifier, "i(Vn)", "i(Vout)")
    fitted = partial(_fitted, bench.thermal_voltage)
    rectifier = fitted(bench.densities(bench.rectifier))
    return Channels(
        branch=fitted(bench.densities(bench.branch) - pushed).wide(1 / DESIGN_CURRENT),
        source=replace(fitted(1 / source.gain), capacitance=float(np.mean(source.late / source.gain))).wide(
            1 / DESIGN_CURRENT
        ),
        p=_with_pole(fitted(pushed / 2), bench.thermal_voltage, straight.late),
        n=_with_pole(
            fitted((pulled - kept**2 * pushed) / (1 + kept**2)), bench.thermal_voltage, turned.late - straight.late
        ),
        rectifier=_with_pole(rectifier, bench.thermal_voltage, diode.late),
        turner=_with_pole(rectifier, bench.thermal_voltage, 2 * (copies.late - diode.late)),
        tail=bench.weighed(*bench.sink()) * 2 * bench.thermal_voltage / DESIGN_CURRENT,
        sink=bench.capacitance(*bench.sink()) / DESIGN_CURRENT,
        difference=float(pair.conductance(centre + REACH / 2) - pair.conductance(centre - REACH / 2)),
        standing=float(2 * pair.conductance(centre)),
        turned=kept,
        doubled=float(np.mean(copies.gain)),
        overdrive=_overdrive(pair),
        conveyor=0.0 if transistors.support is None else transistors.support.copy_noise,
        loop=None if transistors.support is None else transistors.support.loop,
        ends=measure_ends(transistors, engine),
    )


def _fitted(thermal_voltage: float, siemens: Array) -> Channel:
    """The law of a channel through G [S] at AMPERES."""

    def off(x: Array) -> Array:
        return np.log(Channel(*np.exp(x)).siemens(AMPERES, thermal_voltage) / siemens)

    factor, current = np.exp(least_squares(off, np.log([1.0, DESIGN_CURRENT])).x)
    return Channel(float(factor), float(current))


def _with_pole(channel: Channel, thermal_voltage: float, late: Array) -> Channel:
    """With the capacitance that makes it so late [s] at AMPERES: C′ = C + Q √(1 + 4 I/I_s), relative least squares."""
    farads = late * channel.siemens(AMPERES, thermal_voltage)
    columns = np.stack([np.ones_like(AMPERES), channel.bend(AMPERES)], axis=1)
    fixed, charge = np.linalg.lstsq(columns / farads[:, None], np.ones_like(farads), rcond=None)[0]
    return replace(channel, capacitance=float(fixed), charge=float(charge))


def _overdrive(pair: DeviceCard) -> float:
    """V_ov [V] of the transistor of a pair with its gate at the reach: f(u) = g (u − u²/2V_ov), so G = g/2 of the pair
    and e = −g v²/(8 V_ov) of its even part."""
    if pair.even is None or not pair.even.rank:
        return np.inf
    return float(-pair.conductance(pair.reach) / (4 * square_of(pair.even, np.asarray(pair.reach))))


class Passed(NamedTuple):
    """How much of a current is passed on (or volts [Ω] made of it), how late [s] far under the poles, by AMPERES."""

    gain: Array
    late: Array


class _Bench:
    def __init__(self, transistors: Transistors, engine: Engine) -> None:
        circuit = Circuit("channels", transistors.card.temperature)
        sheet = DeviceSheet(circuit, {}, transistors=transistors)
        self.transistors, self.engine = transistors, engine
        self.thermal_voltage, self.unit = circuit.thermal_voltage, 4 * BOLTZMANN * circuit.temperature
        self.middle = transistors.card.common_mode
        self.rails = [
            "noise of channels", transistors.models.text, *sheet.supplies(),
            f".options temp={transistors.card.temperature - KELVIN:.9g}",
        ]  # fmt: skip

    def densities(self, circuit: Callable[[float], list[str]]) -> Array:
        """`density` at AMPERES."""
        return np.array([self.density(*circuit(amperes)) for amperes in AMPERES])

    def passed(self, circuit: Callable[[float], list[str]], *probes: str) -> list[Passed]:
        """What becomes of Iin at each probe, at AMPERES."""
        responses = np.array([self._responses(probes, circuit(amperes)) for amperes in AMPERES])
        return [Passed(np.abs(found), -(found.imag / found.real) / (2 * np.pi * SLOW)) for found in responses.T]

    def density(self, *lines: str) -> float:
        """G [S] whose 4kT·G the current of Vout has."""
        cards = ["Hout out 0 Vout 1", f".noise v(out) Iin dec 1 {FREQUENCY:g} {10 * FREQUENCY:g}"]
        text = "\n".join([*self.rails, *lines, *cards, ".print noise onoise_spectrum", ".end", ""])
        found = run_netlist(text, engine=self.engine)["onoise_spectrum"].real[0]
        return float(found) ** 2 / self.unit

    def weighed(self, *lines: str) -> float:
        """As `density`, of white noise that makes as much of the current of a lag of `TAU`: ∫S/(1 + ω²τ²) df =
        S_white/4τ."""
        cards = ["Hout out 0 Vout 1", ".noise v(out) Iin dec 10 1e4 1e11", ".print noise onoise_spectrum", ".end", ""]
        found = run_netlist("\n".join([*self.rails, *lines, *cards]), engine=self.engine)
        passed = found["onoise_spectrum"].real ** 2 / (1 + (2 * np.pi * found.axis * TAU) ** 2)
        return float(4 * TAU * np.trapezoid(passed, found.axis)) / self.unit

    def capacitance(self, *lines: str) -> float:
        """C [F] of what Vout holds, where 1 V moves it."""
        return abs(self._responses(["i(Vout)"], lines)[0].imag) / (2 * np.pi * SLOW)

    def _responses(self, probes: Sequence[str], lines: Sequence[str]) -> list[complex]:
        asked = " ".join(probes)
        cards = [f".ac lin 1 {SLOW:g} {SLOW:g}", f".save {asked}", f".print ac {asked}", ".end", ""]
        found = run_netlist("\n".join([*self.rails, *lines, *cards]), engine=self.engine)
        return [complex(found["t" if probe == "v(t)" else probe.lower()][0]) for probe in probes]

    def _devices(self, devices: dict[str, tuple[Any, ...]]) -> list[str]:
        return [self.transistors.transistor(name, *device) for name, device in devices.items()]

    def branch(self, amperes: float) -> list[str]:
        """A branch device and its mirrors, of ratio 1; its source stands where an ideal loop keeps the current."""
        pairs = {"1": ("d g t", "n", WIDTH, LENGTH), "2": ("e g u", "n", WIDTH, LENGTH)}
        loop = [f"Vg g 0 {CENTRE}", "Ee e 0 d 0 1", f"Iin u 0 {amperes:.9g} ac 1", "Cu u 0 1", "Et t 0 u 0 1"]
        return [*self._devices(pairs), *self._mirrors("p"), *loop]

    def source(self, amperes: float) -> list[str]:
        """A branch whose current is drawn at its source t."""
        pair = {"1": ("d g t", "n", WIDTH, LENGTH)}
        return [*self._devices(pair), *self._mirrors("p"), f"Vg g 0 {CENTRE}", f"Iin t 0 {amperes:.9g} ac 1"]

    def mirrors(self, amperes: float, end: str) -> list[str]:
        """Output mirrors of ratio 1; Vout carries what leaves at one end."""
        return [*self._mirrors(end), f"Iin d 0 {amperes:.9g} ac 1"]

    def rectifier(self, amperes: float) -> list[str]:
        """Mirrors of a rectifier; Vout carries half the difference of both ends, Vn what is pulled."""
        ends = ["Vp p mid 0", "Vn n mid 0", f"Vmid mid 0 {self.middle}", "Fp 0 half Vp 0.5", "Fn half 0 Vn 0.5"]
        return [*self._devices(RECTIFIER), *ends, "Vout half 0 0", f"Iin 0 d {amperes:.9g} ac 1"]

    def _mirrors(self, end: str) -> list[str]:
        other = "n" if end == "p" else "p"
        hold = [f"Vmid mid 0 {self.middle}", f"Vout {end} mid 0", f"Vother {other} mid 0"]
        return [*self._devices(mirrored("d", "p", "n", 1.0)), *hold]

    def sink(self) -> list[str]:
        """The tail's sink at its design current, and its decoupled bias line."""
        sink = self._devices({"s": ("t bn 0", "n", BIAS_N[0] * DESIGN_CURRENT / BIAS, BIAS_N[1])})
        return [*sink, DECOUPLED["bn"], f"Vmid mid 0 {self.middle} ac 1", "Vout mid t 0", "Iin 0 t 0 ac 1"]
