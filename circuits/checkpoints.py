"""Trained models from Hugging Face folders, checked before they are believed.

A folder holds ``config.json``, ``model.safetensors``, ``tokenizer.json`` and, if the model brings
one, ``calibration.txt``. Pickle checkpoints are never loaded. Family so far: GPT-2.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import tokens
from .errors import Error
from .tensorfile import TensorFile, place, shown

MAX_TEXT_BYTES = 2**20
ACTIVATIONS = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu": "relu"}
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
SOFTMAXES = ("exact", "taylor3")
# GPT-2 options that change the function; others (dropout, caching) do not.
REQUIRED_OPTIONS: dict[str, tuple[object, ...]] = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
    "quantization_config": (None,),
}
DEFAULT_CALIBRATION = """\
It was a bright morning in the town, and the market was already full of people. A man who sold
apples asked me where I came from. "From the north," I said, "where the winter is long." He laughed,
gave me two of them, and would not take the money: was it not, after all, the first day of spring?
"""


@dataclass(frozen=True)
class Config:
    """Sizes and variant of a model.

    Attributes:
        layers, width, heads: the transformer's sizes; width is a multiple of heads.
        context: the most positions.
        vocabulary: the number of tokens.
        epsilon: what LayerNorm adds to the variance.
        activation: ``"gelu"`` (the tanh form, GPT-2's gelu_new) or ``"relu"``.
        softmax: the attention it was trained with, ``"exact"`` or ``"taylor3"``.
    """

    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int
    epsilon: float = 1e-5
    activation: str = "gelu"
    softmax: str = "exact"
    family: str = "gpt2"
    inner: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", self.inner or 4 * self.width)


class Tensors(Mapping[str, NDArray[np.float32]]):
    """The checkpoint's tensors under the names without ``transformer.``; lookups may have it."""

    def __init__(self, file: TensorFile) -> None:
        self._file = file
        self._stored = {name.removeprefix("transformer."): name for name in file}
        if len(self._stored) != len(file):
            twice = [name for name in file if "transformer." + name in file]
            raise Error(
                f"tensor {shown(twice[0] if twice else 'transformer.…')} in {place(file.path)} is there "
                "with and without 'transformer.': keep one"
            )

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._file[self.stored(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def stored(self, name: str) -> str:
        """The name in the file."""
        return self._stored[name.removeprefix("transformer.")]

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise `Error` unless the tensor is there, of this shape, of a known dtype and finite."""
        if name not in self._stored:
            raise Error(
                f"tensor {shown(name)} is missing in {place(self._file.path)}: "
                "config.json and model.safetensors must come from the same model"
            )
        stored = self.stored(name)
        found = self._file.entry(stored).shape
        if found != shape:
            raise Error(
                f"tensor {shown(stored)} in {place(self._file.path)} has shape {list(found)}, "
                f"config.json wants {list(shape)}: they must come from the same model"
            )
        self._file.check_finite(stored)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model: sizes, tensors, tokenizer.

    Attributes:
        name: the folder's or the bundled model's name.
        family: ``"gpt2"``.
        config: sizes and variant.
        tensors: name → float32 array as stored (GPT-2's Conv1D weights are (inputs, outputs)),
            named as in the checkpoint without ``transformer.``.
        calibration_text: text whose activations set a circuit's voltages.
    """

    name: str
    family: str
    config: Config
    tensors: Mapping[str, NDArray[np.float32]] = field(repr=False)
    calibration_text: str = field(default="", repr=False)
    tokenizer: Any = field(default=None, repr=False)

    def encode(self, prompt: str) -> list[int]:
        """Tokens of a prompt; `Error` when it is empty, outside the tokenizer or too long."""
        ids = self.tokenize(prompt)
        if len(ids) > self.config.context:
            raise Error(
                f"prompt has {len(ids)} tokens, {self.name} takes at most {self.config.context}: "
                f"shorten it by {len(ids) - self.config.context}"
            )
        return ids

    def tokenize(self, text: str, what: str = "prompt") -> list[int]:
        """Tokens of a text of any length, called `what` in errors."""
        return tokens.tokenize(self._need_tokenizer(), text, what)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some tokens; `Error` for an id outside the vocabulary."""
        return tokens.detokenize(self._need_tokenizer(), ids, self.config.vocabulary)

    def embed(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Token plus position embedding (P, width) of tokens (P,), or (batch, P, width) of (batch, P): what the DACs
        write onto the circuit's input nodes, ``{"embed": model.embed(model.encode(prompt))}``."""
        rows = np.asarray(ids)
        table, places = (np.asarray(self.tensors[f"{name}.weight"], np.float64) for name in ("wte", "wpe"))
        embedded: NDArray[np.float64] = table[rows] + places[: rows.shape[-1]]
        return embedded

    def _need_tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise Error(f"model {shown(self.name)} has no tokenizer: give token ids instead")
        return self.tokenizer


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    folder = resources.files(__package__) / "models"
    if not folder.is_dir():
        return []
    return sorted(f.name for f in folder.iterdir() if (f / "config.json").is_file())


def load_model(path_or_name: str | os.PathLike[str]) -> Model:
    """Load a bundled model by its name, or a Hugging Face folder by its path.

    Tensors stay in the file until they are used. Raises `Error` for whatever is missing, damaged
    or unsupported.

    >>> load_model("tiny-shakespear")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dsmachine.circuits.errors.Error: model 'tiny-shakespear' is neither a folder nor a bundled ...
    """
    folder = _folder(path_or_name)
    config = read_config(folder / "config.json")
    tensors = Tensors(_tensor_file(folder))
    for name, shape in gpt2_shapes(config):
        tensors.check(name, shape)
    tokenizer = tokens.load_tokenizer(folder / "tokenizer.json", config.vocabulary)
    text = _calibration_text(folder / "calibration.txt", tokenizer)
    return Model(folder.resolve().name, "gpt2", config, tensors, text, tokenizer)


def gpt2_shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor of a GPT-2-architecture model (tied embeddings)."""
    d = config.width
    yield "wte.weight", (config.vocabulary, d)
    yield "wpe.weight", (config.context, d)
    linears = {"attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d)}
    linears |= {"mlp.c_fc": (d, 4 * d), "mlp.c_proj": (4 * d, d)}
    for layer in range(config.layers):
        for norm in ("ln_1", "ln_2"):
            yield f"h.{layer}.{norm}.weight", (d,)
            yield f"h.{layer}.{norm}.bias", (d,)
        for name, shape in linears.items():
            yield f"h.{layer}.{name}.weight", shape
            yield f"h.{layer}.{name}.bias", shape[1:]
    yield "ln_f.weight", (d,)
    yield "ln_f.bias", (d,)


# ---- folders and files ----------------------------------------------------------------------


def _folder(path_or_name: str | os.PathLike[str]) -> Path:
    if not isinstance(path_or_name, str | os.PathLike):
        raise Error(f"model is {shown(path_or_name)}: give a Hugging Face folder or the name of a bundled model")
    name = os.fspath(path_or_name)
    bundled = bundled_models()
    if name in bundled:
        return Path(str(resources.files(__package__) / "models" / name))
    path = Path(name)
    try:
        if name and path.is_dir():
            return path
        if name and path.exists():
            raise Error(f"model {shown(name)} is a file: give the folder that holds config.json")
    except OSError as error:  # too long, or not allowed to look
        raise Error(f"model {shown(name)}: {error.strerror}; give a readable folder") from None
    raise Error(
        f"model {shown(name)} is neither a folder nor a bundled model: "
        f"give a Hugging Face folder or one of {', '.join(bundled) or '(none bundled)'}"
    )


def _tensor_file(folder: Path) -> TensorFile:
    """The folder's safetensors file; a clear line for pickles and for split checkpoints."""
    path = folder / "model.safetensors"
    if path.is_file():
        return TensorFile(path)
    if (folder / "model.safetensors.index.json").exists():
        raise Error(
            f"{place(folder)} holds a checkpoint split into several files: save it as one "
            "(model.save_pretrained(folder, max_shard_size='100GB'))"
        )
    pickles = [p.name for suffix in PICKLES for p in folder.glob(f"*{suffix}")]
    if pickles:
        raise Error(
            f"{place(folder)} holds only a pickle checkpoint ({shown(pickles[0])}), which is never "
            "loaded: save it as model.safetensors (model.save_pretrained(folder))"
        )
    raise Error(f"{place(path)} is missing: save the model there (model.save_pretrained(folder))")


def _read_text(path: Path, limit: int = MAX_TEXT_BYTES) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Error(f"{place(path)} has more than {limit} bytes: shorten it")
        return data.decode("utf-8")
    except OSError as error:
        raise Error(f"{place(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Error(f"{place(path)} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None


def _calibration_text(path: Path, tokenizer: Any) -> str:
    """The model's own text, or a passage of English without what the tokenizer does not know."""
    if path.exists():
        text = _read_text(path)
        if not text:
            raise Error(f"{place(path)} is empty: put some thousand characters of training text there")
        return text
    known = {c for c in set(DEFAULT_CALIBRATION) if tokens.knows(tokenizer, c)}
    spaced = "".join(c for c in DEFAULT_CALIBRATION if c in known or c.isspace())
    # Some tokenizers know white space only beside a word, others not at all.
    return spaced if tokens.takes(tokenizer, spaced) else "".join(c for c in spaced if c in known)


# ---- config.json ----------------------------------------------------------------------------


def read_config(path: Path) -> Config:
    """The checked ``config.json`` of a GPT-2-architecture model."""
    if not path.is_file():
        raise Error(f"{place(path)} is missing: give a Hugging Face model folder")
    text = _read_text(path)
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Error(f"{place(path)} is no JSON ({shown(str(error))}): save the model again") from None
    if not isinstance(table, dict):
        raise Error(f"{place(path)} is no JSON object: save the model again")
    _check_variant(path, table)
    config = Config(
        layers=_natural(path, table, "n_layer"),
        width=_natural(path, table, "n_embd"),
        heads=_natural(path, table, "n_head"),
        context=_natural(path, table, "n_positions", "n_ctx"),
        vocabulary=_natural(path, table, "vocab_size"),
        epsilon=_epsilon(path, table),
        activation=_activation(path, table),
        softmax=_softmax(path, table),
    )
    if config.width % config.heads:
        raise Error(f"{place(path)}: n_embd {config.width} is no multiple of n_head {config.heads}: correct it")
    if table.get("n_inner") not in (None, 4 * config.width):
        raise Error(
            f"{place(path)}: n_inner {shown(table['n_inner'])} is unsupported: use 4 × n_embd ({4 * config.width})"
        )
    return config


def _check_variant(path: Path, table: Mapping[str, Any]) -> None:
    if table.get("model_type") != "gpt2":
        raise Error(
            f"{place(path)}: model_type {shown(table.get('model_type'))} is unsupported: "
            "use a model of GPT-2 architecture ('gpt2')"
        )
    for option, accepted in REQUIRED_OPTIONS.items():
        value = table.get(option, accepted[0])
        if not any(value is a for a in accepted):
            raise Error(f"{place(path)}: {option} {shown(value)} is unsupported: use a model with {accepted[0]}")


def _natural(path: Path, table: Mapping[str, Any], *names: str) -> int:
    """The first of the keys that is there, a whole number from 1 to 2³¹."""
    key = next((name for name in names if name in table), names[0])
    value = table.get(key)
    if type(value) is not int or not 0 < value < 2**31:
        raise Error(f"{place(path)}: {key} is {shown(value)}: it must be a whole number above 0")
    return value


def _epsilon(path: Path, table: Mapping[str, Any]) -> float:
    value = table.get("layer_norm_epsilon", 1e-5)
    if type(value) not in (int, float) or not (math.isfinite(value) and 0 < value <= 1):
        raise Error(f"{place(path)}: layer_norm_epsilon is {shown(value)}: use a number in (0, 1]")
    return float(value)


def _activation(path: Path, table: Mapping[str, Any]) -> str:
    value = table.get("activation_function", "gelu_new")
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise Error(
            f"{place(path)}: activation_function {shown(value)} is unsupported: "
            f"use a model with one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[value]


def _softmax(path: Path, table: Mapping[str, Any]) -> str:
    value = table.get("dsmachine_softmax", "exact")
    if not isinstance(value, str) or value not in SOFTMAXES:
        raise Error(f"{place(path)}: dsmachine_softmax {shown(value)} is unknown: use {' or '.join(SOFTMAXES)}")
    return value
