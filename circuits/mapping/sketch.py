"""A model's circuit to be counted: the mapping's own arrays and terms, with weights that are all one and not in memory.

Blocks are alike but for the first, which reads the inputs, and the last, which the head reads: at most three are built,
and the middle one stands for the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..calibration import Ranges
from ..checkpoints import Model
from ..circuit import Circuit
from ..config import Config
from ..families import FAMILIES
from ..technology import Technology
from .builder import Builder
from .model import TOKENS, build, check_known, place_of, resolved

Array = Any
BUILT = 3


def sketch(name: str, config: Config, positions: int, technology: Technology, tokens: str = "parallel") -> Circuit:
    """The circuit `map_model` makes of a model of these sizes, every weight another than 0, with min(layers, 3) blocks.

    Softmax and activation as the model was trained. Its volts mean nothing: it is not to be run.
    Raises Error for tokens that are neither "parallel" nor "serial", and for positions beyond the context.
    """
    check_known("tokens", tokens, TOKENS)
    model = Model(name, replace(config, layers=min(config.layers, BUILT)), Ones(config))  # type: ignore[arg-type]
    softmax, order = resolved(model, positions, None, None, "tanh-pair")
    at = place_of(tokens, None, positions)
    circuit = Circuit(name, temperature=technology.temperature, output="logits")
    b = Shaper(
        circuit, technology, AnyRanges(Widths(config)), positions if tokens == "parallel" else 1, softmax, order,
        place=at, rows=positions if tokens == "serial" else 0,
    )  # fmt: skip
    build(b, model)
    circuit.notes |= {"positions": positions, "tokens": tokens}
    return circuit


class Shaper(Builder):
    """Keeps the shape of a matrix, not its numbers."""

    def _kept(self, weight: Array) -> Array:
        return np.broadcast_to(np.float32(1), np.shape(weight))

    def _folded(
        self, tensors: Mapping[str, Array], norm: str, weight: Array, bias: Array | None
    ) -> tuple[Array, Array | None]:
        return weight, np.ones(len(weight)) if f"{norm}.bias" in tensors else bias


@dataclass(frozen=True)
class Ones(Mapping[str, Array]):
    """Tensors of a model, all ones, none of them in memory."""

    config: Config

    def __getitem__(self, name: str) -> Array:
        shapes = dict(FAMILIES[self.config.family].shapes(self.config))
        return np.broadcast_to(np.float16(1), shapes[name])

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in FAMILIES[self.config.family].shapes(self.config))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class AnyRanges(Ranges):
    """Every node's range is one."""

    def spread(self, name: str, shape: tuple[int, ...], *, position_axis: int = 0) -> Array:
        return np.broadcast_to(1.0, shape)

    def rest(self) -> Ranges:
        return self


@dataclass(frozen=True)
class Widths(Mapping[str, Array]):
    """Ranges of every array, of which Taylor attention asks how wide the context is."""

    config: Config

    def __getitem__(self, name: str) -> Array:
        return np.ones((2, self.config.heads * self.config.head_width))

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
