"""Noise at the operating point against its closed forms, the dense Lyapunov solution, and the stepper's samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from systems import everything as small
from systems import ring
from systems import transistors as crossbars
from systems.lags import chain
from systems.system import FULL_SCALE, Array
from systems.test_noise import (
    KTC,
    PRODUCT_INPUTS,
    cascade_covariance,
    lyapunov,
    passive,
    products,
    relative,
    step_covariance,
)

import dsmachine as ds
from dsmachine.circuits.cells import Feedback
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.fluctuation import Fluctuation, _angles
from dsmachine.emulator.linearized import joined
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.plan import Stage, make_plan

FREQUENCIES = 40


class Unit(Fluctuation):
    """In place of random numbers: pair k pushes node k with |n|² = 2, so that a sum over pairs is over all sources."""

    def _normal(self, stage: Stage, point: int, rows: range) -> Array:
        drawn = np.zeros((2, len(rows), int(np.prod(stage.node.shape))))
        start = 0
        for other in self.plan.stages:
            if other.name == stage.name:
                break
            start += int(np.prod(other.node.shape))
        for k, row in enumerate(rows):
            source = row // FREQUENCIES - start
            if 0 <= source < drawn.shape[2]:
                drawn[0, k, source] = np.sqrt(2)
        return drawn.reshape(-1, *stage.node.shape)


def covariance(circuit: Circuit, inputs: dict[str, Any], level: str | float = "thermal") -> Array:
    """Σ over sources and angles of Re δ δ†/2: what the samples' covariance tends to, without sampling."""
    plan = make_plan(circuit, Backend(precision="float64"))
    size = sum(int(np.prod(stage.node.shape)) for stage in plan.stages)
    x = solve_operating_point(plan, inputs)
    source = Unit(plan, x, level, seed=0, frequencies=FREQUENCIES, pairs=size)
    source.angle = np.tile(np.pi * ((np.arange(FREQUENCIES) + 0.25) / FREQUENCIES - 0.5), size)  # no pair's shift
    moved = {stage.name: values for stage, values in source.sweep(0, range(FREQUENCIES * size))}
    real, imaginary = joined(plan.stages, moved)
    found: Array = (real.T @ real + imaginary.T @ imaginary) / 2
    return found


def capacitors() -> Circuit:
    """u → a → b (feedback of its own each) → c (passive): nodes of an array differ in C, g, U and full scale."""
    circuit = Circuit("capacitors")
    circuit.clamp("u", (2, 4))
    farads = 49e-15 * np.array([[0.5, 1, 1.5, 2], [3, 1, 0.7, 1]])
    circuit.nodes("a", (2, 4), capacitance=farads, full_scale=0.1 + farads * 2e12)
    circuit.nodes("b", (2, 3), ratio=np.array([[1, 2, 3], [0.5, 1, 1]]), unit=np.array([[0.5], [1.0]]))
    circuit.nodes("c", (2, 2), unit=np.array([[0.5], [0.2]]))
    circuit.couple("ua", "u", "a", 1.0)
    circuit.couple("ab", "a", "b", np.linspace(-0.5, 0.9, 12).reshape(3, 4))
    circuit.couple("bc", "b", "c", np.linspace(0.1, 0.4, 6).reshape(2, 3), passive=True)
    return circuit


def row() -> Circuit:
    """u → scores → a softmax row of six branches with a tail of its own."""
    circuit = Circuit("row")
    circuit.clamp("u", (1, 6))
    circuit.nodes("score", (1, 6), unit=0.029, full_scale=0.1)
    circuit.nodes("p", (1, 6), unit=1 / 3, full_scale=1 / 3)
    circuit.couple("us", "u", "score", 1.0)
    circuit.softmax("p", "score", "p", tail_current=5e-6, junction_capacitance=10e-15)
    return circuit


def biased(circuit: Circuit) -> Circuit:
    return ds.fabricate(circuit, mismatch=0.05, offset=0.02, seed=3).circuit


SYSTEMS = {
    "products": (products(), PRODUCT_INPUTS),
    "everything": (small.circuit(), {"u": small.weights()[3]}),
    "a chip of everything": (biased(small.circuit()), {"u": small.weights()[3]}),
    "a chip of transistors": (crossbars.circuit(), {"u": crossbars.weights()[2]}),
    "row": (row(), {"u": np.linspace(-1, 1, 6)[None]}),
    "capacitors": (capacitors(), {"u": np.linspace(-0.2, 0.3, 8).reshape(2, 4)}),
}


def test_a_passive_circuit_has_kt_over_c() -> None:
    """For any time constant: ω₀ is the node's own and one angle is the integral."""
    assert covariance(passive(), {"u": [0.2]})[0, 0] == pytest.approx(KTC, rel=1e-12)


def test_a_cascade_has_its_lyapunov_covariance() -> None:
    assert relative(covariance(chain(6), {"u": [0.2]}), cascade_covariance(6)) < 1e-12


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_every_cell_has_its_lyapunov_covariance(name: str) -> None:
    circuit, inputs = SYSTEMS[name]
    assert relative(covariance(circuit, inputs), lyapunov(circuit, inputs)) < 1e-6


