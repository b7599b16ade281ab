"""What a conveyor or buffer of transistors does, as ngspice finds it (`circuits/cells/mos/follower.py` has the circuits).

Each number follows from one analysis of the circuit alone, at the common mode:

    r_x = dV(x)/di(x), current gain −di(z)/di(x), offset V(x) − V_CM and current left in z          .dc of a current
    output conductance and capacitance of z                                                        .ac of its voltage
    bandwidth: where the copy has fallen by 3 dB                                                   .ac of a current
    noise: the current of z as the conductance G whose 4kT·G it has at 10 MHz                      .noise
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..circuits.cells.mos import follower
from ..circuits.cells.mos.design import Transistors
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.mos.support import Support
from ..circuits.circuit import BOLTZMANN, Circuit
from .ngspice import Engine, run_netlist

Array = Any
WIRE = 20e-15  # F at x
LOAD = 31e3  # ohms at z while noise is measured
SMALL = 1e-6  # A either way, for slopes
NOISE_FREQUENCY = 1e7  # Hz


def measure_support(transistors: Transistors, kind: str, *, engine: Engine = "batch") -> Support:
    """Measure the conveyor and buffer of a class, "A" or "AB", of these transistors."""
    bench = _Bench(transistors, kind, engine)
    x, z, supply = bench.sweep()
    slope = np.polyfit([-SMALL, 0, SMALL], np.stack([x, z], axis=1), 1)[0]
    frequency, copied = bench.response(1, 0, "i(vz)")
    _, admittance = bench.response(0, 1, "i(vz)")
    _, followed = bench.response(0, 0, "v(x2)", 1)
    _, taken = bench.response(0, 0, "i(vy2)", 1)
    low = int(np.searchsorted(frequency, 1e8))
    omega = 2 * np.pi * frequency[low]
    return Support(
        kind=kind,
        input_resistance=float(slope[0]),
        current_gain=float(-slope[1]),
        offset=float(x[1] - transistors.pair.common_mode),
        left_current=float(z[1]),
        output_conductance=float(-admittance[0].real),
        output_capacitance=float(-admittance[low].imag / omega),
        bandwidth=_corner(frequency, np.abs(copied)),
        noise_conductance=bench.noise(),
        buffer_gain=float(np.abs(followed[0])),
        buffer_bandwidth=_corner(frequency, np.abs(followed)),
        buffer_capacitance=float(-taken[low].imag / omega),
        supply_current=supply,
    )


class _Bench:
    """A conveyor from x to z and a buffer from y2 to x2, with everything that they need."""

    def __init__(self, transistors: Transistors, kind: str, engine: Engine) -> None:
        sheet = DeviceSheet(Circuit("support", transistors.temperature), {}, transistors=transistors)
        follower.define(sheet, kind)
        self.engine, self.temperature = engine, transistors.temperature
        middle = transistors.pair.common_mode
        self.middle = middle
        cells = "\n".join(sheet.subcircuits.values())
        name = kind.lower()
        self.head = "\n".join([
            f"conveyor and buffer of class {kind}", transistors.models.text, *sheet.supplies(), cells,
            f".options temp={transistors.temperature - 273.15:.9g}",
            f"X1 vcm x z conveyor_{name}", f"Cx x 0 {WIRE:g}", f"X2 y2 x2 buffer_{name}", f"C2 x2 0 {WIRE:g}",
        ])  # fmt: skip

    def run(self, *lines: str) -> Any:
        return run_netlist("\n".join([self.head, *lines, ".end", ""]), engine=self.engine)

    def sweep(self) -> tuple[Array, Array, float]:
        """V(x), i(z) for −SMALL, 0, SMALL into x, and what all draws."""
        found = self.run(
            f"Vz z 0 {self.middle}", f"Vy2 y2 0 {self.middle}", "Ix 0 x 0",
            f".dc Ix {-SMALL:g} {SMALL:g} {SMALL:g}", ".save v(x) i(vz) i(vvdd)", ".print dc v(x)",
        )  # fmt: skip
        return found["x"].real, found["i(vz)"].real, float(-found["i(vvdd)"].real[1])

    def response(self, into: int, out: int, read: str, follow: int = 0) -> tuple[Array, Array]:
        """(frequencies, response) to 1 A into x, 1 V at z, or 1 V at the buffer's input."""
        found = self.run(
            f"Vz z 0 {self.middle} ac {out}", f"Vy2 y2 0 {self.middle} ac {follow}", f"Ix 0 x 0 ac {into}",
            ".ac dec 20 1e6 1e11", f".save {read}", f".print ac {read}",
        )  # fmt: skip
        return found.axis, found[read.removeprefix("v(").removesuffix(")") if read[0] == "v" else read]

    def noise(self) -> float:
        """G [S] whose 4kT·G is the density of the current out of z, without that of its load."""
        found = self.run(
            f"Vz h 0 {self.middle}", f"Rz h z {LOAD:g}", f"Vy2 y2 0 {self.middle}", "Ix 0 x 0 ac 1",
            f".noise v(z) Ix dec 2 {NOISE_FREQUENCY / 10:g} {NOISE_FREQUENCY * 10:g}", ".print noise onoise_spectrum",
        )  # fmt: skip
        density = float(np.interp(NOISE_FREQUENCY, found.axis, found["onoise_spectrum"].real))
        return (density / LOAD) ** 2 / (4 * BOLTZMANN * self.temperature) - 1 / LOAD


def _corner(frequency: Array, response: Array) -> float:
    """Frequency at which a response has fallen to 1/√2 of its first value."""
    below = response < response[0] / np.sqrt(2)
    return float(frequency[int(np.argmax(below))]) if below.any() else float(frequency[-1])
