"""The adjoint circuit rests where the transposed Jacobian of the forward cells says; its units, devices, errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cell_circuits
import numpy as np
import pytest
from adjoint_checks import check_adjoint, without_rails

import dsmachine as ds
from dsmachine.circuits.cells import Feedback, Transposed, View

Case = tuple[ds.Circuit, dict[str, Any]]


def divided() -> Case:
    """A root with a gain for each position, and a division by it."""
    rng = np.random.default_rng(5)
    circuit = ds.Circuit("divided")
    circuit.clamp("x", (4, 3))
    gain = rng.uniform(1, 2, (4, 1))
    circuit.nodes("s", (4, 1), feedback=Feedback("s", gain))
    circuit.multiply("squares", "x", "x", "s", "pd,pd->p", gain=gain)
    circuit.nodes("y", (4, 3), feedback=Feedback("s", gain))
    circuit.couple("m", "x", "y", np.broadcast_to(gain, (4, 3)).copy(), elementwise=True)
    return circuit, {"x": rng.normal(size=(4, 3))}


def gains_that_are_summed() -> Case:
    """A product whose gain varies along an index that its adjoint sums over; a factor in another order of axes."""
    rng = np.random.default_rng(6)
    circuit = ds.Circuit("gains")
    circuit.clamp("u", (2, 3, 4))
    circuit.nodes("e", (2, 3, 4))
    circuit.couple("we", "u", "e", rng.normal(size=(4, 4)))
    circuit.nodes("v", (4, 10))
    circuit.clamp("w", (4, 6))
    circuit.couple("wv", "w", "v", rng.normal(size=(10, 6)))
    circuit.nodes("y", (2, 3, 5))
    gain = rng.uniform(0.5, 2, (2, 3, 1))
    circuit.multiply("mean", "e", View("v", split=(2, 5)), "y", "hij,jhd->hid", gain=gain)
    circuit.nodes("z", (3, 7))
    circuit.couple("out", View("y", axes=(1, 0, 2)), "z", rng.normal(size=(7, 10)))
    return circuit, {"u": rng.normal(size=(2, 3, 4)), "w": rng.normal(size=(4, 6))}


def ring() -> Case:
    rng = np.random.default_rng(7)
    circuit = ds.Circuit("ring")
    circuit.clamp("u", (4,))
    circuit.nodes("s", (4,))
    circuit.couple("h", "u", "s", 1.0)
    circuit.couple("J", "s", "s", 0.4 * rng.normal(size=(4, 4)) / 2)
    circuit.nodes("t", (4,))
    circuit.tanh("t", "s", "t", gain=1.3)
    return circuit, {"u": rng.normal(size=4)}


def passive() -> Case:
    rng = np.random.default_rng(8)
    circuit = ds.Circuit("passive")
    circuit.clamp("u", (3, 4))
    circuit.nodes("v", (3, 5), ratio=rng.uniform(0.5, 1, (3, 5)))
    circuit.couple("w", "u", "v", rng.normal(size=(5, 4)), passive=True)
    circuit.nodes("y", (3, 2))
    circuit.couple("o", "v", "y", rng.normal(size=(2, 5)), passive=True)
    return circuit, {"u": rng.normal(size=(3, 4))}


CASES: dict[str, tuple[Callable[[], Case], str]] = {
    "couplings": (cell_circuits.dense, "v"),
    "one to one": (cell_circuits.one_to_one, "v"),
    "products": (cell_circuits.products, "squares"),
    "a gain a node": (cell_circuits.products, "each"),
    "tanh and rectifier": (cell_circuits.activations, "relu"),
    "softmax": (cell_circuits.softmax, "prob"),
    "softmax with tails": (lambda: cell_circuits.softmax(junction_capacitance=1e-15), "prob"),
    "softmax of another temperature": (lambda: cell_circuits.softmax(gain=0.8), "prob"),
    "root and division": (divided, "y"),
    "summed gains, axes in another order": (gains_that_are_summed, "z"),
    "a cycle": (ring, "t"),
    "passive couplings": (passive, "y"),
}


@pytest.mark.parametrize("case", CASES)
def test_adjoint_nodes_rest_where_the_transposed_jacobian_says(case: str) -> None:
    made, output = CASES[case]
    circuit, inputs = made()
    check_adjoint(without_rails(circuit), inputs, output)


@pytest.mark.parametrize("case", CASES)
def test_the_adjoint_of_a_chip_is_exact_for_that_chip(case: str) -> None:
    """Products, couplings, feedback and transfers of unequal devices."""
    made, output = CASES[case]
    circuit, inputs = made()
    chip = ds.fabricate(without_rails(circuit), seed=3, mismatch=0.1, vt_mismatch=0.02)
    check_adjoint(chip.circuit, inputs, output)


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_weights_are_the_slopes_of_the_loss(case: str) -> None:
    """Against central differences of the forward machine's own loss, one weight of each programmed term."""
    made, output = CASES[case]
    circuit, inputs = made()
    circuit = replace(without_rails(circuit), output=output)
    force = np.random.default_rng(1).normal(size=circuit.arrays[output].shape) * circuit.arrays[output].present
    found = ds.gradients(circuit, inputs, {"loss.gradient": force}, loss="given")

    def loss(name: str, at: tuple[int, ...], step: float) -> float:
        term = circuit.terms[name]
        part = "weight" if hasattr(term, "weight") else "value"
        value = np.array(getattr(term, part), float)
        value[at] += step
        value = float(value) if value.ndim == 0 else value
        moved = circuit.with_terms([replace(term, **{part: value})])  # type: ignore[type-var]
        return float((ds.operating_point(moved, inputs).logical(output) * force).sum())

    for name, gradient in found.terms.items():
        at = np.unravel_index(int(np.abs(gradient).argmax()), np.shape(gradient))
        slope = (loss(name, at, 1e-5) - loss(name, at, -1e-5)) / 2e-5
        assert np.asarray(gradient)[at] == pytest.approx(slope, rel=1e-5), name


