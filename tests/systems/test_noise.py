"""Noise against its closed forms: kT/C, Lyapunov, and the stepper's own covariance computed without sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov
from systems import everything as small
from systems import ring
from systems.lags import chain
from systems.root import STEP, waiting_root
from systems.system import FULL_SCALE, TAU, Array

from dsmachine.circuits.cells import Feedback, View
from dsmachine.circuits.circuit import BOLTZMANN, Circuit
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.inputs import checked_inputs
from dsmachine.emulator.linearized import joined, stationary_covariance
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.plan import Plan, make_plan
from dsmachine.emulator.quickest import shortest_time_constant
from dsmachine.emulator.run import Run, transient
from dsmachine.emulator.steps import Noise
from dsmachine.emulator.stochastic import Stepper

KTC = BOLTZMANN * 300 / 49e-15  # V²


class Pushes(Noise):
    """In place of random numbers: run k pushes node k by `size`, and the last run pushes none."""

    def __init__(self, plan: Plan, level: str | float, size: float) -> None:
        super().__init__(level, 0)
        self.size, self.at = size, {}
        start = 0
        for stage in plan.stages:
            self.at[stage.name] = start
            start += int(np.prod(stage.node.shape))

    counted = False

    def normals(self, name: str, first: int, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
        count = int(np.prod(shape[1:]))
        rows = np.zeros((shape[0], count))
        rows[self.at[name] + np.arange(count), np.arange(count)] = self.size
        return rows.reshape(1, *shape).astype(dtype)


def step_covariance(circuit: Circuit, inputs: dict[str, Any], step: float, level: str | float = "thermal") -> Array:
    """Stationary covariance that the stepper has, linearised at its operating point: P = L P Lᵀ + M Mᵀ, exactly.

    L is one noiseless step of every unit deviation, M one step under a unit random number at every node.
    """
    plan = make_plan(circuit, Backend(precision="float64"))
    x = solve_operating_point(plan, inputs)
    values = checked_inputs(circuit, plan.backend, inputs)
    h = step * shortest_time_constant(plan, x)
    size = sum(int(np.prod(stage.node.shape)) for stage in plan.stages)
    offsets, start, first = {}, {}, 0
    for stage in plan.stages:
        count = int(np.prod(stage.node.shape))
        shift = np.zeros((size + 1, count))
        shift[first + np.arange(count), np.arange(count)] = 1e-7
        offsets[stage.name] = x[stage.name] + shift.reshape(size + 1, *stage.node.shape)
        start[stage.name] = np.repeat(x[stage.name], size + 1, axis=0)
        first += count

    def after(state: dict[str, Array], noise: Noise | None) -> Array:
        stepper = Stepper(plan, values, state, step=h, noise=noise, observers=[])
        stepper.window(0.0, h)
        end = joined(plan.stages, stepper.x)
        return (end[:-1] - end[-1]).T

    moved = after(offsets, None) / 1e-7
    pushed = after(start, Pushes(plan, level, 1e-3)) / 1e-3
    found: Array = solve_discrete_lyapunov(moved, pushed @ pushed.T)
    return found


def relative(found: Array, known: Array) -> float:
    """Largest entry of the difference, relative to sqrt(P_ii P_jj)."""
    scale = np.sqrt(np.diag(known))
    return float(np.abs((found - known) / np.outer(scale, scale)).max())


def lyapunov(circuit: Circuit, inputs: dict[str, Any]) -> Array:
    plan = make_plan(circuit, Backend(precision="float64"))
    return stationary_covariance(plan, solve_operating_point(plan, inputs))


def passive() -> Circuit:
    circuit = Circuit("passive RC")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,))
    circuit.couple("w", "u", "v", 0.7, passive=True)
    return circuit


def cascade_covariance(count: int) -> Array:
    """Of unit lags: every node's own noise comes from its feedback g and its coupling g, 2 kT/C alone."""
    a = -np.eye(count) + np.eye(count, k=-1)
    known: Array = solve_continuous_lyapunov(a, -2 * 2 * KTC * np.eye(count))
    return known


