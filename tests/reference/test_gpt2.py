"""The digital reference against transformers, and against its own definitions."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpt2_folders import SHAPES, write_folder

from dsmachine.circuits.checkpoints import Model, load_model
from dsmachine.circuits.config import Config
from dsmachine.circuits.errors import Error
from dsmachine.circuits.reference import calibrate_ranges, forward, loss, perplexity

RELU = dataclasses.replace(SHAPES[0], activation="relu")
SMALL = SHAPES[1]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load_model(write_folder(tmp_path / "small", SMALL, seed=5))


def some_tokens(config: Config, seed: int = 1) -> Any:
    return np.random.default_rng(seed).integers(0, config.vocabulary, config.context)


def close(ours: Any, theirs: Any) -> bool:
    """Within 1e-10 of the largest value."""
    theirs = theirs.detach().numpy()
    return bool(np.abs(ours - theirs).max() <= 1e-10 * np.abs(theirs).max())


def transformers_run(folder: Path, tokens: Any) -> tuple[Any, dict[str, Any]]:
    """transformers' outputs in float64, and what its submodules gave, by name."""
    torch = pytest.importorskip("torch")
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").double()
    seen: dict[str, Any] = {}
    for name, module in theirs.transformer.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
        if name.endswith("attn.c_proj"):
            module.register_forward_pre_hook(lambda _m, args, name=name: seen.update({name + ".input": args[0]}))
    with torch.no_grad():
        out = theirs(torch.tensor(tokens)[None], output_hidden_states=True, output_attentions=True)
    return out, seen


