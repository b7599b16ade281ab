"""Common-mode amplifier: holds the mean of a node's sides at V_CM and leaves their difference alone.

    i(p) = i(n) = −g_c c,        c = (V(p) + V(n))/2 − V_CM,   g_c = 54 µS

Two p-channel pairs compare each side with V_CM; what the arms at V_CM carry together is copied as a sink to both
sides, against sources of the same current. An even function of the difference cancels between the pairs. Their gates
draw no current and sources and sinks have little conductance, so that a starved node keeps its floor. Nodes of a driven
feedback need it, since the charge of the gate that is driven goes into both sides: 8 mV at a root, which resistors of
the floor's size would take 75 ns to drain.

Noise. What the arms pass on leaves by both sinks alike. Sources and sinks are four devices of their own, whose noise
stays in i = (i(p) − i(n))/2: (S_source + S_sink)/2 = 4kT · 80 µS, over the swing; more than all else of a root's or
norm's node but its conveyors. They carry TAIL at an overdrive of some 0.15 V; at a smaller one they would stop sooner,
with longer and wider ones hang more on the sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rails import BIAS, BIAS_P
from .unequal import square_metres

if TYPE_CHECKING:
    from .sheet import DeviceSheet

TAIL = 8e-6  # A, of each pair
WIDTH, LENGTH = 0.66, 0.15  # µm, of the pairs' arms: an overdrive of 0.15 V, so that they are straight over the swing
SINK = (2.4, 1.0)  # diode and copies
CONDUCTANCE, CAPACITANCE = 0.52e-6, 2.8e-15  # S, F between the sides: sources, sinks and arms
HOLDS = 54e-6  # S, g_c
TRIM = 0.943  # of the sources' width: a side stands nearer to VDD than the diode
NOISE, SUPPLY = 79.9e-6, 31.4e-6  # S of 4kT·G between the sides, A from the supply (ngspice, bundled cards, 27 °C)
_TAIL, _ARM = ("p", BIAS_P[0] * TAIL / BIAS, BIAS_P[1]), ("p", WIDTH, LENGTH)
_SOURCE = ("p", TRIM * _TAIL[1], _TAIL[2])
DEVICES = {
    "t": ("t bp vdd", *_TAIL), "u": ("u bp vdd", *_TAIL),
    "p": ("a p t", *_ARM), "c": ("b vcm t", *_ARM), "n": ("a n u", *_ARM), "d": ("b vcm u", *_ARM),
    "a": ("a a 0", "n", *SINK), "b": ("b b 0", "n", *SINK),
    "x": ("p b 0", "n", *SINK), "y": ("n b 0", "n", *SINK),
    "v": ("p bp vdd", *_SOURCE), "w": ("n bp vdd", *_SOURCE),
}  # fmt: skip
AREA = float(sum(square_metres(width, length) for _, _, width, length in DEVICES.values()))  # m², of gates


def amplifier(sheet: DeviceSheet) -> str:
    """Name of the subcircuit, p n."""
    sheet.need(sheet.transistors.subcircuit("common_mode p n", "holds the mean of p and n at vcm", DEVICES))
    return "common_mode"
