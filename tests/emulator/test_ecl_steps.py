"""Layers that train themselves, in time and in steps, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ecl_layers import RINGING, examples, layer, one_after_another
from scipy.linalg import expm

import dsmachine as ds
from dsmachine.circuits.ecl import EclLayer
from dsmachine.circuits.words import counted

Array = Any
Q, K = 1.602176634e-19, 1.380649e-23  # C, J/K


def learned(made: EclLayer, inputs: dict[str, Any], seconds: float, tolerance: float = 1e-6) -> Array:
    """Weights after some seconds."""
    run = ds.transient(
        made.circuit, inputs, initial=made.initial, duration=seconds, settle_bits=0, tolerance=tolerance,
        precision="float64",
    )  # fmt: skip
    return run.logical(made.control)[0]


def two_lags(made: EclLayer, x: Array, t: Array, seconds: float) -> Array:
    """Weights after presentations x (N, in), t (N, out). With e = w·x − t and x held, weights move along x:

    τ_r dI/dt = e − I,    τ de/dt = −|x|² I,    the next presentation beginning with the I of the one before.
    """
    w, loss = made.weight.copy(), np.zeros(len(made.weight))
    fast, slow = made.circuit.arrays[made.loss].time_constant, made.time_constant
    for one, goal in zip(x, t, strict=True):
        n, before = one @ one, w @ one - goal
        move = expm(np.array([[-1 / fast, 1 / fast], [-n / slow, 0]]) * seconds)
        loss, after = move @ np.stack([loss, before])
        w += np.outer(after - before, one) / n
    return w


@pytest.mark.parametrize("share", [0.02, 0.3, 3.0])
def test_a_row_with_its_input_held_is_two_lags_in_a_ring(share: float) -> None:
    made = layer(time_constant=RINGING)
    x, t = examples(made, 1, 1.5)
    seconds = share * made.time_constant / float(x[0] @ x[0])
    found = learned(made, {"x": x[0], "y": t[0]}, seconds)
    np.testing.assert_allclose(found, two_lags(made, x, t, seconds), atol=1e-5)


def test_it_rings_where_weights_are_faster_than_the_sampling_resistor() -> None:
    """From τ < 4 |x|² τ_r on: the outputs pass their targets."""
    made = layer(time_constant=1e-9)
    x, t = examples(made, 1)
    assert made.time_constant < 4 * x[0] @ x[0] * made.circuit.arrays[made.loss].time_constant
    found = learned(made, {"x": x[0], "y": t[0]}, 3e-9)
    np.testing.assert_allclose(found, two_lags(made, x, t, 3e-9), atol=1e-5)
    assert ((found @ x[0] - t[0]) / (made.weight @ x[0] - t[0]) < 0).all()


@pytest.mark.parametrize("turns", [0.03, 2.0, 30.0])
def test_presentations_in_sequence_are_steps_along_their_inputs(turns: float) -> None:
    """w ← w − (1 − e^(−η|x|²)) (w·x − t) xᵀ/|x|², η = T/τ: gradient steps of η where that is small, Kaczmarz's
    projections where it is large."""
    made = layer(time_constant=1e-5)
    x, t = examples(made, 5, 0.6)
    seconds = turns * made.time_constant / float((x**2).sum(axis=1).mean())
    found = learned(made, one_after_another(made, x, t, seconds), 5 * seconds, 1e-7)
    np.testing.assert_allclose(found, two_lags(made, x, t, seconds), atol=1e-5)
    ideal, steps, projected = (made.weight.copy() for _ in range(3))
    for one, goal in zip(x, t, strict=True):
        n = one @ one
        ideal -= (1 - np.exp(-made.rate(seconds) * n)) * np.outer(ideal @ one - goal, one) / n
        steps -= made.rate(seconds) * np.outer(steps @ one - goal, one)
        projected -= np.outer(projected @ one - goal, one) / n
    moved = np.abs(ideal - made.weight).max()
    assert np.abs(found - ideal).max() < 1e-2 * moved
    if turns < 0.1:
        assert np.abs(found - steps).max() < 0.03 * moved
    if turns > 20:
        np.testing.assert_allclose(found, projected, atol=1e-3)


def test_steps_are_gradient_descent() -> None:
    made = layer()
    x, t = examples(made, 20)
    w, losses = made.weight.copy(), []
    for one, goal in zip(x, t, strict=True):
        losses.append(0.5 * np.sum((w @ one - goal) ** 2))
        w -= 0.1 * np.outer(w @ one - goal, one)
    found = ds.ecl_steps(made, {"x": x, "y": t}, 1e-7)
    np.testing.assert_allclose(found.weight, w, atol=1e-7)
    np.testing.assert_allclose(found.loss, losses, rtol=1e-6)
    assert found.at_rails == 0


def test_steps_and_time_differ_by_what_moves_meanwhile() -> None:
    """One presentation that begins with I = 0. A step is too long by ηn/(1 − e^(−ηn)). In time the loss comes τ_r later
    and lags while it falls: to first order in τ_r/τ, e(T) is off by n (τ_r/τ) (1 − ηn) e^(−ηn) of e(0)."""
    made = layer(time_constant=1e-6)
    x, t = (each[0] for each in examples(made, 1))
    seconds, n = 1e-7, x @ x
    eta, lag = made.rate(seconds), made.circuit.arrays[made.loss].time_constant / made.time_constant
    step = ds.ecl_steps(made, {"x": x, "y": t}, seconds).weight - made.weight
    fine = ds.ecl_steps(made, {"x": x, "y": t}, seconds, steps=2000).weight - made.weight
    time = learned(made, {"x": x, "y": t}, seconds) - made.weight
    np.testing.assert_allclose(step / fine, eta * n / (1 - np.exp(-eta * n)), rtol=1e-4)
    missed = -lag * (1 - eta * n) * np.exp(-eta * n) * np.outer(made.weight @ x - t, x)
    np.testing.assert_allclose(fine - time, missed, rtol=0.02, atol=1e-7)


def test_steps_and_time_agree_over_many_presentations() -> None:
    """Leak, a chip's gains and offsets and all."""
    made = layer(time_constant=1e-4, hold="plain")
    made = made.on(ds.fabricate(made.circuit, seed=5, mismatch=0.1, offset=0.02))
    x, t = examples(made, 12)
    seconds = 2e-6
    time = learned(made, one_after_another(made, x, t, seconds), len(x) * seconds, 1e-5)
    moved = np.abs(time - made.weight).max()
    coarse, fine = (ds.ecl_steps(made, {"x": x, "y": t}, seconds, steps=k).weight for k in (1, 10))
    assert np.abs(fine - time).max() < 3e-3 * moved
    assert np.abs(coarse - time).max() < 3e-2 * moved
    ideal = ds.ecl_steps(layer(time_constant=1e-4), {"x": x, "y": t}, seconds, steps=10).weight
    assert np.abs(ideal - time).max() > 5e-2 * moved


