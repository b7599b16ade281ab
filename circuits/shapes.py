"""Published sizes of the models that the paper weighs: what is known of them where their weights are not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .config import Config
from .errors import Error


@dataclass(frozen=True)
class Shape:
    """Sizes of a model without its weights.

    Attributes:
        label: what people call it.
        layers: blocks of the whole model.
        sizes: width, heads, … as `Config` names them.
        vocabulary, context: tokens, and the most positions.
    """

    label: str
    layers: int
    sizes: Mapping[str, Any]
    vocabulary: int = 50257
    context: int = 1024

    def config(self, layers: int | None = None, vocabulary: int | None = None) -> Config:
        """Of so many of its layers and tokens; None: of all."""
        return Config(
            layers=layers or self.layers,
            vocabulary=vocabulary or self.vocabulary,
            context=self.context,
            **self.sizes,
        )


OPT = {"heads": 32, "family": "opt", "activation": "relu"}
SHAPES = {
    # Radford et al. 2019, the checkpoints' config.json
    "gpt2": Shape("GPT-2 124M", 12, {"width": 768, "heads": 12}),
    "gpt2-medium": Shape("GPT-2-medium 355M", 24, {"width": 1024, "heads": 16}),
    # Zhang et al. 2022, table 1
    "opt-1.3b": Shape("OPT-1.3B", 24, {"width": 2048, **OPT}, 50272, 2048),
    "opt-2.7b": Shape("OPT-2.7B", 32, {"width": 2560, **OPT}, 50272, 2048),
    # Touvron et al. 2023, the checkpoint's config.json
    "llama2-7b": Shape(
        "Llama-2-7B", 32,
        {"width": 4096, "heads": 32, "inner": 11008, "family": "llama", "activation": "silu", "tied": False},
        32000, 4096,
    ),
}  # fmt: skip


def shape_of(name: str) -> Shape:
    """A shape by its name; Error for a name that is not in `SHAPES`."""
    if name not in SHAPES:
        raise Error(f"shape {name!r} is not known: use one of {', '.join(SHAPES)}")
    return SHAPES[name]
