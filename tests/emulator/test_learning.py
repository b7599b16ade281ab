"""Chips that learn: torch's own steps, devices whose errors stay, control capacitors whose range ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpt2_folders import SHAPES, write_folder
from lessons import WIDE, lesson, mapped, step
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.cells import Transposed
from dsmachine.emulator import learning
from dsmachine.emulator.learning import Learner
from dsmachine.emulator.optimizers import OPTIMIZERS, AdamW

RATES = {"sgd": 0.1, "adamw": 0.01}


def learner(model: Any, tokens: Any, optimizer: str = "sgd", rate: float = 0.1, **spread: float) -> Learner:
    circuit = mapped(model, tokens)
    chip = ds.fabricate(circuit, seed=1, **spread)
    return Learner(circuit, chip, WIDE, OPTIMIZERS[optimizer](rate), precision="float64")


def as_programmed(theirs: Any) -> dict[str, Any]:
    """Folds the gains and shifts of torch's norms into the layers that read them, as the machine is programmed, and
    unties the head. Returns its parameters by the machine's terms, (out, in)."""
    import torch

    found, norms = {}, []
    for k, block in enumerate(theirs.transformer.h):
        for norm, layer, name in (
            (block.ln_1, block.attn.c_attn, "attn.c_attn"), (None, block.attn.c_proj, "attn.c_proj"),
            (block.ln_2, block.mlp.c_fc, "mlp.c_fc"), (None, block.mlp.c_proj, "mlp.c_proj"),
        ):  # fmt: skip
            if norm is not None:
                layer.bias.data += norm.bias.data @ layer.weight.data
                layer.weight.data *= norm.weight.data[:, None]
                norms.append(norm)
            found[f"h.{k}.{name}"], found[f"h.{k}.{name}.bias"] = layer.weight, layer.bias
    last, tied = theirs.transformer.ln_f, theirs.transformer.wte.weight.data
    theirs.lm_head = torch.nn.Linear(tied.shape[1], tied.shape[0]).double()
    theirs.lm_head.weight.data = tied * last.weight.data
    theirs.lm_head.bias.data = tied @ last.bias.data
    found["wte"], found["wte.bias"] = theirs.lm_head.weight, theirs.lm_head.bias
    for norm in (*norms, last):
        torch.nn.init.ones_(norm.weight)
        torch.nn.init.zeros_(norm.bias)
    return found


@pytest.mark.parametrize(("optimizer", "clip"), [("sgd", None), ("adamw", None), ("adamw", 0.3)])
def test_steps_on_the_ideal_machine_are_torchs(optimizer: str, clip: float | None, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import GPT2LMHeadModel

    config = SHAPES[1]
    folder = write_folder(tmp_path / "model", config)
    theirs = GPT2LMHeadModel.from_pretrained(folder).double().eval()
    programmed = as_programmed(theirs)
    tokens = np.random.default_rng(1).integers(0, config.vocabulary, (2, config.context))
    ours = ds.load_model(folder)
    machine = learner(ours, tokens, optimizer, RATES[optimizer])
    if clip is not None:
        machine.optimizer = AdamW(RATES[optimizer], clip=clip)
    assert set(machine.programs) == set(programmed)
    rule = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer](programmed.values(), lr=RATES[optimizer])
    ids = torch.tensor(tokens)
    for _ in range(3):
        logits = theirs(ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, config.vocabulary), ids[:, 1:].reshape(-1))
        rule.zero_grad()
        loss.backward()
        if clip is not None:
            assert torch.nn.utils.clip_grad_norm_(programmed.values(), clip) > clip
        rule.step()
        assert step(machine, *lesson(ours, tokens)) == pytest.approx(float(loss.detach()), rel=1e-7)
    assert machine.at_rails == 0
    for name, value in programmed.items():
        expected = value.detach().numpy()
        expected = expected.T if expected.shape != machine.values[name].shape or "h." in name else expected
        before = machine.programs[name].value
        moved, ours_moved = expected - before, machine.values[name] - before
        assert np.abs(ours_moved - moved).max() <= 1e-6 * np.abs(moved).max(), name


