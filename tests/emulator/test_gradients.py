"""Backward machines on the GPU's kernels, compiled for the processor; in time against Radau; comparators in ngspice."""

from __future__ import annotations

import re
import shutil
import time as clock
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dsmachine as ds
from dsmachine.circuits.cells import Feedback
from dsmachine.circuits.cells.smooth import limit, limit_slope, limited_slope
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.passing import Passing, Returning

Array = Any
NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
TAU = 49e-15 / 32.26e-6


def machine() -> tuple[ds.Circuit, dict[str, Any], dict[str, Any]]:
    """x → h → rectifier and tanh pair → normalised by their root → softmax's scores; (circuit, inputs, targets)."""
    rng = np.random.default_rng(4)
    circuit = ds.Circuit("machine", output="y")
    circuit.clamp("x", (3, 4), unit=0.1)
    circuit.nodes("h", (3, 6), unit=0.1)
    circuit.couple("w1", "x", "h", rng.normal(size=(6, 4)) / 2)
    circuit.nodes("r", (3, 6), unit=0.1)
    circuit.rectify("r", "h", "r")
    circuit.nodes("t", (3, 6), unit=0.2)
    circuit.tanh("t", "h", "t", gain=1.2)
    circuit.nodes("s", (3, 1), unit=0.2, feedback=Feedback("s", 1.5))
    circuit.multiply("squares", "t", "t", "s", "pd,pd->p", gain=1.5 / 6)
    circuit.nodes("n", (3, 6), unit=0.1, feedback=Feedback("s", 1.5))
    circuit.couple("norm", "r", "n", 1.5)
    circuit.nodes("y", (3, 5), unit=0.05)
    circuit.couple("w2", "n", "y", rng.normal(size=(5, 6)))
    return circuit, {"x": rng.normal(size=(3, 4))}, ds.next_token_targets(np.array([1, 4, 0]), 5)


def backward(mismatch: float = 0.0) -> tuple[ds.Circuit, Mapping[str, Array]]:
    circuit, inputs, targets = machine()
    circuit = ds.fabricate(circuit, seed=1, mismatch=mismatch).circuit
    found = ds.gradients(circuit, inputs, targets)
    back = found.calibrated()
    return back, found.inputs


def test_same_machine_on_kernels(fused: Any) -> None:
    circuit, inputs, targets = machine()
    ours = ds.gradients(circuit, inputs, targets)
    back = ours.calibrated()
    probe = Probe(["adjoint.h", "adjoint.n", "adjoint.s", "adjoint.r.slope"])
    run = ds.transient(back, ours.inputs, precision="float64", tolerance=1e-5, observers=[probe])
    fused()
    theirs = ds.gradients(circuit, inputs, targets, back=back)
    for name, value in ours.terms.items():
        np.testing.assert_allclose(theirs.terms[name], value, atol=1e-12 * np.abs(value).max())
    again = Probe(list(probe.index))
    later = ds.transient(back, ours.inputs, precision="float64", tolerance=1e-5, observers=[again])
    assert later.settling_time == pytest.approx(run.settling_time, rel=1e-6)
    for name in probe.index:
        assert again.volts(name) == pytest.approx(probe.volts(name), abs=1e-9), name


def held(share: float) -> tuple[ds.Circuit, dict[str, Any], dict[str, Any]]:
    """The same with rails that the largest nodes of some arrays would pass, and others come into the knee of."""
    circuit, inputs, targets = machine()
    rest = ds.operating_point(circuit, inputs)
    low = [
        replace(circuit.arrays[name], rail=share * float(np.abs(rest.outputs[name]).max())) for name in ("h", "s", "y")
    ]
    return circuit.with_terms((), low), inputs, targets


