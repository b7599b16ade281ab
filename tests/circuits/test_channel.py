"""Noise of measured transistors in cells and conveyors: known limits, and what the noise analysis makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from dsmachine.circuits.cells.channel import Channel, Channels, OutputMirrors, Tail, left, with_channels
from dsmachine.circuits.circuit import BOLTZMANN, Circuit
from dsmachine.emulator.noise import noise

NONE, SHOT = Channel(1e-9, 1.0), Channel(1.0, 1e6)  # hardly any noise; shot noise whatever the current
SOURCE = Channel(2.0, 1e6)  # I / V_T
IDEAL = Channels(SHOT, SOURCE, p=NONE, n=NONE, rectifier=NONE, tail=0.0, difference=1e-5, standing=1e-5)
G0, CHARGE = 32.26e-6, 1.602176634e-19


def cell(kind: str, **node: Any) -> Circuit:
    """One node whose full current is the tail's, 5 µA, so that mirrors have ratio 1."""
    circuit = Circuit(kind)
    unit = 5e-6 / G0
    for name in ("a", "b"):
        circuit.clamp(name, (1, 3), unit=unit)
    circuit.nodes("v", (1, 3), unit=unit, **node)
    if kind == "tanh":
        circuit.tanh("cell", "a", "v")
    elif kind == "softmax":
        circuit.softmax("cell", "a", "v")
    elif kind == "product":
        circuit.multiply("cell", "a", "b", "v", "ij,ij->ij", gain=2.0)
    else:
        circuit.rectify("cell", "a", "v")
    return circuit


X = {"a": np.array([[[0.1, 0.5, 0.9]]]), "b": np.array([[[0.2, 0.2, 0.3]]])}


def siemens(circuit: Circuit) -> Any:
    return np.broadcast_to(circuit.terms["cell"].noise(circuit)(X), (1, 1, 3))[0, 0]


def test_weak_inversion_is_shot_noise_and_strong_inversion_goes_as_the_root() -> None:
    thermal_voltage = BOLTZMANN * 300 / CHARGE
    channel = Channel(1.0, 1e-6)
    weak = float(channel.siemens(np.array(1e-10), thermal_voltage))
    assert 4 * BOLTZMANN * 300 * weak == pytest.approx(2 * CHARGE * 1e-10, rel=1e-3)
    strong = channel.siemens(np.array([1e-2, 4e-2]), thermal_voltage)
    assert strong[1] / strong[0] == pytest.approx(2, rel=5e-3)


@pytest.mark.parametrize("kind", ["tanh", "softmax"])
def test_a_pair_of_shot_noise_alone_has_the_ideal_cells_law(kind: str) -> None:
    circuit = cell(kind)
    assert siemens(with_channels(circuit, IDEAL)) == pytest.approx(siemens(circuit), rel=1e-6)
    assert siemens(with_channels(with_channels(circuit, IDEAL), None)) == pytest.approx(siemens(circuit))


def test_the_tails_noise_goes_as_the_signal() -> None:
    """y² 2q·a·I_T of the tanh pair, p² of the softmax."""
    circuit = cell("tanh")
    shot = 5e-6 / (2 * circuit.thermal_voltage)
    more = siemens(with_channels(circuit, replace(IDEAL, tail=3.0))) - siemens(with_channels(circuit, IDEAL))
    assert more == pytest.approx(3 * shot * np.tanh(X["a"][0, 0]) ** 2, rel=1e-6)
    circuit = cell("softmax")
    p = np.exp(X["a"][0, 0]) / np.exp(X["a"]).sum()
    more = siemens(with_channels(circuit, replace(IDEAL, tail=3.0))) - siemens(with_channels(circuit, IDEAL))
    assert more == pytest.approx(3 * shot * p**2, rel=1e-6)


def test_mirrors_add_their_own() -> None:
    """r² G_p and ½ r G_p of two copies, ½ G_n; a pole of the node's own time constant halves what passes it."""
    p, n = Channel(1.0, 1e6), Channel(2.0, 1e6)
    mirrors = OutputMirrors(replace(IDEAL, p=p, n=n), np.array(0.5), np.array(1e-9), 0.025)
    g = 1e-6 / 0.05
    assert float(mirrors.noise(np.array(1e-6), 0.0)) == pytest.approx((0.25 + 0.25) * g + 0.5 * g, rel=1e-6)
    slow = replace(mirrors, channels=replace(mirrors.channels, p=replace(p, capacitance=1.5 * 1e-9 * g)))
    assert float(slow.noise(np.array(1e-6), 0.0)) == pytest.approx((0.125 + 0.25) * g + 0.5 * g, rel=1e-6)


