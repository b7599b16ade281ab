"""What a conveyor or buffer of transistors does, as ngspice finds it (the circuits: `circuits/cells/mos/follower.py`).

Each number follows from one analysis of the circuit alone, at the common mode:

    r_x = dV(x)/di(x), current gain d(i(w) − i(z))/di(x), offsets V(x) − V_CM and what is left      .dc of a current
    output conductance and capacitance of z and w                                                  .ac of their voltage
    bandwidth: where the copy has fallen by 3 dB; delay −φ/ω at 100 MHz                            .ac of a current
    output resistance of a buffer: what a conductance L takes of its gain                          .ac of its input
    inductance: what a conductance L at x adds to the delay, times 1/L + r_x                       .ac of both
    noise: i(w) − i(z) as 4kT (G + R (αL)²) at 10 MHz, with nothing and with L at x; i(w) alone    .noise
    poles of these, and which noise is behind which (`conveyor_loops.py`)                          .ac and .noise
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.cells.mos import follower
from ..circuits.cells.mos.design import MADE, Transistors
from ..circuits.cells.mos.rails import KELVIN
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.support import Support
from ..circuits.circuit import BOLTZMANN, Circuit
from ..circuits.devices.card import DeviceCard
from ..circuits.devices.models import ModelCard, load_models
from .characterize import corner_of
from .conveyor_loops import Measured, fit_loop
from .lags import measure_finger
from .ngspice import Engine, Waveforms, run_netlist

Array = Any
WIRE = 20e-15  # F at x
CARD = "give what characterize returns, or load_device of its file"
SMALL = 1e-6  # A either way, for slopes
NOISE_FREQUENCY = 1e7  # Hz
LOADED = 0.5e-3  # S at x, noiseless, while the input's noise and what couplings add to the delays are measured


def measure_support(transistors: Transistors, kind: str, *, engine: Engine = "batch") -> Support:
    """Measure the conveyor and buffer of a class, "A" or "AB", of these transistors."""
    checks.made("transistors", transistors, Transistors, MADE)
    bench = _Bench(transistors, kind, engine)
    swept, both = bench.sweep()
    x, copied = swept["x"].real, (swept["i(vw)"] - swept["i(vz)"]).real
    lines, conveyor = bench.drawn(), bench.drawn(conveyor=True)
    slope = np.polyfit([-SMALL, 0, SMALL], np.stack([x, copied], axis=1), 1)[0]
    frequency, found = bench.response(1, 0, 0)
    passed, volts = found["i(vw)"] - found["i(vz)"], found["x"]
    found = bench.response(0, 1, 0)[1]
    admittance = -(found["i(vw)"] + found["i(vz)"])
    found = bench.response(0, 0, 1)[1]
    followed, taken = found["x2"], -found["i(vy2)"]
    found = bench.response(1, 0, 0, LOADED)[1]
    loaded = found["i(vw)"] - found["i(vz)"], bench.response(0, 0, 1, LOADED)[1]["x2"]
    hertz, alone = bench.spectrum()
    loaded_noise = bench.spectrum(LOADED)[1]
    measured = Measured(float(slope[0]), frequency, passed, volts, hertz, {0.0: alone, LOADED: loaded_noise})
    quiet, loud = (float(np.interp(NOISE_FREQUENCY, hertz, each)) for each in (alone, loaded_noise))
    low = int(np.searchsorted(frequency, 1e8))
    omega = 2 * np.pi * frequency[low]
    delay, behind = (-np.angle(each[low]) / omega for each in (passed, followed))
    more = [-np.angle(each[low]) / omega - bare for each, bare in zip(loaded, (delay, behind), strict=True)]
    per_siemens = 1 / LOADED + float(slope[0])
    return Support(
        kind=kind,
        input_resistance=float(slope[0]),
        current_gain=float(slope[1]),
        offset=float(x[1] - transistors.card.common_mode),
        left_current=float(copied[1]),
        common_current=float((swept["i(vw)"] + swept["i(vz)"]).real[1]),
        output_conductance=float(admittance[0].real),
        output_capacitance=float(admittance[low].imag / omega),
        bandwidth=_corner(frequency, np.abs(passed)),
        delay=float(delay),
        input_inductance=float(more[0] * per_siemens),
        noise_conductance=quiet,
        noise_resistance=(loud - quiet) * (per_siemens / float(slope[1])) ** 2,
        copy_noise=bench.noise(ends="w"),
        loop=fit_loop(measured, driven=follower.drives_sinks(kind)),
        buffer_gain=float(np.abs(followed[0])),
        buffer_resistance=float(np.abs(followed[0]) / np.abs(loaded[1][0]) - 1) / LOADED,
        buffer_bandwidth=_corner(frequency, np.abs(followed)),
        buffer_delay=float(behind),
        buffer_inductance=float(more[1] * per_siemens),
        buffer_capacitance=float(taken[low].imag / omega),
        buffer_offset=float(swept["x2"].real[1] - transistors.card.common_mode),
        conveyor_current=conveyor - lines,
        buffer_current=both - conveyor,
        conveyor_slope=bench.slope(bench.conveyor, "Ix x 0"),
        buffer_slope=bench.slope(bench.buffer, "Ix x2 0"),
    )


def transistors_of(
    card: DeviceCard, models: ModelCard | None = None, *, pair: DeviceCard | None = None, conveyor: str = "ideal"
) -> Transistors:
    """Transistors of a device card and its corner, for netlists of level device; conveyors of a class and feedback
    devices are measured.

    models: those that the card was measured of; the bundled ones if not given. pair: as for `Transistors`.

    Raises Error for an unknown class, cards that do not go together, or where ngspice is missing.
    """
    checks.made("card", card, DeviceCard, CARD)
    if pair is not None:
        checks.made("pair", pair, DeviceCard, CARD)
    if models is not None:
        checks.made("models", models, ModelCard, "give what load_models returns")
    corner = card.origin.corner
    shift, mobility = (0.0, 1.0) if corner == "TT" else corner_of(card.origin.technology, corner)
    found = Transistors(
        models or load_models(), card, pair, conveyor=conveyor, buffer=conveyor, threshold=shift, mobility=mobility
    )
    found = replace(found, finger_capacitance=measure_finger(found, "batch"))
    return found if conveyor == "ideal" else replace(found, support=measure_support(found, conveyor))


def support_noise(transistors: Transistors, frequency: float, engine: Engine = "batch") -> float:
    """G [S] whose 4kT·G is the density of what the transistors' class of conveyor delivers at a frequency [Hz]."""
    return _Bench(transistors, transistors.conveyor, engine).noise(frequency=frequency)


