"""Every cell's noise density against textbook formulas: one-sided [A²/Hz], from constants written out here."""

from typing import Any

import numpy as np
import pytest

from dsmachine.circuits.cells import Feedback, Softmax, View
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.linearized import thermal_intensity
from dsmachine.emulator.plan import make_plan

K, Q, T = 1.380649e-23, 1.602176634e-19, 300.0  # CODATA
G0 = 32.26e-6  # S
U, V = 0.2, 0.25  # volts per unit of the read and the driven nodes
C = 49e-15  # F
Array = Any


def pair(width: int = 3, **node: Any) -> Circuit:
    circuit = Circuit("pair", temperature=T)
    circuit.clamp("u", (width,), unit=U)
    circuit.nodes("v", (width,), unit=V, **node)
    return circuit


def density(circuit: Circuit, term: str, **x: Array) -> Array:
    """4kT·G of one term's equivalent conductance."""
    signals = {name: np.asarray(value, float)[None] for name, value in x.items()}
    found = circuit.terms[term].noise(circuit)(signals)
    node = circuit.arrays[circuit.terms[term].target]
    return np.broadcast_to(4 * K * T * found, (1, *node.shape))[0]


@pytest.mark.parametrize("gain", [1.2, -1.2])
def test_tanh_pair_has_the_shot_noise_of_its_differential_output(gain: float) -> None:
    circuit = pair()
    circuit.tanh("t", "u", "v", gain=gain)
    x = np.array([0.0, 0.4, -2.0])
    tail = G0 * V * 1.2
    expected = 2 * Q * tail / np.cosh(x) ** 2
    assert density(circuit, "t", u=x) == pytest.approx(expected, rel=1e-9)
    # by branches: I₁ and I₂ carry 2qI each, and the difference sees 2(I₂ i₁ − I₁ i₂)/I_T
    one, other = tail * (1 + np.tanh(x)) / 2, tail * (1 - np.tanh(x)) / 2
    by_branch = (2 / tail) ** 2 * (other**2 * 2 * Q * one + one**2 * 2 * Q * other)
    assert density(circuit, "t", u=x) == pytest.approx(by_branch, rel=1e-9)


def test_tanh_pair_at_rest_in_numbers() -> None:
    """I_T = 8.065 µA at rest: 2q I_T = 2.584e-24 A²/Hz."""
    circuit = pair()
    circuit.tanh("t", "u", "v")
    assert density(circuit, "t", u=np.zeros(3)) == pytest.approx(2.5843e-24, rel=1e-4)


def test_softmax_branch() -> None:
    circuit = pair()
    circuit.add(Softmax("s", "v", View("u")))
    x = np.array([0.3, -1.0, 2.0])
    p = np.exp(x) / np.exp(x).sum()
    assert density(circuit, "s", u=x) == pytest.approx(2 * Q * G0 * V * p * (1 - p), rel=1e-9)
    for i in range(3):  # by branches: δI_i = i_i − p_i Σ_j i_j
        share = (np.arange(3) == i) - p[i]
        assert density(circuit, "s", u=x)[i] == pytest.approx((share**2 * 2 * Q * G0 * V * p).sum(), rel=1e-9)


def test_coupling() -> None:
    circuit = pair()
    w = np.array([[0.5, -1.0, 0.25], [0.0, 2.0, 0.0], [-0.1, -0.2, -0.3]])
    circuit.couple("w", "u", "v", w)
    assert density(circuit, "w") == pytest.approx(4 * K * T * G0 * np.abs(w).sum(axis=1) * V / U, rel=1e-9)


def test_balanced_coupling_conducts_with_both_sides_whatever_its_weight() -> None:
    circuit = pair()
    w = np.array([[0.5, -1.0, 0.25], [0.0, 2.0, 0.0], [-0.1, -0.2, -0.3]])
    circuit.couple("w", "u", "v", w, balanced=True)
    assert density(circuit, "w") == pytest.approx(4 * K * T * 3 * G0 * 2.0 * V / U, rel=1e-9)


@pytest.mark.parametrize("gain", [0.5, -0.5])
def test_product_of_either_sign(gain: float) -> None:
    """4kT Σ|K v_a|, K = κ g U_t / (U_a U_b)."""
    circuit = pair()
    circuit.clamp("b", (3, 3), unit=np.array([0.1, 0.2, 0.4]))
    circuit.multiply("p", "u", "b", "v", "d,id->i", gain=gain)
    volts = np.array([0.1, -0.2, 0.3])
    k = 0.5 * G0 * V / (U * np.array([0.1, 0.2, 0.4]))
    expected = np.full(3, 4 * K * T * (k * np.abs(volts)).sum())
    assert density(circuit, "p", u=volts / U, b=np.ones((3, 3))) == pytest.approx(expected, rel=1e-9)


def test_rectifier() -> None:
    circuit = pair()
    circuit.rectify("r", "u", "v", gain=-0.8)
    expected = 4 * K * T * G0 * 0.8 * V / U * np.array([1, 0, 1])
    assert density(circuit, "r", u=[0.5, -0.5, 1.0]) == pytest.approx(expected, rel=1e-9)


def test_feedback_fixed_controlled_and_own() -> None:
    """Q = 2kT g(v)/(C U)², the two-sided intensity of dx/dt, of nodes that nothing drives."""
    circuit = Circuit("feedback", temperature=T)
    circuit.clamp("c", (1,))
    circuit.nodes("fixed", (1,), unit=V, ratio=1.7)
    circuit.nodes("controlled", (1,), unit=V, feedback=Feedback("c", 2.0))
    circuit.nodes("root", (1,), unit=V, feedback=Feedback("root", 3.0))
    plan = make_plan(circuit, Backend(precision="float64"))
    x = {"c": 0.4, "fixed": 0.0, "controlled": 0.0, "root": 0.6}
    found = thermal_intensity(plan, {name: np.full((1, 1), value) for name, value in x.items()})
    by_name = dict(zip([stage.name for stage in plan.stages], found, strict=True))
    for name, gamma in (("fixed", 1.7), ("controlled", 0.8), ("root", 1.8)):
        assert by_name[name] == pytest.approx(2 * K * T * G0 * gamma / (C * V) ** 2, rel=1e-9), name
