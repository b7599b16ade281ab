"""Rules by which values move: torch's AdamW on a model with its norms' gains apart, which a chip has folded in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import numpy as np
import pytest
from gpt2_folders import SHAPES, write_folder
from lessons import WIDE, lesson, mapped, step

import dsmachine as ds
from dsmachine.circuits import arrays
from dsmachine.circuits.mapping.gradients import folded_gains
from dsmachine.emulator.learning import Learner
from dsmachine.emulator.optimizers import AdamW

RATE, POSITIONS = 0.01, 5
READERS = {
    "llama": {
        "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    },
    "gpt2": {"ln_1": ("attn.c_attn",), "ln_2": ("mlp.c_fc",)},
}
BODY = {"llama": ("model", "layers", "norm", "lm_head"), "gpt2": ("transformer", "h", "ln_f", "wte")}


def made(family: str, folder: Path) -> Any:
    """A small model of torch's, in a folder, whose norms' gains are of both signs and over a decade and a half."""
    import torch
    from transformers import GPT2LMHeadModel

    if family == "llama":
        theirs = hf_models.make(family, tie_word_embeddings=False)
        hf_models.write(folder, theirs)
    else:
        theirs = GPT2LMHeadModel.from_pretrained(write_folder(folder, SHAPES[1])).eval()
    rng = np.random.default_rng(4)
    for norm in {id(norm): norm for _, norm in readers_of(theirs, family).values()}.values():
        gains = rng.choice([-1, 1], norm.weight.shape) * 10 ** rng.uniform(-1.2, 0.3, norm.weight.shape)
        norm.weight.data = torch.tensor(gains, dtype=norm.weight.dtype)
    theirs.save_pretrained(folder)
    return hf_models.exact(theirs, POSITIONS)


def readers_of(theirs: Any, family: str) -> dict[str, tuple[Any, Any]]:
    """Torch's layers that read a norm, and that norm, by the machine's terms."""
    prefix, stack, last, head = BODY[family]
    body = theirs.get_submodule(prefix)
    blocks = {
        f"{stack}.{k}.{term}": (one.get_submodule(term), one.get_submodule(norm))
        for k, one in enumerate(body.get_submodule(stack)) for norm, terms in READERS[family].items() for term in terms
    }  # fmt: skip
    return blocks | {head: (theirs.lm_head, body.get_submodule(last))}


def as_it_learns(theirs: Any, readers: dict[str, tuple[Any, Any]]) -> None:
    """The same function, in which what a chip learns is apart: the head from the embedding, and shifts of norms in the
    biases of what reads them. Gains stay where they are."""
    import torch

    theirs.lm_head.weight = torch.nn.Parameter(theirs.lm_head.weight.data.clone())
    for term, (layer, norm) in readers.items():
        if getattr(norm, "bias", None) is not None:
            shift = norm.bias.data @ (layer.weight.data if stored_transposed(term) else layer.weight.data.T)
            layer.bias = torch.nn.Parameter(shift if layer.bias is None else layer.bias.data + shift)
    for _, norm in readers.values():
        if getattr(norm, "bias", None) is not None:
            torch.nn.init.zeros_(norm.bias)


def stored_transposed(term: str) -> bool:
    """As GPT-2's Conv1D has its matrices."""
    return ".c_" in term


def learnt_of(theirs: Any, family: str) -> dict[str, Any]:
    """Torch's parameters that a chip learns, by the machine's terms: all but embeddings and norms."""
    prefix, _, _, head = BODY[family]
    found = {}
    for name, value in theirs.named_parameters():
        layer, _, kind = name.removeprefix(f"{prefix}.").rpartition(".")
        if not any(word in layer for word in ("norm", "ln_", "embed", "wte", "wpe")):
            found[(head if layer == "lm_head" else layer) + (".bias" if kind == "bias" else "")] = value
    return found


@pytest.mark.parametrize(("family", "clip"), [("llama", np.inf), ("llama", 0.3), ("gpt2", 0.3)])
def test_a_chip_keeps_step_with_the_unfolded_model(family: str, clip: float, tmp_path: Path) -> None:
    """In torch embedding and gains stand still, as they do on a chip."""
    torch = pytest.importorskip("torch")
    theirs = made(family, tmp_path)
    readers = readers_of(theirs, family)
    ours, tokens = ds.load_model(tmp_path), hf_models.some_tokens(2 * POSITIONS).reshape(2, POSITIONS)
    as_it_learns(theirs, readers)
    learnt = learnt_of(theirs, family)
    circuit = mapped(ours, tokens)
    gains = folded_gains(ours, circuit)
    assert set(gains) == set(readers)
    machine = Learner(
        circuit, ds.fabricate(circuit), WIDE, AdamW(RATE, clip=clip, gains=gains), precision="float64"
    )  # fmt: skip
    assert set(machine.programs) == set(learnt)
    rule, ids = torch.optim.AdamW(learnt.values(), lr=RATE), torch.tensor(tokens)
    for _ in range(6):
        logits = theirs(ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        rule.zero_grad()
        loss.backward()
        assert torch.nn.utils.clip_grad_norm_(learnt.values(), clip) > min(clip, 1)
        rule.step()
        assert step(machine, *lesson(ours, tokens)) == pytest.approx(float(loss.detach()), rel=1e-7)
    assert machine.at_rails == 0
    for term, value in learnt.items():
        gain = readers[term][1].weight.detach().numpy() if term in readers else 1.0
        expected = value.detach().numpy()
        expected = (expected.T if stored_transposed(term) else expected) * gain
        moved, ours_moved = (each - machine.programs[term].value for each in (expected, machine.values[term]))
        assert np.abs(ours_moved - moved).max() <= 1e-6 * np.abs(moved).max(), term


def moved(rule: AdamW, value: Any, gradients: Any) -> Any:
    value = value.copy()
    for k, gradient in enumerate(gradients, start=1):
        rule.move("w", value, gradient, k, rule.share({"w": gradient}))
    return value


@pytest.mark.parametrize("clip", [np.inf, 0.5])
@pytest.mark.parametrize("piece", [1 << 15, 10])
def test_steps_of_columns_are_those_of_the_unfolded_matrix(
    clip: float, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """w′ = w γ, in pieces of all and of one row; a column that a gain of 0 hides stays at 0."""
    monkeypatch.setattr(arrays, "PIECE", piece)
    rng = np.random.default_rng(0)
    weight, gradients = rng.standard_normal((5, 7)), rng.standard_normal((4, 5, 7))
    gain = np.array([1e-3, -0.5, 3.0, 0.0, 1.0, -20.0, 0.2])
    seen = np.where(gain == 0, 1.0, gain)
    plain = moved(AdamW(RATE, clip=clip), weight, gain * gradients)
    folded = moved(AdamW(RATE, clip=clip, gains={"w": gain}), weight * gain, gradients)
    np.testing.assert_allclose((folded / seen)[:, gain != 0], plain[:, gain != 0], rtol=1e-12)
    assert (folded[:, gain == 0] == 0).all()


def test_gains_of_one_change_nothing() -> None:
    rng = np.random.default_rng(0)
    for kind in (np.float32, np.float64):
        value, gradients = rng.standard_normal((5, 7)).astype(kind), rng.standard_normal((3, 5, 7)).astype(kind)
        plain = moved(AdamW(RATE), value, gradients)
        found = moved(AdamW(RATE, gains={"w": np.ones(7), "other": np.zeros(7)}), value, gradients)
        np.testing.assert_array_equal(found, plain)
        assert found.dtype == kind