def test_one_layer_and_a_clamped_target() -> None:
    """Eq. 15 of the paper: a = y − t, dL/dW = Σ (y − t) xᵀ."""
    rng = np.random.default_rng(0)
    circuit = ds.Circuit("layer", output="y")
    circuit.clamp("x", (3, 4))
    circuit.nodes("y", (3, 5), rail=None)
    weight, bias = rng.normal(size=(5, 4)), rng.normal(size=5)
    circuit.couple("w", "x", "y", weight)
    circuit.bias("w.bias", "y", bias)
    x, t = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 5))
    targets = {"loss.target": t, "loss.weight": np.ones((3, 1))}
    found = ds.gradients(circuit, {"x": x}, targets, loss="quadratic")
    off = x @ weight.T + bias - t
    np.testing.assert_allclose(found.node("y"), off, atol=1e-14)
    np.testing.assert_allclose(found.terms["w"], np.einsum("bpi,bpj->ij", off, x), atol=1e-13)
    np.testing.assert_allclose(found.terms["w.bias"], off.sum(axis=(0, 1)), atol=1e-13)
    np.testing.assert_allclose(found.node("x"), off @ weight, atol=1e-13)
    np.testing.assert_allclose(found.loss, 0.5 * (off**2).sum(axis=(1, 2)))


def small() -> Case:
    """Two layers and a rectifier between them."""
    rng = np.random.default_rng(3)
    circuit = ds.Circuit("small", output="y")
    circuit.clamp("x", (3, 4), unit=0.1)
    circuit.nodes("h", (3, 6), unit=0.05 * rng.uniform(0.5, 1, (3, 6)))
    circuit.couple("w1", "x", "h", rng.normal(size=(6, 4)))
    circuit.nodes("r", (3, 6), unit=0.05)
    circuit.rectify("r", "h", "r")
    circuit.nodes("y", (3, 2), unit=0.02)
    circuit.couple("w2", "r", "y", rng.normal(size=(2, 6)))
    targets = {"loss.target": rng.normal(size=(3, 2)), "loss.weight": np.ones((3, 1))}
    return circuit, {"x": rng.normal(size=(3, 4))} | targets


def parted(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"x": values["x"]}, {name: value for name, value in values.items() if name != "x"}


def test_a_crossbar_read_both_ways_has_one_conductance() -> None:
    circuit, values = small()
    found = ds.gradients(circuit, *parted(values), loss="quadratic")
    back = found.calibrated()
    for name in ("w1", "w2"):
        read = back.terms[f"adjoint.{name}"]
        assert isinstance(read, Transposed)
        forward = circuit.terms[name]
        for position in range(3):
            seen = read.siemens(back, position).T / read.mirror  # type: ignore[attr-defined]
            np.testing.assert_allclose(seen, forward.siemens(circuit, position), rtol=1e-12)  # type: ignore[attr-defined]
        assert read.weights(back) == 0 and read.area(back, ds.load_technology("cmos45")) == 0
    again = ds.gradients(circuit, *parted(values), back=back)
    for name, value in found.terms.items():  # volts change nothing that is logical, and no node is on its rail
        np.testing.assert_allclose(again.terms[name], value, rtol=1e-12)
    assert again.backward.saturated == {}
    used = max(float(np.abs(again.backward.outputs[f"adjoint.{name}"]).max()) for name in ("h", "y"))
    assert 0.2 < used < 0.5


