"""Two arrays on a cycle, symmetric couplings, per-node units: linear, so v = v* + e^(Mt)(v₀ − v*).

Symmetric G means C dv/dt = −½ ∇H, so H falls all the way (Lyapunov).
"""

import numpy as np
from scipy.linalg import expm
from systems.system import TAU, Array, System

from dsmachine.circuits.circuit import Circuit

A, B = 5, 3
CONDUCTANCE = 32.26e-6


def parts() -> tuple[Array, Array, Array, Array]:
    """(G/g (8, 8) symmetric, drive/g (8,) in volts, U (8,), initial volts)."""
    rng = np.random.default_rng(7)
    g = rng.normal(size=(A + B, A + B)) * 0.12
    unit = np.concatenate([np.full(A, 0.5), [0.6, 0.8, 1.0]])
    return g + g.T, rng.uniform(-0.1, 0.1, A + B), unit, rng.uniform(-0.3, 0.3, A + B)


def circuit() -> Circuit:
    g, drive, unit, _ = parts()
    w = g * unit / unit[:, None]
    ring = Circuit("ring")
    ring.nodes("a", (A,), unit=0.5)
    ring.nodes("b", (B,), unit=unit[A:])
    ring.couple("aa", "a", "a", w[:A, :A])
    ring.couple("ab", "b", "a", w[:A, A:])
    ring.couple("ba", "a", "b", w[A:, :A])
    ring.couple("bb", "b", "b", w[A:, A:])
    ring.bias("ha", "a", drive[:A] / unit[:A])
    ring.bias("hb", "b", drive[A:] / unit[A:])
    return ring


def ring() -> System:
    g, drive, unit, start = parts()
    m = g - np.eye(A + B)

    def exact(t: Array) -> dict[str, Array]:
        rest = -np.linalg.solve(m, drive)
        v = np.stack([rest + expm(m * s) @ (start - rest) for s in t / TAU])
        return {"a": v[:, :A], "b": v[:, A:]}

    initial = {"a": start[:A] / unit[:A], "b": start[A:] / unit[A:]}
    return System("ring", circuit(), exact, 60 * TAU, initial=initial)