@pytest.mark.parametrize("loss", [2.0, -2.0])
def test_weights_stop_at_their_rails_and_leave_them_at_once(loss: float) -> None:
    """h = R − |w| under a constant push z: e^(h/v) − 1 falls as e^(−zt/τv), v = kT/q."""
    made = layer(1, 1)
    given = made.on(made.circuit.clamped(made.loss))
    volts = K * 300.15 / Q / made.circuit.arrays[made.control].unit
    for seconds in (0.5e-6, 1e-6, 5e-6):
        far = made.reach + np.sign(loss) * made.weight
        left = np.log1p(np.expm1(far / volts) * np.exp(-2 * seconds / 1e-6 / volts)) * volts
        found = learned(given, {"x": [1.0], "y": [0.0], "y.loss": [loss]}, seconds)
        np.testing.assert_allclose(found, -np.sign(loss) * (made.reach - left), atol=1e-5)
    at = ds.ecl_steps(made, {"x": np.ones((40, 1)), "y": -np.sign(loss) * 9 * np.ones((40, 1))}, 1e-6)
    assert at.at_rails == 1 and at.weight == pytest.approx(-np.sign(loss) * made.reach, rel=1e-3)
    back = ds.ecl_steps(made, {"x": [1.0], "y": [0.0]}, 1e-7, weight=at.weight)
    clipped = 0.1 * 3  # a loss of 8 is at the rail of its own node, 0.3 V of 0.1 V
    assert np.abs(back.weight) == pytest.approx(made.reach - clipped, rel=1e-3)


def test_switches_leak_as_hold_capacitors_do() -> None:
    """69 pA of 49 fF: 1.4 mV/µs, and slower only in the last kT/q."""
    made = layer(2, 3, hold="plain", largest_weight=2.0)
    quiet = {"x": np.zeros(3), "y": np.zeros(2)}
    unit, seconds = made.circuit.arrays[made.control].unit, 20e-6
    volts = unit * learned(made, quiet, seconds)
    thermal, start = K * 300.15 / Q, np.abs(unit * made.weight)
    expected = np.log1p(np.expm1(start / thermal) * np.exp(-69e-12 * seconds / 49e-15 / thermal)) * thermal
    np.testing.assert_allclose(volts, np.sign(made.weight) * expected, atol=1e-6)
    far = start > 0.15
    np.testing.assert_allclose(np.abs(volts[far]), start[far] - 69e-12 * seconds / 49e-15, atol=1e-4)