@pytest.mark.parametrize("lags", [(0.0, 0.0), (0.3, 0.0), (0.2, 0.2), (0.1, 0.7)])
def test_what_lags_leave_of_white_noise(lags: tuple[float, float]) -> None:
    """∫ 1/|(1 + iω)(1 + iωa)(1 + iωb)|² over that without lags, by quadrature."""
    a, b = lags
    whole = quad(lambda w: 1 / ((1 + w * w) * (1 + (a * w) ** 2) * (1 + (b * w) ** 2)), 0, np.inf)[0]
    assert left(a, b) == pytest.approx(whole / (np.pi / 2), rel=1e-9)


def test_a_branchs_own_noise_is_shared_out_by_conductance_and_only_as_fast_as_the_tail() -> None:
    """|1 − w L|² of a pair's branches of unequal sources, by quadrature."""
    circuit = cell("softmax")
    bent = replace(IDEAL, source=Channel(2.0, 0.5, capacitance=2e-9), sink=1e-9)
    p = np.exp(X["a"][0, 0]) / np.exp(X["a"]).sum()
    sources = bent.source.wide(5e-6).siemens(5e-6 * p, circuit.thermal_voltage)
    w, tail = sources / sources.sum(), (3 * 2e-9 + 1e-9) * 5e-6 / sources.sum() / (49e-15 / G0)
    shot = 5e-6 * p / (2 * circuit.thermal_voltage)

    def variance(k: int) -> float:
        def density(f: float) -> float:
            lag = 1 / (1 + 1j * f * tail)
            others = shot.sum() - shot[k]
            return float((abs(1 - w[k] * lag) ** 2 * shot[k] + abs(w[k] * lag) ** 2 * others) / (1 + f * f))

        return float(quad(density, 0, np.inf)[0] / (np.pi / 2))

    assert siemens(with_channels(circuit, bent)) == pytest.approx([variance(k) for k in range(3)], rel=1e-6)
    assert Tail(bent, 5e-6, 3, 1.0, 0.025).shot == 0


def test_a_rectifier_has_twice_its_conductance_and_its_mirrors() -> None:
    circuit = cell("rectifier")
    found = siemens(with_channels(circuit, replace(IDEAL, conveyor=1e-5, rectifier=SHOT)))
    assert found == pytest.approx(2 * G0 + 4e-5 + X["a"][0, 0] * 2.5e-6 / (2 * circuit.thermal_voltage), rel=1e-4)
    bent = siemens(with_channels(circuit, replace(IDEAL, overdrive=0.9 * 5e-6 / G0)))
    assert bent[2] == pytest.approx(2 / 3 * 2 * G0, rel=1e-4)  # its device just saturates: γ = 2/3


def test_quads_conduct_whatever_their_control() -> None:
    """Fingers for 2 g at full scale, by differences of 10 µS; each stands at 30 µS."""
    circuit = cell("product", full_scale=1 / 3)
    strongest = circuit.terms["cell"].strongest(circuit)
    assert strongest is not None
    found = siemens(with_channels(circuit, replace(IDEAL, standing=3e-5)))
    assert found == pytest.approx(np.full(3, np.ceil(strongest / 1e-5) * 3e-5))


def test_noise_of_conveyors_in_the_noise_analysis() -> None:
    """kT/C (g + G_n + α² L + (r_x + R_n)(αL)²)/g of a lag behind couplings of L."""
    circuit = Circuit("lag")
    circuit.clamp("u", (4,))
    circuit.nodes("v", (200,), full_scale=1.0, input_resistance=500.0, noise_siemens=1e-4, noise_ohms=2e4)
    circuit.couple("w", "u", "v", np.full((200, 4), 0.5))
    load = 2 * G0
    share = 1 / (1 + 500 * load)
    expected = 1 + (1e-4 + share**2 * load + 2.05e4 * (share * load) ** 2) / G0
    found = noise(circuit, {"u": np.zeros(4)}, frequencies=64, samples=64, precision="float64", record=["v"])
    ktc = BOLTZMANN * circuit.temperature / 49e-15
    assert found.rms["v"] ** 2 == pytest.approx(expected * ktc, rel=0.04)
