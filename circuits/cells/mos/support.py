"""Conveyors and buffers in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Support:
    """State of a conveyor and a buffer of one class, as measured (`netlists/supports.py`), at the common mode.

    input_resistance r_x [Ω]; current_gain of the copy; offset of x [V]; left_current [A] in z at rest (both on either
    side of a node alike, so common mode); output_conductance [S], output_capacitance [F] of z; bandwidth [Hz];
    noise_conductance [S]: 4kT·G is the density of z's current; buffer_gain, buffer_bandwidth [Hz],
    buffer_capacitance [F] of its input; supply_current [A] of a conveyor, a buffer and the bias lines.
    """

    kind: str
    input_resistance: float
    current_gain: float
    offset: float
    left_current: float
    output_conductance: float
    output_capacitance: float
    bandwidth: float
    noise_conductance: float
    buffer_gain: float
    buffer_bandwidth: float
    buffer_capacitance: float
    supply_current: float
