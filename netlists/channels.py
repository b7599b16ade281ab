"""Noise of the channels in transfer cells, as ngspice finds it (the circuits: `circuits/cells/mos/mirror.py`, …).

A cell's own devices at the common mode, driven by an ideal current; what comes out, as the G of a density 4kT·G:

    branch     one branch device and its mirrors, its source standing still          G_b(I) + 2 G_p(I)
    mirrors    what is pushed out 2 G_p(I), what is pulled 2 G_p(I) + 2 G_n(I)       at ratio 1
    rectifier  half the difference of what its mirrors push and pull                 G_r(I)
    sink       the tail current, with what the bias line adds                        share of 2qI

Each G(I) is fitted by the law of `circuits/cells/channel.py`; poles are delays of the mirrors far under them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import least_squares

from ..circuits.cells.channel import Channel, Channels
from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.mirror import mirrored
from ..circuits.cells.mos.product import REACH
from ..circuits.cells.mos.rails import BIAS, BIAS_N, DECOUPLED, KELVIN
from ..circuits.cells.mos.rectifier import MIRROR as RECTIFIER
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.softmax import CENTRE, DESIGN_CURRENT, LENGTH, WIDTH
from ..circuits.circuit import BOLTZMANN, Circuit
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
    bench = _Bench(transistors, engine)
    pair, centre = transistors.pair_card, transistors.quad_bias
    p, both = (np.array([bench.mirrors(i, end) for i in AMPERES]) for end in "pn")
    branch = _fitted(np.array([bench.branch(i) for i in AMPERES]) - p, bench.thermal_voltage)
    straight, turned = (np.array([bench.late(*bench.driven(i, end)) for i in AMPERES]) for end in "pn")
    return Channels(
        branch=Channel(branch.factor, branch.current / DESIGN_CURRENT),
        p=_fitted(p / 2, bench.thermal_voltage, straight),
        n=_fitted((both - p) / 2, bench.thermal_voltage, turned - straight),
        rectifier=_fitted(
            np.array([bench.rectifier(i) for i in AMPERES]),
            bench.thermal_voltage,
            np.array([bench.late(*bench.rectifiers(i)) for i in AMPERES]),
        ),
        tail=bench.sink() * 2 * bench.thermal_voltage / DESIGN_CURRENT,
        difference=float(pair.conductance(centre + REACH / 2) - pair.conductance(centre - REACH / 2)),
        standing=float(2 * pair.conductance(centre)),
        conveyor=0.0 if transistors.support is None else transistors.support.copy_noise,
    )


def _fitted(siemens: Array, thermal_voltage: float, delay: Array = 0.0) -> Channel:
    def off(x: Array) -> Array:
        return np.log(Channel(*np.exp(x)).siemens(AMPERES, thermal_voltage) / siemens)

    factor, current = np.exp(least_squares(off, np.log([1.0, DESIGN_CURRENT])).x)
    return Channel(float(factor), float(current), float(np.mean(delay * siemens)))


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

    def _density(self, *lines: str) -> float:
        """G [S] whose 4kT·G the current of Vout has."""
        cards = ["Hout out 0 Vout 1", f".noise v(out) Iin dec 1 {FREQUENCY:g} {10 * FREQUENCY:g}"]
        text = "\n".join([*self.rails, *lines, *cards, ".print noise onoise_spectrum", ".end", ""])
        found = run_netlist(text, engine=self.engine)["onoise_spectrum"].real[0]
        return float(found) ** 2 / self.unit

    def _devices(self, devices: dict[str, tuple[Any, ...]]) -> list[str]:
        return [self.transistors.transistor(name, *device) for name, device in devices.items()]

    def branch(self, amperes: float) -> float:
        """A branch device and its mirrors, of ratio 1; its source stands where an ideal loop keeps the current."""
        pairs = {"1": ("d g t", "n", WIDTH, LENGTH), "2": ("e g u", "n", WIDTH, LENGTH)}
        loop = [f"Vg g 0 {CENTRE}", "Ee e 0 d 0 1", f"Iin u 0 {amperes:.9g} ac 1", "Cu u 0 1", "Et t 0 u 0 1"]
        return self._density(*self._devices(pairs), *self._mirrors("p"), *loop)

    def mirrors(self, amperes: float, end: str) -> float:
        """What leaves output mirrors of ratio 1 at one end."""
        return self._density(*self.driven(amperes, end))

    def driven(self, amperes: float, end: str) -> list[str]:
        """Those mirrors."""
        return [*self._mirrors(end), f"Iin d 0 {amperes:.9g} ac 1"]

    def rectifier(self, amperes: float) -> float:
        """Mirrors of a rectifier; Vout carries half the difference of both ends."""
        return self._density(*self.rectifiers(amperes))

    def rectifiers(self, amperes: float) -> list[str]:
        """Those mirrors."""
        ends = ["Vp p mid 0", "Vn n mid 0", f"Vmid mid 0 {self.middle}", "Fp 0 half Vp 0.5", "Fn half 0 Vn 0.5"]
        return [*self._devices(RECTIFIER), *ends, "Vout half 0 0", f"Iin 0 d {amperes:.9g} ac 1"]

    def late(self, *lines: str) -> float:
        """Seconds by which the current of Vout is late, far under the poles."""
        cards = [f".ac lin 1 {SLOW:g} {SLOW:g}", ".save i(Vout)", ".print ac i(Vout)", ".end", ""]
        text = "\n".join([*self.rails, *lines, *cards])
        found = run_netlist(text, engine=self.engine)["i(vout)"][0]
        return float(-(found.imag / found.real) / (2 * np.pi * SLOW))

    def _mirrors(self, end: str) -> list[str]:
        other = "n" if end == "p" else "p"
        hold = [f"Vmid mid 0 {self.middle}", f"Vout {end} mid 0", f"Vother {other} mid 0"]
        return [*self._devices(mirrored("d", "p", "n", 1.0)), *hold]

    def sink(self) -> float:
        """The tail's sink at its design current and its decoupled bias line, as white noise that makes as much of the
        current of a lag of `TAU`: ∫S/(1 + ω²τ²) df = S_white/4τ."""
        sink = self._devices({"s": ("t bn 0", "n", BIAS_N[0] * DESIGN_CURRENT / BIAS, BIAS_N[1])})
        hold = [f"Vmid mid 0 {self.middle}", "Vout mid t 0", "Iin 0 t 0 ac 1", "Hout out 0 Vout 1"]
        cards = [".noise v(out) Iin dec 10 1e4 1e11", ".print noise onoise_spectrum", ".end", ""]
        found = run_netlist("\n".join([*self.rails, *sink, DECOUPLED["bn"], *hold, *cards]), engine=self.engine)
        passed = found["onoise_spectrum"].real ** 2 / (1 + (2 * np.pi * found.axis * TAU) ** 2)
        return float(4 * TAU * np.trapezoid(passed, found.axis)) / self.unit