@pytest.mark.parametrize("kernels", [False, True])
def test_nodes_at_their_rails_pass_back_what_they_move(kernels: bool, fused: Any) -> None:
    """Flat, in the knee and linear, against central differences of each weight before them."""
    circuit, inputs, targets = held(0.62)
    if kernels:
        fused()
    found, term = ds.gradients(circuit, inputs, targets), circuit.terms["w1"]
    assert set(found.forward.saturated) == {"h", "s", "y"}

    def loss(at: tuple[int, int], step: float) -> float:
        weight = term.weight.copy()  # type: ignore[attr-defined]
        weight[at] += step
        moved = circuit.with_terms([replace(term, weight=weight)])  # type: ignore[type-var]
        return float(ds.gradients(moved, inputs, targets).loss[0])

    known = np.zeros((6, 4))
    for at in np.ndindex(6, 4):
        near, far = ((loss(at, step) - loss(at, -step)) / (2 * step) for step in (1e-4, 2e-4))
        known[at] = (4 * near - far) / 3
    np.testing.assert_allclose(found.terms["w1"], known, atol=1e-7 * np.abs(known).max())


@pytest.mark.parametrize("passing", [Passing, Returning])
@pytest.mark.parametrize("alone", [False, True])
def test_slopes_of_rails_go_round_a_cycle(alone: bool, passing: type[Passing]) -> None:
    """Three nodes that drive one another, or each itself, the first held, the second held or in its knee in one of two
    samples; against central differences. A chip that learns finds the same where nothing asks for less of them."""
    own = np.array([[0.0, 0.3, 0.2], [0.3, 0.0, -0.25], [0.2, -0.25, 0.0]])
    circuit = ds.Circuit("cycle", output="y")
    circuit.clamp("x", (2,), unit=0.1)
    circuit.nodes("h", (3,), unit=0.1, rail=0.1)
    circuit.couple("w", "x", "h", np.array([[3.0, 1.0], [0.6, 0.1], [-0.2, 0.3]]))
    circuit.couple("j", "h", "h", 0.5 if alone else own, elementwise=alone)
    circuit.nodes("y", (3,), unit=0.1, rail=None)
    circuit.couple("one", "h", "y", 1.0)
    inputs = {"x": np.array([[1.0, 0.4], [0.8, -0.5]])}
    targets = {"loss.target": np.array([1.5, 2.0, -1.0]), "loss.weight": np.ones(1)}

    def found(weight: Array) -> Any:
        moved = replace(circuit.terms["w"], weight=weight)  # type: ignore[type-var]
        return ds.gradients(circuit.with_terms([moved]), inputs, targets, loss="quadratic", passing=passing)

    weight: Array = circuit.terms["w"].weight  # type: ignore[attr-defined]
    ours, known = found(weight), np.zeros(weight.shape)
    for at in np.ndindex(*weight.shape):
        step = 1e-4 * (np.arange(weight.size) == np.ravel_multi_index(at, weight.shape)).reshape(weight.shape)
        known[at] = (found(weight + step).loss.sum() - found(weight - step).loss.sum()) / 2e-4
    assert (known[0] == 0).all() and np.abs(known[1:]).min() > 1e-3
    np.testing.assert_allclose(ours.terms["w"], known, atol=1e-6 * np.abs(known).max())


@pytest.mark.parametrize(("target", "moved"), [(0.2, 0.8 * 0.5), (2.0, 0.0)])
def test_a_chip_that_learns_brings_held_nodes_back(target: float, moved: float) -> None:
    """h at its rail of 1: what asks for less of it is passed whole, what asks for more is not."""
    circuit = ds.Circuit("held", output="y")
    circuit.clamp("x", (1,))
    circuit.nodes("h", (1,), rail=1.0)
    circuit.couple("w", "x", "h", np.array([[6.0]]))
    circuit.nodes("y", (1,), rail=None)
    circuit.couple("one", "h", "y", 1.0)
    given = {"x": np.array([0.5])}, {"loss.target": np.array([target]), "loss.weight": np.ones(1)}
    for passing, expected in ((Passing, 0.0), (Returning, moved)):
        found = ds.gradients(circuit, *given, loss="quadratic", passing=passing)
        assert found.terms["w"][0, 0] == pytest.approx(expected, abs=1e-12)


def test_the_slope_of_a_limit_from_what_it_gives() -> None:
    z, bound = np.linspace(-3, 3, 20_001), 1.7
    found = limited_slope(np.abs(limit(z, bound, 0.1)) / bound, 0.1)
    np.testing.assert_allclose(found, limit_slope(z, bound, 0.1), atol=1e-9)


