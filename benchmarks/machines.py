"""Machines that benchmarks anneal: of random weights, by sizes alone, and of models that were trained.

Random weights are those that training starts from (σ 0.02; GPT-2's residual projections 0.02/sqrt(2 L)), with a
vocabulary of 512 tokens unless told otherwise. Their ranges are those of random tokens.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.checkpoints import Model
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.config import Config
from dsmachine.circuits.families import FAMILIES
from dsmachine.circuits.reference import calibrate_ranges
from dsmachine.circuits.rows import by_rows
from dsmachine.emulator.memory import host_room

Array = Any
SIGMA, VOCABULARY, TOKENS = 0.02, 512, 8
RESIDUAL = ("attn.c_proj.weight", "mlp.c_proj.weight")
TRAINED = {"tiny-shakespeare": 64, "smollm2": 11}  # tokens of each
TEXT = 256  # random tokens that set the ranges


class RandomTensors(Mapping[str, Array]):
    """Weights drawn when they are asked for, always the same; of them stay as many as a third of the free memory
    holds."""

    def __init__(self, config: Config, layers: int) -> None:
        self.shapes, self.layers = dict(FAMILIES[config.family].shapes(config)), layers
        self._kept: dict[str, Array] = {}
        self._room = (host_room() or 0) // 3

    def __getitem__(self, name: str) -> Array:
        name = name if name in self.shapes else f"{name}.weight"
        if name in self._kept:
            return self._kept[name]
        drawn = self._drawn(name)
        if drawn.nbytes <= self._room:
            self._kept[name] = drawn
            self._room -= drawn.nbytes
        return drawn

    def _drawn(self, name: str) -> Array:
        shape = self.shapes[name]
        if name.endswith(".bias"):
            return np.zeros(shape, np.float32)
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        sigma = SIGMA / math.sqrt(2 * self.layers) if name.endswith(RESIDUAL) else SIGMA
        drawn, seed = np.empty(shape, np.float32), zlib.crc32(name.encode())

        def draw(rows: slice) -> None:
            part = drawn[rows]
            np.random.default_rng((seed, rows.start)).standard_normal(out=part, dtype=np.float32)
            part *= np.float32(sigma)

        by_rows(draw, shape)
        return drawn

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes or f"{name}.weight" in self.shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def rows(self, name: str, index: Array) -> Array:
        return self[name][index]


class RandomText(Model):
    """A model whose text is random tokens, as many as `calibration_text` has letters."""

    def tokenize(self, text: str, what: str = "prompt") -> list[int]:
        return [int(i) for i in np.random.default_rng(0).integers(0, self.config.vocabulary, len(text))]


def gpt2_like(layers: int, width: int, heads: int, **variant: Any) -> Config:
    """Sizes of a small model; variant: as `Config` names it."""
    return Config(layers, width, heads, context=1024, vocabulary=VOCABULARY, **variant)


def random_machine(
    sizes: Config,
    tokens: int = TOKENS,
    vocabulary: int = VOCABULARY,
    layers: int | None = None,
    **options: Any,
) -> tuple[Circuit, Array]:
    """(circuit, its input); weights in float32, as the solver wants them, so that it makes no copy.

    layers: how many are built, by default all; options: as `map_model` takes them.
    """
    config = replace(sizes, layers=layers or sizes.layers, vocabulary=vocabulary)
    tensors: Any = RandomTensors(config, sizes.layers)
    model = RandomText("random", config, tensors, "x" * max(TEXT, 2 * tokens))
    ranges = Ranges(calibrate_ranges(model, positions=tokens, windows=max(2, 256 // tokens), dtype=np.float32))
    circuit = ds.map_model(model, tokens, ranges=ranges, precision="float32", **options)
    return circuit, model.embed(np.asarray(model.tokenize(model.calibration_text)[-tokens:]))


def trained_machine(name: str) -> tuple[Circuit, Array]:
    model, tokens = ds.load_model(name), TRAINED[name]
    ids = model.tokenize(model.calibration_text)[:tokens]
    return ds.map_model(model, tokens), model.embed(ids)