def test_passive_circuit_has_kt_over_c_at_any_step() -> None:
    for step in (0.01, 0.25, 3.0):
        assert step_covariance(passive(), {"u": [0.2]}, step)[0, 0] == pytest.approx(KTC, rel=1e-7)


def test_buffered_node_has_its_couplings_noise_on_top() -> None:
    assert step_covariance(chain(1), {"u": [0.2]}, 0.25)[0, 0] == pytest.approx(2 * KTC, rel=1e-7)


def test_linearised_covariance_of_a_cascade() -> None:
    assert relative(lyapunov(chain(6), {"u": [0.2]}), cascade_covariance(6)) < 1e-12


def test_cascade_covariance_is_of_second_order_and_within_one_percent() -> None:
    known = cascade_covariance(6)
    errors = [relative(step_covariance(chain(6), {"u": [0.2]}, step), known) for step in (1 / 2, 1 / 4, 1 / 8)]
    assert errors[1] < 0.003
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5


def products() -> Circuit:
    """Two noisy nodes, their product, a lag behind it and a division by a root; time constants differ."""
    circuit = Circuit("products")
    circuit.clamp("u", (2, 3))
    circuit.nodes("a", (2, 3))
    circuit.nodes("b", (2, 3), capacitance=2 * 49e-15)
    circuit.nodes("c", (2, 1))
    circuit.nodes("s", (2, 1), feedback=Feedback("s"))
    circuit.nodes("y", (2, 3), feedback=Feedback("s"), unit=0.25)
    circuit.couple("ua", "u", "a", 0.9 * np.eye(3) + 0.1)
    circuit.couple("ub", "u", "b", 0.5 * np.eye(3) + 0.2)
    circuit.multiply("abc", "a", View("b"), "c", "pd,pd->p", 1.0)
    circuit.bias("bc", "c", 0.1)
    circuit.couple("cs", "c", "s", 1.0)
    circuit.couple("ay", "a", "y", 1.0)
    return circuit


PRODUCT_INPUTS = {"u": np.array([[0.3, -0.2, 0.25], [0.1, 0.35, -0.3]])}


@pytest.mark.parametrize(
    ("circuit", "inputs"),
    [
        (products(), PRODUCT_INPUTS),
        (ring.circuit(), {}),
        (small.circuit(), {"u": small.weights()[3]}),
    ],
    ids=["products", "ring", "everything"],
)
def test_covariance_of_nonlinear_circuits_and_cycles(circuit: Circuit, inputs: dict[str, Any]) -> None:
    """Against the linearised Lyapunov solution: ≤ 1 % at τ/4, of second order."""
    known = lyapunov(circuit, inputs)
    coarse, fine = (relative(step_covariance(circuit, inputs, step), known) for step in (1 / 4, 1 / 8))
    assert coarse < 0.01
    assert 3 < coarse / fine < 5


def end_volts(run: Run, names: list[str]) -> Array:
    return np.concatenate([run.outputs[n].reshape(len(run.outputs[n]), -1) for n in names], axis=1)


def test_sampled_cascade_within_four_standard_errors() -> None:
    """20,000 independent runs: the standard error of an entry is sqrt((P_ii P_jj + P_ij²)/N)."""
    count, samples = 6, 20_000
    run = transient(chain(count), {"u": [0.2]}, noise="thermal", samples=samples, read_window=30 * TAU)
    found = np.cov(end_volts(run, [f"x{k}" for k in range(count)]).astype(float), rowvar=False)
    known = step_covariance(chain(count), {"u": [0.2]}, 0.25)
    bound = 4 * np.sqrt((np.outer(np.diag(known), np.diag(known)) + known**2) / samples)
    assert (np.abs(found - known) < bound).all()
    for k in range(count):
        assert run.noise_rms[f"x{k}"] == pytest.approx(np.sqrt(known[k, k]) / FULL_SCALE, rel=0.02)


