"""Probe: every sample time is recorded once, wherever elements of very different lengths meet."""

from __future__ import annotations

import numpy as np

from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.waveforms import PiecewiseLinear
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.run import transient


def test_times_at_the_seam_of_a_long_and_a_tiny_element() -> None:
    circuit = Circuit("rc")
    circuit.clamp("u", (1,))
    tau = circuit.nodes("v", (1,)).time_constant
    circuit.couple("w", "u", "v", 1.0)
    knots = np.array([0, 1.99995, 2.00005]) * tau
    near = np.concatenate([knots[1:] * (1 + sign * 3e-13) for sign in (-1, 0, 1)])
    times = np.sort(np.concatenate([np.linspace(0.1, 6, 60) * tau, near]))
    probe = Probe(["v"], times=times)
    wave = PiecewiseLinear(knots, np.array([[0.3], [0.3], [-0.2]]))
    transient(circuit, {"u": wave}, duration=6 * tau, tolerance=1e-8, precision="float64", observers=[probe])
    np.testing.assert_array_equal(probe.times("v"), times)
    t = times / tau
    exact = 0.3 * (1 - np.exp(-t)) - 0.5 * (1 - np.exp(-np.maximum(t - 2, 0)))
    assert np.abs(probe.volts("v")[:, 0, 0] - exact).max() < 1e-5
