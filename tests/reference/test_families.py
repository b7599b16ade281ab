"""OPT and Llama checkpoints as transformers saves them: the reference's logits are transformers'."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hf_models
import numpy as np
import pytest

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.config import Rope
from dsmachine.circuits.errors import Error
from dsmachine.circuits.reference import calibrate_ranges, forward, ranges

CASES: list[tuple[str, dict[str, Any]]] = [
    ("opt", {}),
    ("opt", {"tie_word_embeddings": False}),
    *(("llama", changes) for changes in hf_models.LLAMAS.values()),
]


def worst(ours: Any, theirs: Any) -> float:
    """Largest difference, as a share of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("family,changes", CASES, ids=str)
def test_equals_transformers(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    theirs = hf_models.make(family, **changes)
    model = load_model(hf_models.write(tmp_path / "model", theirs))
    assert model.family == model.config.family == family
    tokens = hf_models.some_tokens(model.config.context)
    ours = forward(model, tokens)
    assert ours["logits"].dtype == np.float64
    single = hf_models.logits(theirs, tokens)
    assert worst(forward(model, tokens, dtype=np.float32)["logits"], single) <= 1e-5
    assert worst(ours["logits"], hf_models.exact_logits(theirs, tokens)) <= 1e-10
    np.testing.assert_array_equal(ours["embed"], model.embed(tokens))
    np.testing.assert_array_equal(model.embed(tokens[None]), model.embed(tokens)[None])


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_float32_is_close_to_float64(family: str, tmp_path: Path) -> None:
    model = load_model(hf_models.write(tmp_path / "model", hf_models.make(family)))
    single = forward(model, [7, 8, 9], dtype=np.float32)
    assert {value.dtype for value in single.values()} == {np.dtype(np.float32)}
    assert worst(single["logits"], forward(model, [7, 8, 9])["logits"]) <= 1e-6


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_the_activations_are_not_linear(family: str, tmp_path: Path) -> None:
    """Otherwise agreement would say little."""
    out = forward(load_model(hf_models.write(tmp_path / "model", hf_models.make(family))), hf_models.some_tokens(16))
    assert np.abs(out["layers.1.attn.score"]).max() > 2
    assert np.abs(out["layers.1.mlp.pre" if family == "opt" else "layers.1.mlp.gate"]).max() > 2


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_in_several_files(family: str, tmp_path: Path) -> None:
    theirs = hf_models.make(family)
    folder = hf_models.write(tmp_path / "model", theirs, max_shard_size="8KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    model = load_model(folder)
    tokens = hf_models.some_tokens(12)
    assert worst(forward(model, tokens)["logits"], hf_models.exact_logits(theirs, tokens)) <= 1e-10


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_in_bfloat16(family: str, tmp_path: Path) -> None:
    theirs = hf_models.make(family).bfloat16()
    model = load_model(hf_models.write(tmp_path / "model", theirs))
    tokens = hf_models.some_tokens(12)
    assert worst(forward(model, tokens)["logits"], hf_models.exact_logits(theirs, tokens)) <= 1e-10


@pytest.mark.parametrize("scaling", ["default", "linear", "llama3"])
def test_keys_of_older_transformers(scaling: str, tmp_path: Path) -> None:
    """``rope_theta`` and ``rope_scaling`` mean what ``rope_parameters`` does."""
    rope = hf_models.LLAMA3_ROPE | {"rope_type": scaling}
    folder = hf_models.write(tmp_path / "model", hf_models.make("llama", rope_parameters=rope))
    new = load_model(folder).config
    table = json.loads((folder / "config.json").read_text())
    parameters = table.pop("rope_parameters")
    table |= {"rope_theta": parameters.pop("rope_theta"), "rope_scaling": parameters}
    if scaling == "default":
        table["rope_scaling"] = None
    if scaling == "linear":
        table["rope_scaling"] = {"type": "linear", "factor": 8.0}
    (folder / "config.json").write_text(json.dumps(table))
    assert load_model(folder).config == new
    assert new.rope is not None and new.rope.base == 500.0 and new.rope.scaling == scaling.replace("default", "none")


def test_frequencies_of_llama_3() -> None:
    """Fast pairs stay, slow ones are divided by the factor, between them it is smooth."""
    plain, scaled = Rope(5e5).frequencies(128), Rope(5e5, "llama3", 8.0).frequencies(128)
    ratio = scaled / plain
    wavelength = 2 * np.pi / plain
    np.testing.assert_allclose(ratio[wavelength < 8192 / 4], 1)
    np.testing.assert_allclose(ratio[wavelength > 8192], 1 / 8)
    assert (np.diff(ratio) <= 1e-15).all()
    np.testing.assert_allclose(Rope(1e4, "linear", 4.0).frequencies(64), Rope(1e4).frequencies(64) / 4)


OPT_NORM = ["mean", "diff", "root", "norm"]
ATTENTION = ["score", "prob", "context"]


def test_names_of_opt(tmp_path: Path) -> None:
    model = load_model(hf_models.write(tmp_path / "model", hf_models.make("opt")))
    layer = [f"self_attn_layer_norm.{n}" for n in OPT_NORM] + [f"attn.{n}" for n in ["q", "k", "v", *ATTENTION]]
    layer += ["resid_mid"] + [f"final_layer_norm.{n}" for n in OPT_NORM] + ["mlp.pre", "mlp.act", "resid"]
    expected = ["embed"] + [f"layers.{i}.{n}" for i in range(2) for n in layer]
    assert list(forward(model, [1, 2, 3])) == expected + [f"final_layer_norm.{n}" for n in OPT_NORM] + ["logits"]


def test_names_and_shapes_of_llama(tmp_path: Path) -> None:
    model = load_model(hf_models.write(tmp_path / "model", hf_models.make("llama", head_dim=8)))
    attention = ["q", "k", "v", "q_rope", "k_rope", *ATTENTION]
    layer = [f"input_layernorm.{n}" for n in ("root", "norm")] + [f"attn.{n}" for n in attention]
    layer += ["resid_mid"] + [f"post_attention_layernorm.{n}" for n in ("root", "norm")]
    layer += [f"mlp.{n}" for n in ("gate", "up", "arg", "tanh", "silu", "act")] + ["resid"]
    expected = ["embed"] + [f"layers.{i}.{n}" for i in range(2) for n in layer]
    out = forward(model, [1, 2, 3, 4, 5])
    assert list(out) == expected + ["norm.root", "norm.norm", "logits"]
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm.root": (5, 1),
        "input_layernorm.norm": (5, 24),
        "attn.q": (5, 48),
        "attn.k": (5, 16),
    }
    shapes |= {"attn.v": (5, 16), "attn.q_rope": (5, 48), "attn.k_rope": (5, 16), "attn.score": (6, 5, 5)}
    shapes |= {"attn.context": (5, 48), "mlp.gate": (5, 40), "mlp.act": (5, 40), "resid": (5, 24)}
    assert {name: out[f"layers.1.{name}"].shape for name in shapes} == shapes
    taylor = forward(model, [1, 2, 3], softmax="taylor", activation="taylor")
    assert taylor["layers.0.attn.expsum"].shape == (3, 6, 1)
    a = taylor["layers.0.mlp.gate"] / 2
    np.testing.assert_allclose(taylor["layers.0.mlp.tanh"], a - a**3 / 3 + 2 * a**5 / 15, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(taylor["layers.0.mlp.arg5"], a**5, rtol=1e-12)
    np.testing.assert_allclose(out["layers.0.mlp.silu"], _silu(out["layers.0.mlp.gate"]), rtol=1e-12)


def _silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("family", ["opt", "llama"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranges_hold(family: str, dtype: Any, tmp_path: Path) -> None:
    model = load_model(hf_models.write(tmp_path / "model", hf_models.make(family)))
    ids = hf_models.some_tokens(60)
    ranges = calibrate_ranges(model, model.decode(ids.tolist()), 8, windows=53, dtype=dtype)
    for start in (0, 20, 52):
        out = forward(model, ids[start : start + 8], dtype=dtype)
        assert list(ranges) == list(out)
        for name, value in out.items():
            assert ranges[name].dtype == dtype
            size = np.abs(value)
            by_position = np.swapaxes(size.max(-1), 0, 1) if name.endswith((".score", ".prob")) else size
            assert (by_position[0] <= ranges[name][0] * (1 + 1e-5)).all(), name
            assert (by_position[1:].max(0) <= ranges[name][1] * (1 + 1e-5)).all(), name


@pytest.mark.parametrize(
    "family,activation", [("opt", "paper"), ("opt", "taylor"), ("llama", "paper"), ("llama", "gelu")]
)
def test_activations_of_other_models_are_refused(family: str, activation: str, tmp_path: Path) -> None:
    model = load_model(hf_models.write(tmp_path / "model", hf_models.make(family)))
    with pytest.raises(Error, match=f"activation '{activation}' is none of model's"):
        forward(model, [1], activation=activation)


def test_every_token_of_the_text_is_tried_at_the_first_position() -> None:
    """Not only those that come first in the vocabulary."""
    model: Any = SimpleNamespace(config=SimpleNamespace(vocabulary=50_000))
    text = np.arange(40_000, 41_000)
    assert ranges._first_tokens(model, np.repeat(text, 3)).tolist() == text.tolist()