def test_leak_leaves_a_loss() -> None:
    """One weight, x held: κ I x = −λ sign(w), λ = I_off/(g U): the loss that keeps up with the switch."""
    made = layer(1, 1, hold="plain", time_constant=1e-5)
    g, unit = 49e-15 / 1e-5, made.circuit.arrays[made.control].unit
    w = learned(made, {"x": [1.0], "y": [0.5 * made.reach]}, 2e-4)[0, 0]
    assert w - 0.5 * made.reach == pytest.approx(-69e-12 / (g * unit), rel=1e-3)


def test_offset_of_multipliers_moves_what_is_learned() -> None:
    """One presentation held: I = −δ·x/|x|² along x, and −δ/τ for ever across it."""
    made = layer(1, 3, time_constant=1e-5)
    chip = made.on(ds.fabricate(made.circuit, seed=2, offset=0.01))
    delta = chip.circuit.terms["w.ecl"].shift[0]
    full = made.circuit.full_scale("y.loss") * made.circuit.full_scale("x").max()
    assert np.abs(delta).max() < 4 * 0.01 * full
    settle = 6e-5
    x = np.array([1.0, -0.5, 1.5])
    off = chip.circuit.arrays["y.loss"].offset / chip.circuit.arrays["y.loss"].unit
    w = learned(chip, {"x": x, "y": [0.3]}, settle)[0]
    across = delta - x * (delta @ x) / (x @ x)
    assert w @ x - 0.3 + off == pytest.approx(-(delta @ x) / (x @ x), rel=1e-3)
    start = made.weight[0] - x * (made.weight[0] @ x) / (x @ x)
    np.testing.assert_allclose(w - x * (w @ x) / (x @ x), start - across * settle / 1e-5, atol=1e-4)


def test_a_chip_learns_its_own_devices() -> None:
    """Gains off by a tenth: the chip's outputs come to the target all the same, by other weights."""
    made = layer()
    chip = made.on(ds.fabricate(made.circuit, seed=1, mismatch=0.1))
    x, t = examples(made, 400)
    found = ds.ecl_steps(chip, {"x": x, "y": t}, 3e-7)
    assert found.loss[-20:].mean() < 1e-6 * found.loss[:20].mean()
    ideal = ds.ecl_steps(made, {"x": x, "y": t}, 3e-7)
    assert np.abs(found.weight - ideal.weight).max() > 1e-2


def test_multipliers_make_weights_walk() -> None:
    """Shot noise 2q I_T of each: ⟨δV²⟩ = q I_T t/C², I_T = k V_r V_x at full scale."""
    made = layer(3, 4)
    circuit = made.circuit.clamped(made.loss)
    node, seconds, samples = circuit.arrays[made.control], 2e-6, 60
    current = made.multiplier_gain * 0.2 * 0.2
    run = ds.transient(
        circuit, {"x": np.zeros(4), "y": np.zeros(3), "y.loss": np.zeros(3)}, initial=made.initial, noise="thermal",
        read_window=seconds, samples=samples, precision="float64",
    )  # fmt: skip
    walk = (run.outputs[made.control] - node.unit * made.weight) ** 2 / (Q * current * seconds / 49e-15**2)
    assert walk.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / walk.size))


