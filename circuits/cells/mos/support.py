"""Conveyors and buffers in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..conveyor_loop import ConveyorLoop

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Support:
    """State of a conveyor and a buffer of one class, as measured (`netlists/supports.py`), at the common mode.

    input_resistance r_x [Ω]; current_gain c of the copies, i(w) − i(z) to i(x); offset of x [V], left_current [A] in
    that difference at rest, common_current [A] in i(w) + i(z) (a node's two conveyors have all three alike: common
    mode); output_conductance [S],
    output_capacitance [F] of z and w together, which a node's side has; bandwidth [Hz] and delay [s] of the copies,
    at low frequency; input_inductance ℓ [H]: with L at x the copies are late by ℓL/(1 + r_x L) more;
    noise_conductance G [S] and noise_resistance R [Ω]: 4kT·(G + R (αL)²) is the density of i(w) − i(z) with a
    conductance L at x, α = c/(1 + r_x L), far under the poles of its `loop`; copy_noise [S] that of i(w) alone;
    buffer_gain b and buffer_resistance r_b [Ω]: x follows by b/(1 + r_b L); buffer_bandwidth [Hz], buffer_delay [s],
    buffer_inductance [H] of its output, buffer_capacitance [F] of its input; conveyor_current, buffer_current [A] that
    one of each draws from the supply at rest; buffer_offset [V] of what it holds; conveyor_slope, buffer_slope: what it
    draws more for each ampere out of x.
    """

    kind: str
    input_resistance: float
    current_gain: float
    offset: float
    left_current: float
    common_current: float
    output_conductance: float
    output_capacitance: float
    bandwidth: float
    delay: float
    input_inductance: float
    noise_conductance: float
    noise_resistance: float
    copy_noise: float
    loop: ConveyorLoop
    buffer_gain: float
    buffer_resistance: float
    buffer_bandwidth: float
    buffer_delay: float
    buffer_inductance: float
    buffer_capacitance: float
    buffer_offset: float
    conveyor_current: float
    buffer_current: float
    conveyor_slope: float
    buffer_slope: float

    def plot(self) -> Figure:
        """Its conveyor over frequency; see `pictures.plot_support`."""
        from ..pictures import plot_support

        return plot_support(self)

    def overrides(self) -> dict[str, float]:
        """What a technology says of a node's conveyors and buffers, two of each: for `load_technology(overrides=)`.

        In the node's differential quantities: of i(xp) and i(xn) half the difference counts, so G_n is half of one
        conveyor's, and with 2L at each input r_x, r_b, ℓ and R_n are twice. Their bias is all that they draw.
        """
        return {
            "conveyor.bias_current": 2 * self.conveyor_current,
            "conveyor.mirror_copies": 0.0,
            "conveyor.input_resistance": 2 * self.input_resistance,
            "conveyor.current_gain": self.current_gain,
            "conveyor.noise_conductance": self.noise_conductance / 2,
            "conveyor.noise_resistance": max(0.0, 2 * (self.noise_resistance - self.input_resistance)),
            "conveyor.common_mode": self.conveyor_slope,
            "conveyor.delay": self.delay,
            "conveyor.inductance": 2 * self.input_inductance,
            "buffer.common_mode": self.buffer_slope,
            "buffer.gain": self.buffer_gain,
            "buffer.output_resistance": 2 * self.buffer_resistance,
            "buffer.delay": self.buffer_delay,
            "buffer.inductance": 2 * self.buffer_inductance,
            "buffer.bias_current": 2 * self.buffer_current,
            "buffer.class_b_factor": 0.0,
        }
