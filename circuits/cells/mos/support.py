"""Conveyors and buffers in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Support:
    """State of a conveyor and a buffer of one class, as measured (`netlists/supports.py`), at the common mode.

    input_resistance r_x [Ω]; current_gain of the copies, i(w) − i(z) to i(x); offset of x [V], left_current [A] in that
    difference at rest (a node's two conveyors have both alike: common mode); output_conductance [S],
    output_capacitance [F] of z and w together, which a node's side has; bandwidth [Hz] of the copies;
    noise_conductance [S]: 4kT·G is the density of i(w) − i(z), and a node has two conveyors that each add half of
    it to its current; buffer_gain,
    buffer_bandwidth [Hz], buffer_capacitance [F] of its input; conveyor_current, buffer_current [A] that one of each
    draws from the supply at rest.
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
    conveyor_current: float
    buffer_current: float