class _Bench:
    """A conveyor from x to z and a buffer from y2 to x2, with everything that they need."""

    def __init__(self, transistors: Transistors, kind: str, engine: Engine) -> None:
        sheet = DeviceSheet(Circuit("support", transistors.card.temperature), {}, transistors=transistors)
        follower.define(sheet, kind)
        self.engine, self.temperature = engine, transistors.card.temperature
        middle = transistors.card.common_mode
        self.middle = middle
        cells = "\n".join(sheet.subcircuits.values())
        name = kind.lower()
        self.rails = "\n".join([
            f"conveyor and buffer of class {kind}", transistors.models.text, *sheet.supplies(), cells,
            f".options temp={transistors.card.temperature - KELVIN:.9g}",
        ])  # fmt: skip
        self.conveyor = [f"X1 vcm x z w conveyor_{name}", f"Cx x 0 {WIRE:g}"]
        self.buffer = [f"X2 y2 x2 buffer_{name}", f"C2 x2 0 {WIRE:g}"]

    def run(self, *lines: str) -> Waveforms:
        return run_netlist("\n".join([self.rails, *lines, ".end", ""]), engine=self.engine)

    def drawn(self, *, conveyor: bool = False) -> float:
        """What the bias lines draw [A], with a conveyor if asked for."""
        more = [*self.conveyor, f"Vz z 0 {self.middle}", f"Vw w 0 {self.middle}"] if conveyor else []
        found = self.run(*more, ".op", ".save i(vvdd)", ".print op i(vvdd)")
        return float(-found["i(vvdd)"].real[0])

    def sweep(self) -> tuple[Waveforms, float]:
        """What there is for −SMALL, 0, SMALL into x, and what all draws."""
        found = self.run(
            *self.conveyor, *self.buffer, f"Vz z 0 {self.middle}", f"Vw w 0 {self.middle}",
            f"Vy2 y2 0 {self.middle}", "Ix 0 x 0",
            f".dc Ix {-SMALL:g} {SMALL:g} {SMALL:g}", ".save v(x) v(x2) i(vz) i(vw) i(vvdd)", ".print dc v(x)",
        )  # fmt: skip
        return found, float(-found["i(vvdd)"].real[1])

    def slope(self, cell: list[str], pull: str) -> float:
        """What the supply delivers more for each ampere drawn from x."""
        found = self.run(
            *cell, f"Vz z 0 {self.middle}", f"Vw w 0 {self.middle}", f"Vy2 y2 0 {self.middle}", f"{pull} 0",
            f".dc Ix {-SMALL:g} {SMALL:g} {2 * SMALL:g}", ".save i(vvdd)", ".print dc i(vvdd)",
        )  # fmt: skip
        drawn = -found["i(vvdd)"].real
        return float(drawn[1] - drawn[0]) / (2 * SMALL)

    def response(self, into: int, out: int, follow: int, load: float = 0.0) -> tuple[Array, Waveforms]:
        """(frequencies, response) to 1 A into x, 1 V at z and w, or 1 V at the buffer's input; load [S]: at x and at
        the buffer's output."""
        found = self.run(
            *self.conveyor, *self.buffer, f"Vz z 0 {self.middle} ac {out}", f"Vw w 0 {self.middle} ac {out}",
            f"Vy2 y2 0 {self.middle} ac {follow}", f"Ix 0 x 0 ac {into}", f"Vmid mid 0 {self.middle}",
            f"Gx x mid x mid {load:g}", f"Gx2 x2 mid x2 mid {load:g}", ".ac dec 20 1e6 1e11",
            ".save v(x) v(x2) i(vz) i(vw) i(vy2)", ".print ac v(x2)",
        )  # fmt: skip
        return found.axis, found

    def noise(self, load: float = 0.0, ends: str = "wz", frequency: float = NOISE_FREQUENCY) -> float:
        """G [S] whose 4kT·G is the density of i(w) − i(z), or of i(w) alone, with a conductance at x."""
        return float(np.interp(frequency, *self.spectrum(load, ends, (frequency / 10, frequency * 10), 2)))

    def spectrum(
        self, load: float = 0.0, ends: str = "wz", band: tuple[float, float] = (1e6, 1e10), each: int = 20,
        more: Sequence[str] = (),
    ) -> tuple[Array, Array]:  # fmt: skip
        """(frequencies, `each` a decade of a band [Hz]; G [S] there); more: elements beside the conveyor."""
        found = self.run(
            *self.conveyor, *more, f"Vmid mid 0 {self.middle}", "Vz z mid 0", "Vw w mid 0", "Ix 0 x 0 ac 1",
            f"Gx x mid x mid {load:g}", *(f"F{end} {'0 out' if end == 'w' else 'out 0'} V{end} 1" for end in ends),
            "Rout out 0 1 noisy=0",
            f".noise v(out) Ix dec {each} {band[0]:g} {band[1]:g}", ".print noise onoise_spectrum",
        )  # fmt: skip
        return np.asarray(found.axis), found["onoise_spectrum"].real ** 2 / (4 * BOLTZMANN * self.temperature)


def _corner(frequency: Array, response: Array) -> float:
    """Frequency at which a response has fallen to 1/√2 of its first value."""
    below = response < response[0] / np.sqrt(2)
    return float(frequency[int(np.argmax(below))]) if below.any() else float(frequency[-1])
