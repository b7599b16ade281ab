"""Division n/s at s ≈ 0: the feedback cuts off at its floor f, so y = (n/f)(1 − e^(−ft/τ)) and never runs away.

At 60 τ the divisor comes, s = 0.6 (beyond the knee γ = s exactly), and y falls to n/s with τ/s.
"""

from typing import Any

import numpy as np
from systems.system import TAU, Array, System

from dsmachine.circuits.cells import Feedback
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import Steps

FLOOR, COMES, S = 0.02, 60 * TAU, 0.6
N = np.array([[0.005, -0.003]])


def division() -> System:
    circuit = Circuit("division")
    circuit.clamp("n", (1, 2))
    circuit.clamp("s", (1, 1))
    circuit.nodes("y", (1, 2), feedback=Feedback("s", floor=FLOOR))
    circuit.couple("w", "n", "y", 1.0)
    divisor: Any = Steps(np.array([0.0, COMES]), np.array([[[-0.001]], [[S]]]))

    def exact(t: Array) -> dict[str, Array]:
        early = (1 - np.exp(-FLOOR * np.minimum(t, COMES) / TAU)) / FLOOR
        late = 1 / S + (early - 1 / S) * np.exp(-S * np.maximum(t - COMES, 0) / TAU)
        return {"y": np.where(t < COMES, early, late)[:, None, None] * N}

    return System("division", circuit, exact, 90 * TAU, {"n": N, "s": divisor})
