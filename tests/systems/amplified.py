"""A lag that moves by a thousandth of full scale, amplified by the next layer, as a norm does before its front comes:

    τ dx/dt = a − x,   τ dy/dt = K x − y,   4τ dz/dt = y − z,   all from zero
    x = a (1 − e^(−s)),   y = K a (1 − (1 + s) e^(−s)),   z = K a (1 − 16/9 e^(−s/4) + (7/9 + s/3) e^(−s)),   s = t/τ

What an element garbles of x is little in its full scale and K times as much in y. z makes windows four times as long.
"""

import numpy as np
from systems.system import TAU, Array, System

from dsmachine.circuits.cells import NodeArray
from dsmachine.circuits.circuit import Circuit

A, K = 3e-4, 500.0


def amplified() -> System:
    circuit = Circuit("amplified")
    circuit.clamp("a", (1,))
    circuit.nodes("x", (1,), layer="quiet")
    circuit.nodes("y", (1,), layer="norm")
    slow = circuit.nodes("z", (1,), layer="slow", capacitance=4 * NodeArray("x", (1,)).capacitance)
    assert np.isclose(slow.time_constant, 4 * TAU)
    circuit.couple("w", "a", "x", 1.0)
    circuit.couple("k", "x", "y", K)
    circuit.couple("r", "y", "z", 1.0)

    def exact(t: Array) -> dict[str, Array]:
        s = (t / TAU)[:, None]
        fast = np.exp(-s)
        z = 1 - 16 / 9 * np.exp(-s / 4) + (7 / 9 + s / 3) * fast
        return {"x": A * (1 - fast), "y": K * A * (1 - (1 + s) * fast), "z": K * A * z}

    return System("amplified", circuit, exact, 60 * TAU, {"a": [A]})
