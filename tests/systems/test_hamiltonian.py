"""The Hamiltonian of symmetric circuits falls, at the rate that its derivation says."""

import numpy as np
import pytest
from systems import ring
from systems.system import TAU

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.hamiltonian import hamiltonian
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.run import operating_point, transient


@pytest.mark.parametrize("method", ["elements", "stepper"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_descent_from_random_states(method: str, seed: int) -> None:
    circuit = ring.circuit()
    times = np.linspace(0, 15 * TAU, 1501)
    probe = Probe(["a", "b"], times=times)
    transient(
        circuit,
        initial="random",
        initial_seed=seed,
        duration=times[-1],
        observers=[probe],
        precision="float64",
        method=method,
    )
    energy = hamiltonian(circuit, {n: probe.volts(n)[:, 0] for n in "ab"})
    assert (np.diff(energy) < 1e-12 * np.abs(energy).max()).all()
    rest = hamiltonian(circuit, {n: v[0] for n, v in operating_point(circuit).outputs.items()})
    assert energy[-1] == pytest.approx(rest, abs=1e-6 * abs(energy[0] - rest))
    assert energy[0] > rest


def test_rate_is_minus_twice_the_charging_power() -> None:
    """dH/dt = −2 Σ C (dv/dt)², by central differences."""
    circuit, step = ring.circuit(), 1e-3 * TAU
    times = np.array([1, 1.001, 1.002]) * TAU
    probe = Probe(["a", "b"], times=times)
    transient(circuit, initial="random", duration=2 * TAU, observers=[probe], precision="float64", tolerance=1e-9)
    volts = {n: probe.volts(n)[:, 0] for n in "ab"}
    energy = hamiltonian(circuit, volts)
    power = sum(49e-15 * (((v[2] - v[0]) / (2 * step)) ** 2).sum() for v in volts.values())
    assert (energy[2] - energy[0]) / (2 * step) == pytest.approx(-2 * power, rel=1e-5)


def test_written_out() -> None:
    g, drive, _, v = ring.parts()
    conductance = ring.CONDUCTANCE
    off = g - np.diag(np.diag(g))
    expected = conductance * (-v @ off @ v + (1 - np.diag(g)) @ v**2 - 2 * drive @ v)
    assert hamiltonian(ring.circuit(), {"a": v[:5], "b": v[5:]}) == pytest.approx(expected, rel=1e-12)


def test_what_has_no_hamiltonian_is_named() -> None:
    circuit = Circuit("one way")
    circuit.nodes("a", (2,))
    circuit.nodes("b", (2,))
    circuit.couple("ab", "a", "b", np.array([[0.0, 0.3], [0.0, 0.0]]))
    volts = {"a": np.zeros(2), "b": np.zeros(2)}
    with pytest.raises(ds.Error, match=r"a\[1\] → b\[0\]"):
        hamiltonian(circuit, volts)
    with pytest.raises(ds.Error, match="'b'"):
        hamiltonian(circuit, {"a": np.zeros(2)})
    with pytest.raises(ds.Error, match=r"shape \(3,\)"):
        hamiltonian(circuit, {"a": np.zeros(3), "b": np.zeros(2)})
    circuit.nodes("t", (2,))
    circuit.tanh("at", "a", "t")
    with pytest.raises(ds.Error, match="'t' has currents that are not linear"):
        hamiltonian(circuit, {"a": np.full(2, 0.4), "b": np.zeros(2), "t": np.zeros(2)})
