"""Nodes of one array with capacitors of their own: every kind of feedback against SciPy's Radau, both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dsmachine as ds
from dsmachine.circuits.cells import Feedback

G = 32.26e-6
FEW = np.array([20e-15, 49e-15, 49e-15, 90e-15, 90e-15, 20e-15])
MANY = np.linspace(20e-15, 90e-15, 24)


def machine(farads: Any) -> ds.Circuit:
    """u -> x (constant feedback) -> s = sqrt(x) (root) -> y = x / s (driven feedback)."""
    n = len(farads)
    circuit = ds.Circuit("capacitors")
    circuit.clamp("u", (n,))
    circuit.nodes("x", (n,), capacitance=farads, rail=None)
    circuit.nodes("s", (n,), capacitance=farads[::-1].copy(), rail=None, feedback=Feedback("s", 4.0, 0.02))
    circuit.nodes("y", (n,), capacitance=farads, rail=None, feedback=Feedback("s", 4.0, 0.02))
    circuit.couple("a", "u", "x", 1.0)
    circuit.couple("b", "x", "s", 1.0)
    circuit.couple("c", "x", "y", 1.0)
    return circuit


def truth(farads: Any, u: Any, times: Any) -> Any:
    n = len(farads)
    feedback = Feedback("s", 4.0, 0.02)

    def slope(_t: float, v: Any) -> Any:
        x, s, y = v.reshape(3, n)
        gamma = feedback.ratio(s)
        return np.concatenate([(u - x) / farads, (x - gamma * s) / farads[::-1], (x - gamma * y) / farads]) * G

    found = solve_ivp(slope, (0, times[-1]), np.zeros(3 * n), "Radau", times, rtol=1e-10, atol=1e-13)
    return found.y.T.reshape(len(times), 3, n)


@pytest.mark.parametrize("farads", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize(
    ("options", "limit"), [({"tolerance": 1e-6}, 1e-5), ({"method": "stepper", "step": 1 / 16}, 2e-3)]
)
def test_every_node_has_its_own_time_constant(farads: Any, options: dict[str, Any], limit: float) -> None:
    u = np.linspace(0.05, 0.3, len(farads))
    times = np.linspace(0, 2e-8, 81)[1:]
    probe = ds.Probe(["x", "s", "y"], times=times)
    ds.transient(machine(farads), {"u": u}, duration=2e-8, precision="float64", observers=[probe], **options)
    ours = np.stack(
        [[np.interp(times, probe.times(n), v) for v in probe.volts(n)[:, 0].T] for n in ("x", "s", "y")]
    ).transpose(2, 0, 1)
    error = np.sqrt(((ours - truth(farads, u, times)) ** 2).mean()) * 3
    assert error < limit


def test_queries_carry_their_gates_and_values_do_not() -> None:
    circuit = ds.map_model("tiny-shakespeare", positions=16)
    farads = circuit.arrays["h.0.attn.qkv"].capacitance
    q, k, v = np.split(np.asarray(farads), 3)
    assert np.ptp(q) == np.ptp(k) == np.ptp(v) == 0
    assert q[0] > k[0] + 10e-15  # a query controls a gate for each key it meets, on average 8.5 of them
