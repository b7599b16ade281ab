"""Layers that train themselves: what they are made of, and what cannot be one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ecl_layers import examples, layer

import dsmachine as ds
from dsmachine.circuits.cells import Feedback

K, Q = 1.380649e-23, 1.602176634e-19  # J/K, C


def test_sampling_resistor_is_a_node_of_its_own() -> None:
    """τ_r = r C_r; the loss as a logical value does not depend on r, its volts are r I."""
    x, t = (each[0] for each in examples(layer(), 1))
    found = {}
    for ohms in (5e3, 31e3):
        made = layer(sampling_resistor=ohms)
        node = made.circuit.arrays[made.loss]
        assert node.time_constant == pytest.approx(ohms * (49e-15 + 4 * 2.2e-15))
        rest = ds.operating_point(made.circuit.clamped(made.control), {"x": x, "y": t, made.control: made.weight})
        np.testing.assert_allclose(rest.logical(made.loss)[0], made.weight @ x - t, rtol=1e-9)
        found[ohms] = rest.outputs[made.loss][0]
        amperes = 32.26e-6 * 0.1 * (made.weight @ x - t)  # g U of the output
        np.testing.assert_allclose(found[ohms], ohms * amperes, rtol=1e-9)


def test_multipliers_are_as_strong_as_the_time_constant_wants() -> None:
    """C_J dV/dt = −k V_r v: k = C_J U_J/(τ U_r U_x); 2q I_T of noise and I_T of supply, I_T = k V_r v at full scale."""
    made = layer(time_constant=2e-6, largest_weight=5.0)
    unit = 0.5 / 5.0
    k = 49e-15 * unit / (2e-6 * 0.1 * 0.1)
    np.testing.assert_allclose(made.multiplier_gain, k, rtol=1e-9)
    term, current = made.circuit.terms["w.ecl"], k * 0.2 * 0.2
    signals = {"x": np.zeros((1, 4)), made.loss: np.zeros((1, 3)), made.control: made.weight[None]}
    np.testing.assert_allclose(4 * K * 300.15 * term.noise(made.circuit)(signals), 2 * Q * current, rtol=1e-9)
    assert term.meter(made.circuit).standing == pytest.approx(12 * current)
    assert term.count(made.circuit) == 12
    tech = ds.load_technology("cmos45")
    assert term.area(made.circuit, tech) == pytest.approx(12 * 2 * tech.tanh.area)


def test_leak_makes_noise_both_ways() -> None:
    """2q I_off (1 + e^(−|v|/V_T)); at 0 V Nyquist's of the conductance I_off/V_T."""
    made = layer(1, 3, hold="plain")
    node, term = made.circuit.arrays[made.control], made.circuit.terms["w.leak"]
    volts = np.array([[0.0, 0.01, -0.3]])
    found = 4 * K * 300.15 * term.noise(made.circuit)({made.control: volts[None] / node.unit})
    shot = 2 * Q * 69e-12 * (1 + np.exp(-np.abs(volts) * Q / (K * 300.15)))
    np.testing.assert_allclose(found[0], shot, rtol=1e-6)
    assert found[0, 0, 0] == pytest.approx(4 * K * 300.15 * 69e-12 / (K * 300.15 / Q), rel=1e-6)


def test_derivatives_are_those_of_the_laws() -> None:
    made = layer(hold="plain")
    made = made.on(ds.fabricate(made.circuit, mismatch=0.1, offset=0.1))
    rng = np.random.default_rng(0)
    at = {
        "x": rng.normal(size=(2, 4)),
        made.loss: rng.normal(size=(2, 3)),
        made.control: 8 * rng.uniform(-1, 1, (2, 3, 4)),
    }
    for term in made.circuit.into(made.control):
        for name in {view.array for view in term.sources}:
            along = {name: rng.normal(size=at[name].shape)}
            up, down = (term.drive(at | {name: at[name] + h * along[name]}) for h in (1e-6, -1e-6))
            np.testing.assert_allclose(term.jvp(at, along), (up - down) / 2e-6, rtol=1e-5, atol=1e-6)