@pytest.mark.parametrize("kernels", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_written_in_place_is_the_machine_built_anew(
    kernels: bool, fused: Callable[[], None], tmp_path: Path
) -> None:
    """Both machines after two steps, their biases too, against a chip of the same devices that is prepared afresh."""
    if kernels:
        fused()
    model = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.array(model.encode(PROMPT))
    inputs, targets = lesson(model, tokens)
    machine = learner(model, tokens, mismatch=0.05, vt_mismatch=0.02, offset=0.01)
    for _ in range(2):
        step(machine, inputs, targets)
    found, anew = machine.gradients(inputs, targets), ds.gradients(machine.circuit, inputs, targets)
    assert found.loss == pytest.approx(anew.loss, rel=1e-12)
    for name, value in anew.terms.items():
        np.testing.assert_allclose(found.terms[name], value, rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=name)


def test_the_backward_machine_reads_the_forward_devices(tmp_path: Path) -> None:
    """It has no copy of a programmed matrix: all of each is read there once, transposed, where it stands."""
    model = ds.load_model(write_small(tmp_path / "model"))
    machine = learner(model, np.array(model.encode(PROMPT)), mismatch=0.05)
    forward = learning.placed_terms(machine.plan)
    devices = [getattr(forward[name], each.field) for name, each in machine.programs.items() if each.field == "weight"]
    read = [term.weight for term in learning.placed_terms(machine.behind).values() if isinstance(term, Transposed)]
    for each in devices:
        assert sum(w.size for w in read if np.shares_memory(w, each)) == each.size


def test_a_step_moves_nothing_that_a_learner_was_given(tmp_path: Path) -> None:
    """Values move where they stand: not in the model, nor in what another learner went on from."""
    model = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.array(model.encode(PROMPT))
    machine, other = (learner(model, tokens, "adamw", 0.01, mismatch=0.05) for _ in range(2))
    step(machine, *lesson(model, tokens))
    values, memory = machine.kept()
    before = {name: value.copy() for name, value in values.items()}
    designed = {name: each.value.copy() for name, each in other.programs.items()}
    other.restore(values, memory, machine.steps)
    step(other, *lesson(model, tokens))
    for name, each in other.programs.items():
        np.testing.assert_array_equal(each.value, designed[name], err_msg=name)
        np.testing.assert_array_equal(values[name], before[name], err_msg=name)
        assert (other.values[name] != before[name]).any(), name


@pytest.mark.parametrize("which", ["plan", "behind"])
def test_both_machines_have_to_be_recordable(which: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where one cannot be recorded, steps of the same shapes are solved anew and find the same."""
    model = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.array(model.encode(PROMPT))
    machine = learner(model, tokens)
    monkeypatch.setattr(learning, "recordable", lambda plan: plan is getattr(machine, which))
    monkeypatch.setattr(learning, "Recorded", None)
    first, again = (machine.gradients(*lesson(model, tokens)) for _ in range(2))
    np.testing.assert_array_equal(first.loss, again.loss)


def test_devices_keep_their_errors_while_weights_move(tmp_path: Path) -> None:
    """As fabricated at first; then β stays a factor, and V_t a conductance, of the same devices."""
    model = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.array(model.encode(PROMPT))
    machine = learner(model, tokens, mismatch=0.05, vt_mismatch=0.02)
    circuit = mapped(model, tokens)
    chip = ds.fabricate(circuit, seed=1, mismatch=0.05, vt_mismatch=0.02).circuit
    twice = ds.fabricate(circuit, seed=1, mismatch=0.05).circuit
    name = "h.0.mlp.c_fc"
    first, designed = machine.circuit.terms[name].weight, machine.programs[name].value
    np.testing.assert_array_equal(first, chip.terms[name].weight)
    step(machine, *lesson(model, tokens))
    moved = machine.values[name] - designed
    assert np.abs(moved).max() > 0
    factor = twice.terms[name].weight / designed
    np.testing.assert_allclose(machine.circuit.terms[name].weight - first, factor * moved, atol=1e-14)


def test_control_capacitors_stop_at_the_largest_conductance(tmp_path: Path) -> None:
    model = ds.load_model(write_small(tmp_path / "model"))
    tokens = np.array(model.encode(PROMPT))
    machine = learner(model, tokens, rate=1e4)
    before = machine.at_rails
    for _ in range(2):
        step(machine, *lesson(model, tokens))
    assert machine.at_rails > before + machine.count // 10
    peaks = [np.max(each) for t in machine.circuit.terms.values() if (each := t.peaks(machine.circuit)) is not None]
    assert max(peaks) == pytest.approx(1e-3, rel=1e-9)


def test_couplings_that_do_not_learn_are_refused(tmp_path: Path) -> None:
    model = ds.load_model(write_small(tmp_path / "model"))
    circuit = ds.map_model(model, 4, coupling="balanced")
    with pytest.raises(ds.Error, match=r"balanced couplings .* do not learn: map them buffered"):
        Learner(circuit, ds.fabricate(circuit), WIDE, OPTIMIZERS["sgd"](0.1))
