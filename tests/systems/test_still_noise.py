"""Noise that stands still at a reading: variances of single nodes and of a cascade; gradients of what was read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from systems.lags import chain
from systems.system import FULL_SCALE, Array
from systems.test_noise import KTC, passive

import dsmachine as ds
from dsmachine.circuits.cells import Feedback
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.losses import TARGET, WEIGHT
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.gradients import gradients
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.plan import make_plan
from dsmachine.emulator.still_noise import StillNoise

SAMPLES = 40_000  # a variance's standard error is 0.7 %


def deviations(circuit: Circuit, inputs: dict[str, float], noise: StillNoise, reading: int = 0) -> dict[str, Array]:
    """Of each node, (SAMPLES,), from where it rests without noise."""
    plan = make_plan(circuit, Backend(precision="float64"))
    many = {name: np.full((SAMPLES, 1), value) for name, value in inputs.items()}
    still = solve_operating_point(plan, many)
    found = solve_operating_point(plan, many, shaken=noise.at(plan, reading))
    return {stage.name: (found[stage.name] - still[stage.name])[:, 0] for stage in plan.stages}


def test_a_node_alone_has_its_thermal_noise() -> None:
    """kT/C of a passive RC; 2 kT/C of a unit lag; kT(1 + Ks)/2KsC of a root."""
    thermal = StillNoise("thermal", 3)
    assert deviations(passive(), {"u": 0.2}, thermal)["v"].var() == pytest.approx(KTC, rel=0.03)
    assert deviations(chain(1), {"u": 0.2}, thermal)["x0"].var() == pytest.approx(2 * KTC, rel=0.03)
    root = Circuit("root")
    root.clamp("a", (1,))
    root.nodes("s", (1,), feedback=Feedback("s", 2.0))
    root.couple("w", "a", "s", 1.0)
    ks = np.sqrt(2.0 * 0.08)
    found = deviations(root, {"a": 0.08}, thermal)["s"].var()
    assert found == pytest.approx(KTC * (1 + ks) / (2 * ks), rel=0.03)


@pytest.mark.parametrize(("unit", "one"), [("full-scale", FULL_SCALE), ("activation", 1.0)])
def test_a_cascade_adds_up_all_that_its_nodes_have(unit: str, one: float) -> None:
    """No lag filters what stands still: variances add, and node k shares those of nodes 0 … k."""
    found = deviations(chain(3), {"u": 0.0}, StillNoise(0.01, 5, unit))
    variance = (0.01 * one) ** 2
    for k in range(3):
        assert found[f"x{k}"].var() == pytest.approx((k + 1) * variance, rel=0.03)
    assert np.mean(found["x0"] * found["x2"]) == pytest.approx(variance, rel=0.05)


def test_each_reading_has_noise_of_its_own() -> None:
    noise = StillNoise(0.01, 5)
    one, again, other = (deviations(chain(1), {"u": 0.0}, noise, reading)["x0"] for reading in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_gradients_are_those_of_what_was_read() -> None:
    """y = w x, x = u + ξ₀, L = (y + ξ₁ − t)²/2: dL/dw = (y + ξ₁ − t) x with x as it was read."""
    circuit = Circuit("two lags", output="y")
    circuit.clamp("u", (2,))
    circuit.nodes("x", (2,))
    circuit.nodes("y", (2,))
    circuit.couple("in", "u", "x", np.eye(2))
    circuit.couple("w", "x", "y", np.array([[0.5, 0.2], [-0.3, 0.4]]))
    made = ds.adjoint(circuit, loss="quadratic")
    targets = {TARGET: np.array([[0.03, 0.02]]), WEIGHT: np.ones((1, 1))}
    found = gradients(
        circuit, {"u": [[0.1, -0.05]]}, targets, back=made, noise=StillNoise(0.05, 1), reading=4, precision="float64"
    )
    x, y = found.forward.logical("x")[0], found.forward.logical("y")[0]
    assert np.abs(x - [0.1, -0.05]).min() > 1e-4
    assert np.abs(y - np.array([[0.5, 0.2], [-0.3, 0.4]]) @ x).min() > 1e-4
    np.testing.assert_allclose(found.terms["w"], np.outer(y - [0.03, 0.02], x), rtol=1e-9)


def test_slopes_of_rails_are_those_of_what_noise_was_put_on() -> None:
    """Held, in the knee and free nodes, far off by noise, against central differences with the same noise."""
    circuit = Circuit("noisy rails", output="y")
    circuit.clamp("u", (1,))
    circuit.nodes("x", (4,), rail=1.0)
    circuit.nodes("y", (2,), rail=2.0)
    circuit.couple("v", "x", "y", np.array([[0.5, -0.2, 0.3, 0.4], [0.1, 0.3, -0.6, 0.2]]))
    targets = {TARGET: np.array([[0.3, -0.2]]), WEIGHT: np.ones((1, 1))}

    def found(weight: Array) -> Any:
        own = circuit.with_terms(())
        own.couple("w", "u", "x", weight)
        noise = StillNoise(0.3, seed=2, unit="activation")
        return gradients(own, {"u": [[1.0]]}, targets, loss="quadratic", noise=noise)

    weight = np.array([[6.0], [0.97], [0.2], [-1.02]])
    ours, known = found(weight).terms["w"][:, 0], np.zeros(4)
    for k in range(4):
        step = 1e-5 * (np.arange(4) == k)[:, None]
        known[k] = (found(weight + step).loss[0] - found(weight - step).loss[0]) / 2e-5
    assert known[0] == 0 and np.abs(known[1:]).min() > 1e-3
    np.testing.assert_allclose(ours, known, atol=1e-6)


def test_what_is_no_noise_is_refused() -> None:
    wrong: list[tuple[Any, str]] = [
        (("off",), "makes none"), ((2.0,), "noise 2.0 is unknown"), ((0.1, 0, "volts"), "unit 'volts' is unknown"),
    ]  # fmt: skip
    for given, said in wrong:
        with pytest.raises(Error, match=said):
            StillNoise(*given)