def test_sigma_is_each_nodes_own_share_of_full_scale() -> None:
    """Nodes that clamped nodes alone drive have σ; of an elder's variance ½ passes a unit lag of equal τ."""
    found = covariance(chain(2), {"u": [0.2]}, 0.01) / (0.01 * FULL_SCALE) ** 2
    assert np.diag(found) == pytest.approx([1.0, 1.5], rel=1e-9)
    circuit, inputs = SYSTEMS["capacitors"]
    own = np.sqrt(np.diag(covariance(circuit, inputs, 0.01))[:8])
    assert own == pytest.approx(0.01 * circuit.full_scale("a").reshape(-1), rel=1e-6)


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_sigma_is_the_steppers(name: str) -> None:
    """Against the stepper's own covariance without sampling, which is within 0.3 % at τ/4 and of second order."""
    circuit, inputs = SYSTEMS[name]
    assert relative(step_covariance(circuit, inputs, 1 / 32, 0.01), covariance(circuit, inputs, 0.01)) < 1e-3


def test_a_root_decays_twice_as_fast_as_its_feedback() -> None:
    """δs of γ(s)s = a is a lag of 2Ks: alone it has 2kT(ΣG)/2(2Ks)C, ΣG = g(1 + Ks)."""
    circuit = Circuit("root")
    circuit.clamp("a", (1,))
    circuit.nodes("s", (1,), feedback=Feedback("s", 2.0))
    circuit.couple("w", "a", "s", 1.0)
    ks = np.sqrt(2.0 * 0.08)
    assert covariance(circuit, {"a": [0.08]})[0, 0] == pytest.approx(KTC * (1 + ks) / (2 * ks), rel=1e-9)


@pytest.mark.parametrize("name", ["products", "everything"])
def test_variances_are_within_their_standard_errors(name: str) -> None:
    """Public function, float32: every node within 5 of its standard errors, every array's rms within 4."""
    circuit, inputs = SYSTEMS[name]
    found = ds.noise(circuit, inputs, samples=1000)
    plan = make_plan(circuit, Backend())
    known, start = np.diag(lyapunov(circuit, inputs)), 0
    for stage in plan.stages:
        count = int(np.prod(stage.node.shape))
        share = known[start : start + count].reshape(stage.node.shape) * stage.per_full_scale**2
        start += count
        error = found.standard_error[stage.name]
        assert 0 < error < 0.02
        assert found.variance[stage.name][0] == pytest.approx(share, rel=5 * error)
        assert found.rms[stage.name] == pytest.approx(np.sqrt(share.mean()), rel=4 * found.rms_error[stage.name])


def test_samples_have_the_covariance_and_are_normal() -> None:
    """20,000 samples of all arrays of a circuit with products: 4.5 standard errors; kurtosis 3."""
    circuit, count = products(), 20_000
    names = list(circuit.order()[k][0] for k in range(5))
    found = ds.noise(circuit, PRODUCT_INPUTS, samples=count, frequencies=4, record=names)
    known = lyapunov(circuit, PRODUCT_INPUTS)
    plan = make_plan(circuit, Backend())
    logical = np.concatenate(
        [(found.deviations[s.name] / circuit.units(s.name)).reshape(count, -1) for s in plan.stages], axis=1
    ).astype(float)
    bound = 4.5 * np.sqrt((np.outer(np.diag(known), np.diag(known)) + known**2) / count)
    assert (np.abs(np.cov(logical, rowvar=False) - known) < bound).all()
    normal = logical / np.sqrt(np.diag(known))
    assert (normal**4).mean(axis=0) == pytest.approx(3.0, abs=4.5 * np.sqrt(96 / count))
    pairs = (normal[0::2] * normal[1::2]).mean(axis=0)  # real and imaginary part of one sweep
    assert np.abs(pairs).max() < 4.5 * np.sqrt(2 / count)


def test_operating_points_stand_side_by_side_and_seeds_repeat() -> None:
    circuit = products()
    u = np.stack([PRODUCT_INPUTS["u"], -PRODUCT_INPUTS["u"][::-1]])
    both = ds.noise(circuit, {"u": u}, samples=7, record=["y"], precision="float64")
    again = ds.noise(circuit, {"u": u}, samples=7, record=["y"], precision="float64")
    alone = ds.noise(circuit, {"u": u[0]}, samples=7, record=["y"], precision="float64")
    other = ds.noise(circuit, {"u": u[0]}, samples=7, record=["y"], noise_seed=1, precision="float64")
    assert both.deviations["y"].shape == (14, 2, 3)
    assert both.variance["y"].shape == (2, 2, 3)
    assert (both.deviations["y"] == again.deviations["y"]).all()
    assert both.rms["y"] == again.rms["y"]
    assert (both.deviations["y"][1::2] != both.deviations["y"][0::2]).all()
    assert (alone.deviations["y"] != other.deviations["y"]).all()
    rest = np.concatenate([both.outputs["y"]] * 7)
    assert both.logical_samples("y") == pytest.approx((rest + both.deviations["y"]) / 0.25)


