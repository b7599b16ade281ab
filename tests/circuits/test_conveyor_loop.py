"""Noise of a conveyor behind its poles: known limits, a class A by hand, quadrature, and a machine's own noise."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from dsmachine.circuits.cells.channel import Channel, Channels, Ends, with_channels
from dsmachine.circuits.cells.conveyor_loop import ConveyorLoop, left, noise_of, share_of
from dsmachine.circuits.cells.rational import power
from dsmachine.circuits.circuit import BOLTZMANN, Circuit
from dsmachine.emulator.agitation import agitation
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.linearized import thermal_intensity
from dsmachine.emulator.noise import noise
from dsmachine.emulator.plan import make_plan

TAU, OHMS, GAIN, G_N, R = 1.5e-9, 130.0, 0.98, 7e-4, 2.6e4
A = ConveyorLoop(regulation=2.3e-9, own=0.02, input=3e-12)
AB = ConveyorLoop(
    regulation=2.4e-9, own=0.03, push=0.06, pushing=3.6e-10, pushed=0.01, mirror=1.1e-10, cascode=1.1e-10,
    input=5e-12, mirrored=0.65,
)  # fmt: skip
SHOT = Channel(1.0, 1.0)
IDEAL = Channels(SHOT, SHOT, SHOT, SHOT, SHOT, tail=1.0, difference=1e-5, standing=0.0)
LOADS = np.array([0.0, 5.8e-5, 2e-4])  # S


def siemens(loop: ConveyorLoop, load: Any, tau: float = TAU) -> Any:
    return loop.siemens(G_N, R, GAIN / OHMS, OHMS * load, partial(left, seconds=tau))


def test_without_poles_it_is_white() -> None:
    alpha = GAIN / (1 + OHMS * LOADS)
    white = G_N + R * (alpha * LOADS) ** 2
    assert siemens(ConveyorLoop(), LOADS) == pytest.approx(white, rel=1e-12)
    assert ConveyorLoop().passed(OHMS * LOADS, TAU) == pytest.approx(1.0)
    for loop in (A, AB):  # nor in a node that is slow enough
        assert siemens(loop, LOADS, 1e-3) == pytest.approx(white, rel=1e-4)
        assert loop.passed(OHMS * LOADS, 1e-3) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("load", LOADS)
def test_class_a_is_a_pole_pair_and_a_zero(load: float) -> None:
    """E = (y/(1 + y₀)) / (1 + as + bs²), y = r(L + sC): bare ∫|E|² df = ¼ (y₀² + (rC)²ω₀²) Qω₀/(1 + y₀)², and in a
    node τ (y₀² (b + aτ) + (rC)²) / ((1 + y₀)² a (b + aτ + τ²)), a = 1/Qω₀, b = 1/ω₀²."""
    y = OHMS * load
    omega = np.sqrt((1 + y) / (A.input * A.regulation))
    a = (A.input + (A.own + y) * A.regulation) / (1 + y)
    b, quality = omega**-2, 1 / (a * omega)
    bare = (y**2 + (A.input * omega) ** 2) * quality * omega / 4 / (1 + y) ** 2
    assert power(*A.transfers(y)["amplifier"]) / 2 == pytest.approx(bare)
    in_node = TAU * (y**2 * (b + a * TAU) + A.input**2) / (a * (b + a * TAU + TAU**2)) / (1 + y) ** 2
    assert siemens(A, load) == pytest.approx(G_N + R * (GAIN / OHMS) ** 2 * in_node)
    if load == 0:
        assert quality > 1.3  # it peaks


@pytest.mark.parametrize("load", LOADS)
def test_class_ab_by_its_two_paths(load: float) -> None:
    """Kirchhoff at x, frequency by frequency, as admittances: sources in the gate of M1 and of the sinks."""
    y = OHMS * load

    def transfers(omega: float) -> tuple[complex, ...]:
        s = 1j * omega
        copies = (1 + s * AB.mirror / 2) / (1 + s * AB.mirror)
        mirrors = copies / (1 + s * AB.mirror) / (1 + s * AB.cascode)
        regulated = (1 - AB.own - AB.push) / (1 + s * AB.regulation)
        sinks = AB.push / (1 + s * AB.pushing)
        whole = regulated + AB.own + sinks + y + s * AB.input
        straight, late = sinks * copies, mirrors * (regulated + AB.own)

        def out(gate: float, push: float, into: float) -> complex:
            """Of sources in front of M1's gate and the sinks', and of a current into x."""
            volts = (into + gate * regulated + push * sinks) / whole
            return straight * volts + late * volts - gate * mirrors * regulated - push * copies * sinks

        scale = 1 - AB.own - AB.push
        return out(1, 0, 0) / scale, out(0, 1, 0) / AB.push, out(0, 0, 1), mirrors

    def weighed(k: int) -> float:
        def density(angle: float) -> float:
            return abs(transfers(np.tan(angle) / TAU)[k]) ** 2

        return float(quad(density, 0, np.pi / 2, limit=500)[0] * 2 / np.pi)

    amplifier, sinks, signal, mirrors = (weighed(k) for k in range(4))
    copies = G_N * (1 - AB.mirrored + AB.mirrored * mirrors)
    expected = copies + R * (GAIN / OHMS) ** 2 * ((1 - AB.pushed) * amplifier + AB.pushed * sinks)
    assert siemens(AB, load) == pytest.approx(expected, rel=1e-6)
    assert AB.passed(y, TAU) == pytest.approx(signal * (1 + y) ** 2, rel=1e-6)


def test_a_longer_wire_is_more_noise() -> None:
    for loop in (A, AB):
        found = [siemens(loop.wired(OHMS, farads), 0.0) for farads in (0.0, 20e-15, 200e-15)]
        assert found[0] < found[1] < 0.5 * found[2]
    assert A.wired(OHMS, 1e-14).input == pytest.approx(A.input + 1.3e-12)


def node(loop: ConveyorLoop | None, ohms: float = OHMS) -> Circuit:
    circuit = Circuit("lag")
    circuit.clamp("u", (4,))
    circuit.nodes(
        "v", (300,), full_scale=1.0, input_resistance=ohms, current_gain=GAIN, noise_siemens=G_N, noise_ohms=R - OHMS,
        loop=loop,
    )  # fmt: skip
    circuit.couple("w", "u", "v", np.full((300, 4), 0.5))
    return circuit


@pytest.mark.parametrize("loop", [A, AB])
def test_a_machine_has_the_noise_of_its_loops(loop: ConveyorLoop) -> None:
    """Lyapunov's intensity, what shakes a step, and samples of the noise analysis: kT/C (g + G + α² L·share)/g."""
    circuit = node(loop)
    v = circuit.arrays["v"]
    load = 2 * v.conductance
    alpha = GAIN / (1 + OHMS * load)
    tau = v.time_constant
    whole = v.conductance + siemens(loop, load, tau) + alpha**2 * load * loop.passed(OHMS * load, tau)
    plan, rest = make_plan(circuit, Backend(precision="float64")), {"u": np.zeros((1, 4)), "v": np.zeros((1, 300))}
    found = thermal_intensity(plan, rest) * (49e-15) ** 2 / (2 * BOLTZMANN * circuit.temperature)
    assert found == pytest.approx(np.full(300, whole))
    shaken = agitation(plan, plan.stages[0], "thermal")
    assert shaken is not None
    assert np.asarray(shaken.still) == pytest.approx(whole / v.conductance - 1)
    sampled = noise(circuit, {"u": np.zeros(4)}, frequencies=64, samples=64, precision="float64", record=["v"])
    ktc = BOLTZMANN * circuit.temperature / 49e-15
    assert sampled.rms["v"] ** 2 == pytest.approx(whole / v.conductance * ktc, rel=0.04)


def test_ideal_conveyors_have_no_loop() -> None:
    """r_x = 0: nothing that a loop could be of."""
    white, looped = (replace(node(loop).arrays["v"], input_resistance=0.0) for loop in (None, AB))
    assert noise_of(looped, 1e-4) == noise_of(white, 1e-4)
    assert share_of(looped, 1e-4) == share_of(white, 1e-4)


def test_channels_bring_the_loop() -> None:
    """`with_channels` gives it to nodes, not to inputs, and takes it away again."""
    circuit = with_channels(node(None), replace(IDEAL, loop=AB))
    assert circuit.arrays["v"].loop == AB
    assert circuit.arrays["u"].loop is None
    ends = Ends(np.array([0.0, 1.0]), np.array([1e-8 + 1e-16j, 1e-5 + 1e-15j]))
    same = with_channels(node(None), replace(IDEAL, loop=AB, ends=ends)).arrays["v"].loop
    assert same == AB  # linear couplings have no fingers
    assert with_channels(circuit, None).arrays["v"].loop is None
