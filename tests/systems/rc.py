"""One RC: a node charged through one coupling.  v = u (1 − e^(−t/τ))."""

import numpy as np
from systems.system import TAU, Array, System

from dsmachine.circuits.circuit import Circuit


def rc() -> System:
    circuit = Circuit("rc")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,))
    circuit.couple("w", "u", "v", 1.0)

    def exact(t: Array) -> dict[str, Array]:
        return {"v": 0.3 * (1 - np.exp(-t / TAU))[:, None]}

    return System("one RC", circuit, exact, 20 * TAU, {"u": [0.3]})