def test_sampled_product_circuit_has_the_linearised_covariance() -> None:
    run = transient(products(), PRODUCT_INPUTS, noise="thermal", samples=8000, read_window=30 * TAU, noise_seed=3)
    units = np.repeat([1, 1, 1, 1, 0.25], [6, 6, 2, 2, 6])
    found = np.cov(end_volts(run, ["a", "b", "c", "s", "y"]) / units, rowvar=False)
    known = lyapunov(products(), PRODUCT_INPUTS)
    plan = make_plan(products(), Backend(precision="float64"))
    order = np.concatenate([_places(plan, name) for name in ("a", "b", "c", "s", "y")])
    known = known[np.ix_(order, order)]
    scale = np.sqrt(np.diag(known))
    # 4 standard errors, the discretisation (1 %) and what is not linear in the noise (first order: none)
    assert (np.abs(found - known) / np.outer(scale, scale)).max() < 4 * np.sqrt(2 / 8000) + 0.01


def _places(plan: Plan, name: str) -> Array:
    start = 0
    for stage in plan.stages:
        count = int(np.prod(stage.node.shape))
        if stage.name == name:
            return np.arange(start, start + count)
        start += count
    raise AssertionError(name)


def test_sigma_is_each_nodes_own_share_of_full_scale() -> None:
    circuit = products()
    covariance = step_covariance(circuit, PRODUCT_INPUTS, 0.25, 0.01)
    plan = make_plan(circuit, Backend(precision="float64"))
    for name in ("a", "b"):  # driven by clamped nodes only, so their noise is their own
        for k in _places(plan, name):
            assert np.sqrt(covariance[k, k]) == pytest.approx(0.01 * FULL_SCALE, rel=1e-6)


def test_a_waiting_root_recovers_in_noise() -> None:
    """−1 % of full scale and 0.5 % noise for 100 τ, then a step: every one of 400 roots ends near sqrt(A)."""
    system = waiting_root()
    run = transient(
        system.circuit, system.inputs, noise=0.005, samples=400, read_window=system.duration, initial="zero"
    )
    assert np.abs(run.outputs["s"] - np.sqrt(STEP)).max() < 5 * 0.005 * FULL_SCALE


def test_noise_repeats_and_does_not_depend_on_the_order_of_arrays() -> None:
    def build(names: list[str]) -> Circuit:
        circuit = Circuit("two")
        for name in names:
            circuit.nodes(name, (3,))
        for name in names:
            circuit.bias(f"{name}.b", name, 0.1)
        return circuit

    runs = [
        transient(build(names), noise=0.01, samples=4, read_window=5 * TAU, noise_seed=seed).outputs
        for names, seed in ((["p", "q"], 0), (["q", "p"], 0), (["p", "q"], 1))
    ]
    for name in ("p", "q"):
        assert (runs[0][name] == runs[1][name]).all()
        assert (runs[0][name] != runs[2][name]).all()
    assert (runs[0]["p"] != runs[0]["q"]).all()


def test_samples_of_several_inputs_stand_side_by_side() -> None:
    circuit = chain(2)
    u = np.array([[0.1], [0.3]])
    run = transient(circuit, {"u": u}, noise=0.001, samples=3, read_window=5 * TAU)
    assert run.outputs["x1"].shape == (6, 1)
    assert run.outputs["x1"][:, 0] == pytest.approx(np.tile([0.1, 0.3], 3), abs=0.005)


def test_observers_see_every_step() -> None:
    probe = Probe(["x0"], times=np.linspace(0, 5 * TAU, 21))
    transient(chain(1), {"u": [0.2]}, noise="thermal", samples=2, read_window=5 * TAU, observers=[probe])
    assert probe.volts("x0").shape == (21, 2, 1)
    assert len(np.unique(probe.volts("x0")[1:, 0, 0])) == 20
