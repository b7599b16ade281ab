"""N identical lags in a row after a step: x_k(t) = u · P(Poisson(t/τ) > k)."""

import numpy as np
from scipy.stats import poisson
from systems.system import TAU, Array, System

from dsmachine.circuits.circuit import Circuit

U = 1 / 3


def chain(count: int, bias: Array | None = None) -> Circuit:
    """u → x0 → x1 → …, each with weight 1; layers of twelve."""
    circuit = Circuit(f"{count} lags")
    circuit.clamp("u", (1,))
    before = "u"
    for k in range(count):
        circuit.nodes(f"x{k}", (1,), layer=f"L{k // 12}")
        circuit.couple(f"w{k}", before, f"x{k}", 1.0)
        if bias is not None:
            circuit.bias(f"b{k}", f"x{k}", bias[k])
        before = f"x{k}"
    return circuit


def lags(count: int) -> System:
    def exact(t: Array) -> dict[str, Array]:
        return {f"x{k}": U * poisson.sf(k, t / TAU)[:, None] for k in range(count)}

    return System(f"{count} lags", chain(count), exact, (4 * count + 20) * TAU, {"u": [U]})


def late_front(count: int = 60) -> System:
    """Biases ±b that cancel down the chain: a plateau after a few τ, and the front of u only after count·τ.

    x_k(t) = u P(> k) + Σ_{j ≤ k} b_j P(> k − j)
    """
    bias = 0.05 * (-1.0) ** np.arange(count)
    u = 0.2

    def exact(t: Array) -> dict[str, Array]:
        step = np.stack([poisson.sf(k, t / TAU) for k in range(count)])
        return {f"x{k}": (u * step[k] + bias[: k + 1] @ step[k::-1])[:, None] for k in range(count)}

    return System(f"late front through {count} lags", chain(count, bias), exact, 200 * TAU, {"u": [u]})
