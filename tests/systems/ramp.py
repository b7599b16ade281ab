"""A ramp with two corners into two lags, at once and staggered: waveforms and their breakpoints.

Response of one lag to the ramp t/T: (t − τ(1 − e^(−t/τ)))/T, of the second one t − 2τ + (2τ + t)e^(−t/τ).
"""

from typing import Any

import numpy as np
from systems.system import TAU, Array, System

from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import PiecewiseLinear

BEGIN, END = 1.3 * TAU, 4.7 * TAU
TOP = np.array([0.3, -0.2])


def ramp() -> System:
    circuit = Circuit("ramp")
    circuit.clamp("u", (2,))
    circuit.nodes("x", (2,))
    circuit.nodes("y", (2,))
    circuit.couple("wx", "u", "x", 1.0)
    circuit.couple("wy", "x", "y", 1.0)
    wave: Any = PiecewiseLinear(np.array([0, BEGIN, END]), np.array([0 * TOP, 0 * TOP, TOP]))

    def one(t: Array) -> Array:
        s = np.maximum(t, 0) / TAU
        return s - 1 + np.exp(-s)

    def two(t: Array) -> Array:
        s = np.maximum(t, 0) / TAU
        return s - 2 + (2 + s) * np.exp(-s)

    def exact(t: Array) -> dict[str, Array]:
        scale = TOP * TAU / (END - BEGIN)
        return {n: (f(t - BEGIN) - f(t - END))[:, None] * scale for n, f in (("x", one), ("y", two))}

    return System("ramp", circuit, exact, 25 * TAU, {"u": wave})