@pytest.mark.parametrize("config", [*SHAPES, RELU], ids=str)
def test_equals_transformers(config: Config, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", config, prefix="transformer.")
    tokens = some_tokens(config)
    theirs, seen = transformers_run(folder, tokens)
    ours = forward(load_model(folder), tokens)
    assert close(ours["logits"], theirs.logits[0])
    assert close(ours["embed"], theirs.hidden_states[0][0])
    for i in range(config.layers):
        h = f"h.{i}"
        assert close(ours[f"{h}.attn.prob"], theirs.attentions[i][0])
        assert close(ours[f"{h}.attn.qkv"], seen[f"{h}.attn.c_attn"][0])
        assert close(ours[f"{h}.attn.context"], seen[f"{h}.attn.c_proj.input"][0])
        assert close(ours[f"{h}.mlp.pre"], seen[f"{h}.mlp.c_fc"][0])
        assert close(ours[f"{h}.mlp.act"], seen[f"{h}.mlp.act"][0])
        if i + 1 < config.layers:  # transformers' last hidden state is after ln_f
            assert close(ours[f"{h}.resid"], theirs.hidden_states[i + 1][0])


@pytest.mark.parametrize("name", ["tiny-shakespeare", "tiny-shakespeare-taylor3"])
def test_bundled_models_load_in_transformers(name: str) -> None:
    model = load_model(name)
    folder = Path(__file__).parents[2] / "circuits" / "models" / name
    tokens = model.encode("ROMEO:\nBut, soft! what light through yonder window breaks?")
    theirs, _ = transformers_run(folder, tokens)
    assert close(forward(model, tokens, softmax="exact")["logits"], theirs.logits[0])


@pytest.mark.parametrize("name", ["tiny-shakespeare", "tiny-shakespeare-taylor3"])
def test_bundled_models_have_learnt_to_write(name: str) -> None:
    model = load_model(name)
    tokens = model.tokenize(model.calibration_text)[: model.config.context]
    assert loss(forward(model, tokens)["logits"], tokens) < 2.0  # uniform: ln 64 = 4.2


def test_names_come_in_the_order_of_computation(model: Model) -> None:
    names = list(forward(model, [1, 2, 3]))
    norm = ["mean", "diff", "root", "norm"]
    layer = [f"ln_1.{n}" for n in norm] + [f"attn.{n}" for n in ("qkv", "score", "prob", "context")]
    layer += ["resid_mid"] + [f"ln_2.{n}" for n in norm]
    layer += [f"mlp.{n}" for n in ("pre", "square", "arg", "tanh", "act")] + ["resid"]
    expected = ["embed"] + [f"h.{i}.{n}" for i in range(2) for n in layer]
    assert names == expected + [f"ln_f.{n}" for n in norm] + ["logits"]


def test_shapes(model: Model) -> None:
    out = forward(model, [1, 2, 3, 4, 5], softmax="taylor", activation="taylor")
    assert out["h.0.ln_1.mean"].shape == (5, 1)
    assert out["h.0.ln_1.norm"].shape == (5, 24)
    assert out["h.0.attn.qkv"].shape == (5, 72)
    assert out["h.0.attn.score"].shape == (3, 5, 5)
    assert out["h.0.attn.exp"].shape == (3, 5, 5)
    assert out["h.0.attn.expsum"].shape == (5, 3, 1)
    assert out["h.0.mlp.arg5"].shape == (5, 96)
    assert out["logits"].shape == (5, 40)
    assert "h.0.attn.prob" not in out


@pytest.mark.parametrize("options", [{}, {"softmax": "taylor", "activation": "paper"}])
def test_a_batch_is_its_rows(model: Model, options: dict[str, Any]) -> None:
    rows = np.stack([some_tokens(SMALL, seed) for seed in range(3)])
    batch = forward(model, rows, **options)
    for b, row in enumerate(rows):
        for name, value in forward(model, row, **options).items():
            np.testing.assert_allclose(batch[name][b], value, rtol=1e-12, atol=1e-12, err_msg=name)


def test_the_future_does_not_exist(model: Model) -> None:
    tokens = some_tokens(SMALL)
    changed = tokens.copy()
    changed[-1] = (changed[-1] + 1) % SMALL.vocabulary
    for softmax in ("exact", "taylor"):
        before = forward(model, tokens, softmax=softmax)
        after = forward(model, changed, softmax=softmax)
        np.testing.assert_array_equal(before["logits"][:-1], after["logits"][:-1])
        assert not np.triu(before["h.1.attn.score"], 1).any()
    assert not np.triu(before["h.1.attn.exp"], 1).any()


def test_taylor_attention_is_the_series(model: Model) -> None:
    out = forward(model, some_tokens(SMALL), softmax="taylor")
    s = out["h.0.attn.score"]
    e = np.tril(1 + s + s**2 / 2 + s**3 / 6)
    np.testing.assert_allclose(out["h.0.attn.exp"], e, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(out["h.0.attn.expsum"][..., 0], e.sum(-1).T, rtol=1e-12)
    v = out["h.0.attn.qkv"][:, 48:].reshape(-1, 3, 8)
    context = np.einsum("hqk,khd->qhd", e / e.sum(-1, keepdims=True), v).reshape(-1, 24)
    np.testing.assert_allclose(out["h.0.attn.context"], context, rtol=1e-10, atol=1e-12)


def test_taylor_of_high_order_is_exact(model: Model) -> None:
    tokens = some_tokens(SMALL)
    taylor = forward(model, tokens, softmax="taylor", order=60)["logits"]
    np.testing.assert_allclose(taylor, forward(model, tokens)["logits"], rtol=1e-9, atol=1e-9)


def test_a_model_runs_with_the_attention_it_was_trained_for(model: Model) -> None:
    config = dataclasses.replace(model.config, softmax="taylor3")
    trained = dataclasses.replace(model, config=config)
    ours = forward(trained, [3, 1, 4])["logits"]
    np.testing.assert_array_equal(ours, forward(model, [3, 1, 4], softmax="taylor")["logits"])


@pytest.mark.parametrize("activation,halved,fifth", [("taylor", 1, 2 / 15), ("paper", 2, 1 / 5)])
def test_tanh_series(model: Model, activation: str, halved: float, fifth: float) -> None:
    out = forward(model, [7, 8, 9], activation=activation)
    x = out["h.0.mlp.pre"]
    a = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3) / halved
    y = 0.5 * x * (1 + a - a**3 / 3 + fifth * a**5)
    np.testing.assert_allclose(out["h.0.mlp.act"], y, rtol=1e-12, atol=1e-12)
    for power in (2, 3, 5):
        np.testing.assert_allclose(out[f"h.0.mlp.arg{power}"], a**power, rtol=1e-12)


def test_layer_norm_parts(model: Model) -> None:
    out = forward(model, [7, 8, 9])
    x = out["h.0.resid_mid"]
    np.testing.assert_allclose(out["h.0.ln_2.mean"], x.mean(1, keepdims=True))
    root = np.sqrt(x.var(1, keepdims=True) + SMALL.epsilon)
    np.testing.assert_allclose(out["h.0.ln_2.root"], root, rtol=1e-12)
    np.testing.assert_allclose(out["h.0.ln_2.norm"] * root, out["h.0.ln_2.diff"], rtol=1e-12)


def test_float32_is_close_to_float64(model: Model) -> None:
    single = forward(model, [7, 8, 9], dtype=np.float32)
    assert {value.dtype for value in single.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single["logits"], forward(model, [7, 8, 9])["logits"], atol=1e-4)


def test_perplexity() -> None:
    tokens = [0, 3, 1, 2]
    assert perplexity(np.zeros((4, 5)), tokens) == pytest.approx(5)
    logits = np.full((4, 5), -1000.0)
    logits[[0, 1, 2], tokens[1:]] = 1000.0
    assert perplexity(logits, tokens) == pytest.approx(1)
    with pytest.raises(Error, match="at least two"):
        loss(np.zeros((1, 5)), [0])


# ---- calibration ----------------------------------------------------------------------------


@pytest.mark.parametrize("softmax", ["exact", "taylor"])
def test_ranges_hold_on_the_text_and_for_every_first_token(model: Model, softmax: str) -> None:
    text = model.decode(np.random.default_rng(3).integers(0, 40, 200).tolist())
    ranges = calibrate_ranges(model, text, 10, softmax=softmax, windows=191)
    ids = model.tokenize(text)
    for start in (0, 77, 190):
        out = forward(model, ids[start : start + 10], softmax=softmax)
        assert list(ranges) == list(out)
        for name in ("embed", "h.1.ln_2.root", "h.1.mlp.act", "logits"):
            assert (np.abs(out[name][1:]).max(0) <= ranges[name][1] * (1 + 1e-9)).all(), name
        assert (np.abs(out["h.1.attn.score"])[:, 1:].max((1, 2)) <= ranges["h.1.attn.score"][1]).all()
    for token in range(40):
        out = forward(model, [token], softmax=softmax)
        assert (np.abs(out["h.1.resid"][0]) <= ranges["h.1.resid"][0] * (1 + 1e-9)).all()


def test_shapes_of_ranges(model: Model) -> None:
    ranges = calibrate_ranges(model, "abcabc", 4, softmax="taylor")
    assert ranges["embed"].shape == (2, 24)
    assert ranges["h.0.ln_1.mean"].shape == (2, 1)
    assert ranges["h.0.attn.score"].shape == ranges["h.0.attn.exp"].shape == (2, 3)
    assert ranges["h.0.attn.expsum"].shape == (2, 3, 1)
    assert ranges["logits"].shape == (2, 40)


def test_one_position_and_short_texts(model: Model) -> None:
    ranges = calibrate_ranges(model, "abc", 1)
    np.testing.assert_array_equal(ranges["logits"][0], ranges["logits"][1])
    repeated = calibrate_ranges(model, "ab", 6)["logits"]
    np.testing.assert_allclose(repeated, calibrate_ranges(model, "ababab", 6)["logits"])


# ---- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [[], [0.5], [[[1]]], "abc", [-1], [40], list(range(17)), [[1, 2], [3, 40]]], ids=str)
def test_bad_tokens(model: Model, tokens: Any) -> None:
    with pytest.raises(Error):
        forward(model, tokens)


@pytest.mark.parametrize("options", [{"softmax": "hard"}, {"activation": "silu"}, {"softmax": "taylor", "order": 0}])
def test_bad_options(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(Error):
        forward(model, [1], **options)


@pytest.mark.parametrize("positions,windows", [(0, 1), (17, 1), (4, 0)])
def test_bad_calibration(model: Model, positions: int, windows: int) -> None:
    with pytest.raises(Error, match="calibration over"):
        calibrate_ranges(model, "abc", positions, windows=windows)


def test_calibration_text_outside_the_tokenizer(model: Model) -> None:
    with pytest.raises(Error, match=r"text has '\$'"):
        calibrate_ranges(model, "abc$", 4)