def test_a_backward_anneal_is_the_transposed_systems_relaxation() -> None:
    """Linear layers: C da/dt = −g a + Wᵀ a_next, written out and solved by Radau, from zero."""
    rng = np.random.default_rng(5)
    circuit = ds.Circuit("linear", output="y")
    circuit.clamp("x", (4,))
    circuit.nodes("h", (6,), ratio=rng.uniform(0.5, 1.5, 6))
    first, second = rng.normal(size=(6, 4)) / 2, rng.normal(size=(3, 6)) / 2
    circuit.couple("w1", "x", "h", first)
    circuit.nodes("y", (3,))
    circuit.couple("w2", "h", "y", second)
    targets = {"loss.target": rng.normal(size=3), "loss.weight": np.ones(1)}
    found = ds.gradients(circuit, {"x": rng.normal(size=4)}, targets, loss="quadratic")
    back = found.backward.circuit
    off = found.forward.logical("y")[0] - targets["loss.target"]
    ratio = circuit.arrays["h"].ratio

    def rate(_: float, state: Array) -> Array:
        y, h, x = np.split(state, [3, 9])
        return np.concatenate([off - y, second.T @ y - ratio * h, first.T @ h - x]) / TAU

    end = 6 * TAU
    known = solve_ivp(rate, (0, end), np.zeros(13), method="Radau", rtol=1e-9, atol=1e-12).y[:, -1]
    run = ds.transient(back, found.inputs, duration=end, settle_bits=0, tolerance=1e-6, precision="float64")
    ours = np.concatenate([run.logical(f"adjoint.{name}")[0] for name in ("y", "h", "x")])
    np.testing.assert_allclose(ours, known, atol=1e-5)


def test_both_directions_anneal_at_once() -> None:
    """On live forward voltages adjoint nodes end where they do on held ones."""
    circuit, inputs, targets = machine()
    found = ds.gradients(circuit, inputs, targets)
    back = found.calibrated()
    both = back.joined(circuit)
    assert {node.name for node in both.inputs()} == {"x", "loss.target", "loss.weight"}
    run = ds.transient(both, inputs | targets, settle_bits=14, tolerance=1e-6, precision="float64")
    assert run.settled
    for name in ("adjoint.x", "adjoint.h", "adjoint.s"):
        off = np.abs(run.logical(name) - found.backward.logical(name)) / both.full_scale(name)
        assert off.max() <= 2**-13, name
    with pytest.raises(ds.Error, match="has no 's', which"):
        back.joined(ds.Circuit("another"))


@pytest.mark.spice
@NGSPICE
@pytest.mark.parametrize("mismatch", [0.0, 0.1])
def test_a_whole_backward_machine_in_ngspice(mismatch: float) -> None:
    """Comparators and slopes, roots' adjoints, the loss's softmax; with the heat of all."""
    back, inputs = backward(mismatch)
    found = ds.crosscheck(back, inputs=inputs, energy=True, engine="batch")
    assert found.passed, found.by_array
    assert found.nrmse <= 1e-4 and found.energy_ratio == pytest.approx(1, abs=1e-3)


def test_each_machine_has_seconds_of_its_own() -> None:
    circuit, inputs, targets = machine()
    begun = clock.perf_counter()
    found = ds.gradients(circuit, inputs, targets)
    both = clock.perf_counter() - begun
    walls = [run.statistics["wall_s"] for run in (found.forward, found.backward)]
    assert min(walls) > 0 and sum(walls) <= both


def test_nodes_on_their_rails_are_warned_of(caplog: Any) -> None:
    circuit, inputs, targets = machine()
    back = ds.gradients(circuit, inputs, targets).calibrated()
    tight = back.with_terms((), [replace(n, rail=0.02) for n in back.arrays.values() if n.name == "adjoint.h"])
    found = ds.gradients(circuit, inputs, targets, back=tight)  # type: ignore[arg-type]
    assert found.backward.saturated["adjoint.h"] > 0
    assert re.search(r"gradients are clipped: \d+ adjoint nodes? on rails, first of 'adjoint.h'", caplog.text)