def test_learned_weights_fluctuate() -> None:
    """Weights at rest, x held, slow beside τ_r: noise of loss and multiplier is filtered by x²/τ. One-sided densities
    2qI_T on the capacitor, 4kT (1/r + g + |G|) of resistor, target's feedback and coupling at the sampling node:

        σ² = (x² S_I + S_w)/(4 x² τ),    S_I = 4kT ΣG/(g U)²,  S_w = 2q I_T/(g_J U_J)²

    In steps σ² is 1/(1 − ηx²/2) times that, and the mean of I over a step has S_I/2T more than x²σ²."""
    made, rows, x, t = layer(12, 1, time_constant=2e-7), 12, 1.5, 1.2
    node, g, seconds = made.circuit.arrays[made.control], 32.26e-6, 2e-8
    of_loss = 4 * K * 300.15 * g * (1 + t / x + 1) / (g * 0.1) ** 2
    of_weight = 2 * Q * float(made.multiplier_gain[0, 0]) * 0.2 * 0.2 / (node.conductance * node.unit) ** 2
    expected = (x * x * of_loss + of_weight) / (4 * x * x * made.time_constant)
    given = {"x": np.full((600, 1), x), "y": np.full(rows, t)}
    options: dict[str, Any] = {"noise": "thermal", "weight": np.full((rows, 1), t / x)}
    found = ds.ecl_steps(made, given, seconds, **options)
    mean = of_loss / (2 * seconds) + x * x * expected / (1 - made.rate(seconds) * x * x / 2)
    independent = 550 * rows / 9  # of a correlation of 1 − ηx² a step
    assert 2 * found.loss[50:].mean() / rows == pytest.approx(mean, rel=4 * np.sqrt(2 / independent))
    few = {"x": given["x"][:3], "y": given["y"]}
    twice = [ds.ecl_steps(made, few, seconds, **options, noise_seed=seed).weight for seed in (0, 0, 1)]
    assert (twice[0] == twice[1]).all() and (twice[0] != twice[2]).all()
    run = ds.transient(
        made.circuit, {"x": [x], "y": given["y"]}, initial={made.control: options["weight"]}, noise="thermal",
        read_window=1e-6, samples=60, precision="float64",
    )  # fmt: skip
    spread = run.logical(made.control) - t / x
    assert np.mean(spread**2) == pytest.approx(expected, rel=4 * np.sqrt(2 / spread.size) + 0.02)


def test_positions_push_into_one_capacitor() -> None:
    rng = np.random.default_rng(0)
    circuit = ds.Circuit("positions", output="y")
    circuit.clamp("x", (5, 4), unit=0.1)
    circuit.nodes("y", (5, 3), unit=np.linspace(0.05, 0.1, 15).reshape(5, 3))
    circuit.couple("w", "x", "y", rng.normal(size=(3, 4)))
    circuit.bias("b", "y", rng.normal(size=3))
    made = ds.ecl_layer(circuit, "w", hold="ideal", output_ratio=1e-8, largest_weight=8.0)
    x, t = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    miss = x @ made.weight.T + circuit.terms["b"].value - t
    found = ds.ecl_steps(made, {"x": x, "y": t}, 1e-8)
    np.testing.assert_allclose(found.weight, made.weight - 0.01 * miss.T @ x, atol=1e-7)
    assert found.loss == pytest.approx([0.5 * np.sum(miss**2)])


def test_on_kernels(fused: Any) -> None:
    made = layer(hold="plain", time_constant=RINGING)
    x, t = (each[0] for each in examples(made, 1, 1.5))
    there = learned(made, {"x": x, "y": t}, 1e-7)
    fused()
    np.testing.assert_allclose(learned(made, {"x": x, "y": t}, 1e-7), there, atol=1e-9)


def test_steps_that_are_too_long_are_warned_of(caplog: Any) -> None:
    """ηn > 2: steps swing, as gradient descent does, no further than the loss of a rail takes them; longer ones to the
    weights' rails. The circuit in time comes to rest."""
    made = layer(time_constant=1e-7)
    x, t = (each[0] for each in examples(made, 1))
    given, turn = {"x": np.tile(x, (40, 1)), "y": t}, made.time_constant / float(x @ x)
    swinging = ds.ecl_steps(made, given, 3 * turn)
    assert swinging.at_rails == 0 and (swinging.loss[-5:] > swinging.loss[0]).all()
    found = ds.ecl_steps(made, given, 30 * turn)
    assert found.at_rails > 0
    assert f"{counted(found.at_rails, 'weight')} of 'w' at the rails, ±8: a lower η" in caplog.text
    assert learned(made, {"x": x, "y": t}, 30 * turn) @ x == pytest.approx(t, abs=1e-4)


def test_what_cannot_be_learned_says_so() -> None:
    made = layer()
    x, t = examples(made, 3)
    for problem, inputs, options in (
        ("seconds is 0", {"x": x, "y": t}, {"seconds": 0}),
        ("steps is 0", {"x": x, "y": t}, {"steps": 0}),
        ("noise is 0.1: steps of a layer know 'off' and 'thermal'", {"x": x, "y": t}, {"noise": 0.1}),
        ("presentations: give all the same", {"x": x, "y": t[:2]}, {}),
        ("input 'y' of 'layer, w learns' has no value", {"x": x}, {}),
        ("weight has shape \\(2, 2\\): 'w' has \\(3, 4\\)", {"x": x, "y": t}, {"weight": np.zeros((2, 2))}),
        ("weight is NaN", {"x": x, "y": t}, {"weight": np.full((3, 4), np.nan)}),
    ):
        with pytest.raises(ds.Error, match=problem):
            ds.ecl_steps(made, inputs, **({"seconds": 1e-7} | options))