def test_an_adjoint_follows_weights_that_move() -> None:
    circuit, values = small()
    back = ds.gradients(circuit, *parted(values), loss="quadratic").calibrated()
    moved = circuit.with_terms([replace(circuit.terms["w2"], weight=1.1 * circuit.terms["w2"].weight)])  # type: ignore
    after = ds.gradients(moved, *parted(values), back=back.following(moved))
    expected = ds.gradients(moved, *parted(values), loss="quadratic")
    for name, value in expected.terms.items():
        np.testing.assert_allclose(after.terms[name], value, rtol=1e-12)
    unit = back.arrays["adjoint.h"].unit
    np.testing.assert_array_equal(after.backward.circuit.arrays["adjoint.h"].unit, unit)
    with pytest.raises(ds.Error, match=r"has other arrays than what 'adjoint\.small' is the adjoint of"):
        back.following(replace(circuit, output="r"))


def test_shared_devices_err_as_the_forward_ones_and_own_ones_on_their_own() -> None:
    """With erring couplings the shared crossbar's gradient is the chip's own; that of other devices is off."""
    circuit, values = small()
    chip = ds.fabricate(circuit, seed=1, vt_mismatch=0.1)
    inputs, targets = parted(values)
    shared = ds.adjoint(chip.circuit, loss="quadratic")
    assert ds.fabricate(shared, seed=2, vt_mismatch=0.1).circuit.terms["adjoint.w1"] is shared.terms["adjoint.w1"]
    found = ds.gradients(chip, inputs, targets, back=shared)
    weight = np.asarray(chip.circuit.terms["w1"].weight)  # type: ignore[attr-defined]
    at = np.unravel_index(int(np.abs(found.terms["w1"]).argmax()), weight.shape)

    def loss(step: float) -> float:
        moved = weight.copy()
        moved[at] += step
        term = replace(chip.circuit.terms["w1"], weight=moved)  # type: ignore[type-var]
        y = ds.operating_point(chip.circuit.with_terms([term]), inputs).logical("y")[0]
        return float(0.5 * ((y - targets["loss.target"]) ** 2).sum())

    assert found.terms["w1"][at] == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-6)
    own = ds.fabricate(ds.adjoint(circuit, loss="quadratic", devices="own"), seed=2, vt_mismatch=0.1)
    other = ds.gradients(chip, inputs, targets, back=own).terms["w1"]
    off = np.linalg.norm(other - found.terms["w1"]) / np.linalg.norm(found.terms["w1"])
    assert 0.01 < off < 1


def test_positions_without_weight_and_the_mean_surprise() -> None:
    """Cross-entropy through the softmax unit: weight (p − one-hot), nothing where no target is."""
    rng = np.random.default_rng(2)
    circuit = ds.Circuit("head", output="y")
    circuit.clamp("x", (4, 5))
    circuit.nodes("y", (4, 5), rail=None)
    circuit.couple("w", "x", "y", 1.0)
    x, tokens = rng.normal(size=(4, 5)), np.array([0, 3, 1, 4])
    targets = ds.next_token_targets(tokens, 5)
    found = ds.gradients(circuit, {"x": x}, targets)
    p = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    expected = p / 3
    expected[np.arange(3), tokens[1:]] -= 1 / 3
    expected[3] = 0
    np.testing.assert_allclose(found.node("y")[0], expected, atol=1e-15)
    assert found.loss == pytest.approx(-np.log(p[np.arange(3), tokens[1:]]).mean())


def test_what_has_no_adjoint_says_so() -> None:
    circuit, values = small()
    with pytest.raises(ds.Error, match="loss 'hinge' is unknown: use cross-entropy, quadratic, given"):
        ds.adjoint(circuit, loss="hinge")
    with pytest.raises(ds.Error, match="devices 'borrowed' is unknown: use shared, own"):
        ds.adjoint(circuit, devices="borrowed")
    with pytest.raises(ds.Error, match="has no output for a loss to read"):
        ds.adjoint(replace(circuit, output=None))
    mirrored = replace(circuit, arrays=dict(circuit.arrays), terms=dict(circuit.terms), output="q")
    mirrored.nodes("q", (3, 2, 3))
    mirrored.clamp("m", (3, 6))
    halves = View("m", split=(2, 3), mirrored=True)
    mirrored.multiply("q", halves, View("h", split=(2, 3)), "q", "ptd,ptd->ptd")
    with pytest.raises(ds.Error, match="products that read 'm' mirrored have no adjoint"):
        ds.adjoint(mirrored)
    other, _ = ring()
    with pytest.raises(ds.Error, match="is no adjoint circuit of 'small', which has no 's'"):
        ds.gradients(circuit, *parted(values), back=ds.adjoint(replace(other, output="t"), loss="given"))
    loaded, _ = cell_circuits.passive_feedback()
    with pytest.raises(ds.Error, match="passive couplings onto 'r', whose feedback is driven"):
        ds.adjoint(replace(loaded, output="r"))
    with pytest.raises(ds.Error, match=r"no values of 'adjoint\.x' to set its volts by"):
        ds.adjoint_volts(ds.adjoint(circuit), {}, ds.load_technology("cmos45"))