def test_every_operating_point_has_its_own_variance() -> None:
    circuit = products()
    u = np.stack([PRODUCT_INPUTS["u"], -PRODUCT_INPUTS["u"][::-1], 0.3 * PRODUCT_INPUTS["u"]])
    found = ds.noise(circuit, {"u": u}, samples=1000)
    plan = make_plan(circuit, Backend())
    for point in range(3):
        known = np.diag(lyapunov(circuit, {"u": u[point]}))
        ours = {s.name: found.variance[s.name][point] / s.per_full_scale**2 for s in plan.stages}
        assert joined(plan.stages, ours) == pytest.approx(known, rel=0.06)  # 4.5 standard errors
    assert found.rms["y"] == pytest.approx(np.sqrt(found.variance["y"].mean()), rel=1e-4)


def test_rows_of_a_sweep_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ds.noise(products(), PRODUCT_INPUTS, record=["y"], precision="float64")
    monkeypatch.setattr("dsmachine.emulator.noise.MOST_ROWS", 5)
    found = ds.noise(products(), PRODUCT_INPUTS, record=["y"], precision="float64")
    assert found.deviations["y"] == pytest.approx(known.deviations["y"], rel=1e-9)
    assert found.rms == pytest.approx(known.rms, rel=1e-9)


def test_what_it_refuses() -> None:
    with pytest.raises(ds.Error, match="noise cannot pass the cycle 'a, b': use transient"):
        ds.noise(ring.circuit())
    with pytest.raises(ds.Error, match="noise='off' leaves nothing"):
        ds.noise(chain(1), {"u": [0.2]}, noise="off")
    with pytest.raises(ds.Error, match="samples is 3: use a whole number, 4"):
        ds.noise(chain(1), {"u": [0.2]}, samples=3)
    with pytest.raises(ds.Error, match="record names 'u', no free array of '1 lags': use x0"):
        ds.noise(chain(1), {"u": [0.2]}, record=["u"])
    with pytest.raises(ds.Error, match="'x0' has no samples: pass record="):
        ds.noise(chain(1), {"u": [0.2]}).logical_samples("x0")


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_integrator_never_becomes_stationary() -> None:
    circuit = Circuit("integrator")
    circuit.nodes("v", (1,), ratio=0.0)
    with pytest.raises(ds.Error, match="a node of 'v' has no decay"):
        ds.noise(circuit)


@pytest.mark.slow
def test_a_language_model_has_the_steppers_noise() -> None:
    """tiny-shakespeare, 4 tokens: rms of every array within 10 % of what 16 transients show in 100 ns."""
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, 4)
    inputs = {"embed": model.embed(model.encode("KING"))}
    found = ds.noise(circuit, inputs, samples=64)
    run = ds.transient(circuit, inputs, noise="thermal", samples=16, read_window=200e-9)
    assert found.rms == pytest.approx(run.noise_rms, rel=0.1)
    assert found.deviations["logits"].shape == (64, 4, 64)


class Shifted(Unit):
    """`Unit`, and the nodes' ω₀ and every angle's shift as given: ω₀ = λ/(rτ)."""

    def __init__(self, plan: Any, x: Any, *, ratio: float, shift: float, count: int) -> None:
        super().__init__(plan, x, "thermal", seed=0, frequencies=count, pairs=1)
        own = self.pole
        self.pole = own / ratio
        self.strength = {name: value / np.sqrt(ratio) for name, value in self.strength.items()}
        self.angle = np.pi * ((np.arange(count) + shift) / count - 0.5)


@pytest.mark.parametrize("count", [4, 16])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("ratio", [0.1, 4.0])
def test_too_few_angles_are_off_by_poissons_kernel(count: int, shift: float, ratio: float) -> None:
    """A lag of a tenth of ω₀ has 2.6 or 0.4 of its variance by 4 angles, 1.08 or 0.92 by 16."""
    plan = make_plan(passive(), Backend(precision="float64"))
    x = solve_operating_point(plan, {"u": [0.2]})
    source = Shifted(plan, x, ratio=ratio, shift=shift, count=count)
    found = sum(float((moved**2).sum()) / 2 for _, moved in source.sweep(0, range(count)))
    q = ((1 - ratio) / (1 + ratio)) ** count
    expected = (1 - q * q) / (1 - 2 * q * np.cos(2 * np.pi * (shift - count / 2)) + q * q)
    assert found / KTC == pytest.approx(expected, rel=1e-9)


def test_variances_of_a_seed_are_those_of_all_its_pairs_angles() -> None:
    """Pairs' shifts are equidistant: P pairs of F angles are P F equidistant angles."""
    angles = _angles(4, 3, seed=5)
    assert np.diff(np.sort(angles)) == pytest.approx(np.pi / 12)
