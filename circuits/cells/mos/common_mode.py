"""Common-mode amplifier: holds the mean of a node's sides at V_CM and leaves their difference alone.

    i(p) = i(n) = −g_c c,        c = (V(p) + V(n))/2 − V_CM,   g_c = 54 µS

Two p-channel pairs compare each side with V_CM; what the arms at V_CM carry together is copied as a sink to both
sides, against sources of the same current. An even function of the difference cancels between the pairs. Their gates
draw no current and sources and sinks have little conductance, so that a starved node keeps its floor. Nodes of a driven
feedback need it, since the charge of the gate that is driven goes into both sides: 8 mV at a root, which resistors of
the floor's size would take 75 ns to drain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rails import BIAS, BIAS_P

if TYPE_CHECKING:
    from .sheet import DeviceSheet

TAIL = 8e-6  # A, of each pair
WIDTH, LENGTH = 0.66, 0.15  # µm, of the pairs' arms: an overdrive of 0.15 V, so that they are straight over the swing
SINK = (2.4, 1.0)  # diode and copies
CONDUCTANCE, CAPACITANCE = 0.52e-6, 2.8e-15  # S, F between the sides: sources, sinks and arms
TRIM = 0.943  # of the sources' width: a side stands nearer to VDD than the diode


def amplifier(sheet: DeviceSheet) -> str:
    """Name of the subcircuit, p n."""
    tail, arm = ("p", BIAS_P[0] * TAIL / BIAS, BIAS_P[1]), ("p", WIDTH, LENGTH)
    source = ("p", TRIM * tail[1], tail[2])
    devices = {
        "t": ("t bp vdd", *tail), "u": ("u bp vdd", *tail),
        "p": ("a p t", *arm), "c": ("b vcm t", *arm), "n": ("a n u", *arm), "d": ("b vcm u", *arm),
        "a": ("a a 0", "n", *SINK), "b": ("b b 0", "n", *SINK),
        "x": ("p b 0", "n", *SINK), "y": ("n b 0", "n", *SINK),
        "v": ("p bp vdd", *source), "w": ("n bp vdd", *source),
    }  # fmt: skip
    sheet.need(sheet.transistors.subcircuit("common_mode p n", "holds the mean of p and n at vcm", devices))
    return "common_mode"
