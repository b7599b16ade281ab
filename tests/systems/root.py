"""Root node, C ds/dt = a − γ(s) s, which waits 100 τ with a at −1 % of full scale and must then recover.

While it waits γ is its floor f: s = (a/f)(1 − e^(−ft/τ)), far below zero but no further. After the step to A it ends
at sqrt(A). A signed feedback (a − s²) would have run to the rail for good.
"""

from typing import Any

import numpy as np
from systems.system import FULL_SCALE, TAU, Array, System, integrated

from dsmachine.circuits.cells import Feedback
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import Steps

FLOOR, WAIT, HELD, STEP = 0.02, 100 * TAU, -0.01 * FULL_SCALE, 0.09


def smooth_ramp(z: Array, width: float) -> Array:
    """max(z, 0) with the knee of cells/smooth.py, written again."""
    u = np.clip((z + width) / (2 * width), 0, 1)
    return np.where(z < width, 2 * width * (u**3 - u**4 / 2), z)


def gamma(s: Array) -> Array:
    return FLOOR + smooth_ramp(s - FLOOR, FLOOR / 2)


def waiting_root() -> System:
    circuit = Circuit("root")
    circuit.clamp("a", (1,))
    circuit.nodes("s", (1,), feedback=Feedback("s", floor=FLOOR))
    circuit.couple("w", "a", "s", 1.0)
    drive: Any = Steps(np.array([0.0, WAIT]), np.array([[HELD], [STEP]]))

    def exact(t: Array) -> dict[str, Array]:
        waits = t <= WAIT
        sagged = HELD / FLOOR * (1 - np.exp(-FLOOR * np.minimum(t, WAIT) / TAU))
        later = np.concatenate([[WAIT], t[~waits]])
        start = np.array([HELD / FLOOR * (1 - np.exp(-FLOOR * WAIT / TAU))])
        after = integrated(lambda _, s: STEP - gamma(s) * s, start, later, np.array([]), {"s": 1})["s"][1:]
        return {"s": np.concatenate([sagged[waits][:, None], after])}

    return System("waiting root", circuit, exact, 160 * TAU, {"a": drive})
