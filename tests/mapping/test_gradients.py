"""Gradients of whole models by their adjoint circuits: torch's autograd; a backward anneal in time, joules, ngspice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adjoint_checks import check_adjoint, transposed_solution, without_rails
from device_cards import resistor, square_pair
from gpt2_folders import SHAPES, write_folder
from hf_models import LLAMAS, exact_logits, make, write
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.cells.conveyor_errors import ConveyorErrors
from dsmachine.circuits.reference import calibrate_ranges
from dsmachine.circuits.technology import load_technology

WIDE = load_technology("cmos45", overrides={"supply.swing": 4.0})  # random weights reach further than trained ones
NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
CASES: dict[str, tuple[str, dict[str, Any]]] = {"opt": ("opt", {})} | {k: ("llama", v) for k, v in LLAMAS.items()}
SHIFTLESS = "k_proj.bias"  # softmax does not see what all keys share: 0 but for rounding


def mapped(model: Any, tokens: Any, **options: Any) -> ds.Circuit:
    """Its circuit, with ranges of the very tokens and rectifiers without a knee."""
    series = {name: options[name] for name in ("softmax", "order", "activation") if name in options}
    text = model.decode([int(t) for t in tokens])
    ranges = Ranges(calibrate_ranges(model, text, len(tokens), **series))
    circuit = ds.map_model(model, len(tokens), technology=WIDE, ranges=ranges, **options)
    return circuit.with_terms(replace(t, knee=1e-9) for t in circuit.terms.values() if t.kind == "rectifier")


def by_autograd(model: Any, tokens: Any) -> tuple[float, dict[str, Any]]:
    """(mean surprise, its gradients by tensor) in float64."""
    import torch

    ids = torch.tensor(tokens)
    loss = torch.nn.functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:])
    model.zero_grad()
    loss.backward()
    return float(loss.detach()), {name: p.grad.numpy() for name, p in model.named_parameters()}


def compare(theirs: Any, ours: Any, tokens: Any) -> None:
    circuit = mapped(ours, tokens)
    found = ds.gradients(circuit, {"embed": ours.embed(tokens)}, ds.next_token_targets(tokens, ours.config.vocabulary))
    assert found.forward.saturated == {}
    each = ds.tensor_gradients(ours, circuit, found.terms, found.node("embed"), tokens)
    loss, expected = by_autograd(theirs, tokens)
    assert found.loss[0] == pytest.approx(loss, rel=1e-9)
    assert {ours.tensors.bare(name) for name in expected} == set(each)
    largest = max(float(np.abs(value).max()) for value in expected.values())
    for name, value in expected.items():
        scale = largest if name.endswith(SHIFTLESS) else float(np.abs(value).max())
        assert np.abs(each[ours.tensors.bare(name)] - value).max() <= 1e-9 * scale, name


@pytest.mark.parametrize("config", SHAPES, ids=lambda config: f"{config.layers} layers")
def test_gpt2s_gradients_are_autograds(config: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from transformers import GPT2LMHeadModel

    folder = write_folder(tmp_path / "model", config)
    theirs = GPT2LMHeadModel.from_pretrained(folder).double().eval()
    tokens = np.random.default_rng(1).integers(0, config.vocabulary, config.context)
    compare(theirs, ds.load_model(folder), tokens)


@pytest.mark.parametrize("case", CASES)
def test_opts_and_llamas_gradients_are_autograds(case: str, tmp_path: Path) -> None:
    family, changes = CASES[case]
    theirs = make(family, **changes)
    ours = ds.load_model(write(tmp_path / "model", theirs))
    tokens = np.random.default_rng(1).integers(2, ours.config.vocabulary, 12)  # torch trains no padding, token 1
    exact_logits(theirs, tokens)  # makes all of it float64
    compare(theirs, ours, tokens)


def along_one_direction(chip: ds.Circuit, inputs: Any, targets: Any, terms: Any, step: float) -> tuple[float, float]:
    """(slope of the loss that gradients `terms` say, by central differences) along all programmed values."""
    rng = np.random.default_rng(2)
    field = {name: "weight" if hasattr(chip.terms[name], "weight") else "value" for name in terms}
    along = {n: rng.normal(size=np.shape(v)) * np.abs(v).max() for n, v in terms.items()}
    slope = sum(float((along[n] * v).sum()) for n, v in terms.items())
    norm = np.sqrt(sum(float((each**2).sum()) for each in along.values()))

    def loss(step: float) -> float:
        moved: list[Any] = [
            replace(chip.terms[n], **{field[n]: getattr(chip.terms[n], field[n]) + step / norm * along[n]})
            for n in along
        ]
        return float(ds.gradients(chip.with_terms(moved), inputs, targets).loss[0])

    known = (8 * (loss(step) - loss(-step)) - (loss(2 * step) - loss(-2 * step))) / (12 * step)
    return slope / norm, known


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_a_mismatched_chips_gradients_are_the_slopes_of_its_loss(family: str, tmp_path: Path) -> None:
    """Products err as their backward twins do; along one direction through all programmed values, against central
    differences. What is fabricated of its own is other devices, so off by as much as they are."""
    ours = ds.load_model(write(tmp_path / "model", make(family)))
    tokens = np.random.default_rng(1).integers(2, ours.config.vocabulary, 12)
    inputs, targets = {"embed": ours.embed(tokens)}, ds.next_token_targets(tokens, ours.config.vocabulary)
    circuit = without_rails(mapped(ours, tokens))
    chip = ds.fabricate(circuit, seed=1, mismatch=0.02, vt_mismatch=0.01).circuit
    found = ds.gradients(chip, inputs, targets)
    slope, known = along_one_direction(chip, inputs, targets, found.terms, 2e-5)
    assert slope == pytest.approx(known, rel=1e-6)
    own = ds.fabricate(ds.adjoint(chip), seed=2, mismatch=0.02).circuit
    other = ds.gradients(chip, inputs, targets, back=own)
    off = sum(float(((other.terms[n] - v) ** 2).sum()) for n, v in found.terms.items())
    assert 1e-4 < off / sum(float((v**2).sum()) for v in found.terms.values()) < 0.1


def test_gains_of_unequal_conveyors_are_in_the_gradients_of_their_chip() -> None:
    """Bundled model, 2.7 % of spread, without r_x and offsets; an adjoint that is fabricated keeps the same gains."""
    spread = {"1": (4.0, 0.0)}
    errors = ConveyorErrors("A", {"1": 1e-12}, {"1": (0.0, 0.0)}, {"1": (0.0, 0.0)}, spread, {"1": (0.0, 0.0)})
    ours = ds.load_model("tiny-shakespeare")
    tokens = np.array(ours.tokenize(ours.calibration_text)[:4])
    inputs, targets = {"embed": ours.embed(tokens)}, ds.next_token_targets(tokens, ours.config.vocabulary)
    circuit = without_rails(ds.map_model(ours, len(tokens)))
    circuit = circuit.with_terms(
        (), [replace(n, input_resistance=0.0) for n in circuit.arrays.values() if not n.is_inner]
    )
    chip = ds.fabricate(ds.with_unequal_conveyors(circuit, errors), seed=1, threshold_area=1e-8).circuit
    assert np.std(chip.arrays["h.0.attn.qkv"].current_gain) > 0.02
    found = ds.gradients(chip, inputs, targets)
    slope, known = along_one_direction(chip, inputs, targets, found.terms, 2e-4)
    assert slope == pytest.approx(known, rel=1e-5)
    again = ds.gradients(chip, inputs, targets, back=ds.fabricate(ds.adjoint(chip), seed=2, threshold_area=1e-8))
    volts = ds.gradients(chip, inputs, targets, back=found.calibrated())
    for name, value in found.terms.items():
        np.testing.assert_array_equal(again.terms[name], value)
        np.testing.assert_allclose(volts.terms[name], value, atol=1e-12 * np.abs(value).max())


@pytest.mark.parametrize("options", [{"softmax": "taylor", "order": 2}, {"activation": "paper"}], ids=str)
def test_the_papers_series_have_their_own_gradients(options: dict[str, Any], tmp_path: Path) -> None:
    """Σe divides by feedback, powers are products: against the transposed Jacobian of all cells."""
    ours = ds.load_model(write_folder(tmp_path / "model", SHAPES[0]))
    tokens = np.arange(4)
    circuit = without_rails(mapped(ours, tokens, **options, allow_unstable=True))
    check_adjoint(circuit, {"embed": ours.embed(tokens)}, "logits", 1e-9)


def test_crossbars_of_transistors_are_read_backwards_as_the_chip_has_them(tmp_path: Path) -> None:
    """Linear cards exactly; on a chip of unequal pairs what its gradient misses is little beside what mismatch does."""
    model = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.array(model.encode(PROMPT))
    inputs, targets = {"embed": model.embed(tokens)}, ds.next_token_targets(tokens, model.config.vocabulary)
    linear = ds.gradients(ds.map_model(model, 4), inputs, targets)
    built = ds.gradients(ds.map_model(model, 4, device_card=resistor()), inputs, targets)
    for name, value in linear.terms.items():
        assert np.abs(built.terms[name] - value).max() <= 1e-12 * np.abs(value).max()
    circuit = ds.map_model(model, 4, device_card=square_pair())
    chip = ds.fabricate(circuit, seed=1, threshold_area=3.5e-9, beta_area=1.5e-8)
    found, ideal = (ds.gradients(chip, inputs, targets, back=ds.adjoint(c)) for c in (chip.circuit, circuit))
    own = transposed_solution(chip.circuit, inputs, found.node("logits")[0])
    for name in ("h.0.mlp.act", "h.0.attn.qkv", "h.0.resid", "h.0.ln_1.norm"):
        off, without = (float(np.linalg.norm(g.node(name)[0] - own[name])) for g in (found, ideal))
        assert off <= 0.1 * np.linalg.norm(own[name]) and off < 0.7 * without, name


def backward_machine(tmp_path: Path) -> tuple[ds.Circuit, Any, Any]:
    """(adjoint circuit with volts, what it rests at, its inputs) of the smallest model."""
    ours = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.random.default_rng(1).integers(0, ours.config.vocabulary, 4)
    circuit, targets = mapped(ours, tokens), ds.next_token_targets(tokens, ours.config.vocabulary)
    ideal = ds.gradients(circuit, {"embed": ours.embed(tokens)}, targets)
    back = ideal.calibrated(WIDE)
    found = ds.gradients(circuit, {"embed": ours.embed(tokens)}, targets, back=back)
    assert found.backward.saturated == {}
    for name, value in ideal.terms.items():
        np.testing.assert_allclose(found.terms[name], value, atol=1e-12)
    return back, found.backward, found.inputs


def test_a_backward_anneal_settles_to_the_gradients_and_is_weighed(tmp_path: Path) -> None:
    back, rest, inputs = backward_machine(tmp_path)
    meter = ds.EnergyMeter(WIDE)
    run = ds.transient(back, inputs, settle_bits=10, tolerance=1e-5, precision="float64", observers=[meter])
    assert run.settled and 10e-9 < float(run.settling_time[0]) < 300e-9
    for name in ("adjoint.embed", "adjoint.h.0.mlp.pre", "adjoint.h.0.attn.score"):
        off = np.abs(run.outputs[name] - rest.outputs[name]) / back.arrays[name].full_scale
        assert off.max() <= 2**-10, name
    report = meter.report()
    assert 0 < report.dissipated < report.total
    drawn = report.to_json()["by_layer"]
    assert {"h.0", "head"} <= set(drawn) and all(part["drawn"] > 0 for part in drawn.values())


@pytest.mark.spice
@NGSPICE
@pytest.mark.parametrize("select", ["adjoint.h.0.mlp", "adjoint.h.0.attn", "loss"])
def test_parts_of_the_backward_machine_in_ngspice(select: str, tmp_path: Path) -> None:
    back, _, inputs = backward_machine(tmp_path)
    found = ds.crosscheck(back, select=select, inputs=inputs, energy=True, engine="batch")
    assert found.passed, found.by_array
    assert found.nrmse <= 1e-4 and found.energy_ratio == pytest.approx(1, abs=1e-3)