def test_energy_of_training() -> None:
    """Standing currents of the multipliers; control capacitors have neither conveyors nor reset."""
    made = layer(time_constant=1e-6)
    x, t = (each[0] for each in examples(made, 1))
    meter = ds.EnergyMeter(ds.load_technology("cmos45"))
    ds.transient(made.circuit, {"x": x, "y": t}, initial=made.initial, duration=1e-7, settle_bits=0, observers=[meter])
    report = meter.report()
    current = float(made.multiplier_gain.sum()) * 0.2 * 0.2
    assert report.by("part")["ECL multiplier"][0][0] == pytest.approx(current * 1e-7, rel=1e-6)
    of_nodes = {part for part, layer_, _ in ((e.part, e.layer, e.phase) for e in report.entries) if layer_ == "weights"}
    assert of_nodes <= {"feedback", "ECL multiplier"}


def test_other_terms_take_part_in_the_loss() -> None:
    circuit = ds.Circuit("two", output="y")
    circuit.clamp("x", (2,))
    circuit.nodes("h", (2,))
    circuit.couple("first", "x", "h", 0.5)
    circuit.nodes("y", (2,), ratio=0.8)
    circuit.couple("w", "h", "y", [[1.0, 2.0], [3.0, 4.0]])
    circuit.couple("skip", "x", "y", 0.1)
    circuit.bias("b", "y", [0.01, 0.02])
    made = ds.ecl_layer(circuit, "w")
    x, t = np.array([0.03, -0.02]), np.array([0.05, 0.02])
    rest = ds.operating_point(made.circuit.clamped(made.control), {"x": x, "y": t, made.control: made.weight})
    expected = made.weight @ (0.5 * x) + 0.1 * x + [0.01, 0.02] - 0.8 * t
    np.testing.assert_allclose(rest.logical("y.loss")[0], expected, rtol=1e-9)
    assert made.circuit.arrays["h"].capacitance == pytest.approx(49e-15 + 2 * 2.2e-15)
    assert circuit.arrays["y"].clamped is False and "w.control" not in circuit.arrays


def test_what_cannot_learn_says_so() -> None:
    circuit = ds.Circuit("bad")
    circuit.clamp("x", (2,))
    circuit.nodes("y", (2,))
    circuit.couple("w", "x", "y", np.eye(2))
    circuit.couple("each", "x", "y", 0.5)
    circuit.couple("plain", "x", "y", 0.1 * np.eye(2), passive=True)
    circuit.couple("none", "x", "y", np.zeros((2, 2)))
    circuit.nodes("root", (2,), feedback=Feedback("root"))
    circuit.couple("into root", "x", "root", np.eye(2))
    for problem, term, options in (
        ("'bad' has no term 'v': it has w, each", "v", {}),
        ("term 'each' cannot learn: give dense couplings", "each", {}),
        ("term 'plain' cannot learn", "plain", {}),
        ("weights of 'none' are all 0: say largest_weight", "none", {}),
        ("feedback driven by 'root'", "into root", {}),
        ("largest_weight is 0.5, but 'w' holds a weight of 1", "w", {"largest_weight": 0.5}),
        ("time_constant is 0", "w", {"time_constant": 0}),
        ("sampling_resistor is -1", "w", {"sampling_resistor": -1}),
        ("output_ratio is 0", "w", {"output_ratio": 0}),
        ("hold 'good' is unknown", "w", {"hold": "good"}),
    ):
        with pytest.raises(ds.Error, match=problem):
            ds.ecl_layer(circuit, term, **options)
    made = ds.ecl_layer(circuit, "w")
    with pytest.raises(ds.Error, match="is no chip of"):
        made.on(ds.fabricate(circuit))
    assert replace(made, circuit=made.circuit).rate(1e-6) == pytest.approx(1.0)
