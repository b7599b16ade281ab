"""The form in which a family describes itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..metadata import Metadata
from ..tensors import Tensors

Shapes = Iterator[tuple[str, tuple[int, ...]]]
SOFTMAX_KEY = "dsmachine_softmax"
SOFTMAXES = {"exact": "exact", "taylor3": "taylor3"}


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: ``model_type`` of its ``config.json``.
        prefixes: what may stand before the names of its tensors; the first that fits is taken off.
        read: the checked sizes in a ``config.json``.
        shapes: name and shape of every tensor.
        embed: tokens (…, P) → float64 (…, P, width), what the DACs write onto the input nodes.
        token: name of the tensor that has a row for each token; position: of the one that has a row for each place, and
            the row of the first, or None.
    """

    name: str
    prefixes: tuple[str, ...]
    read: Callable[[Metadata], Config]
    shapes: Callable[[Config], Shapes]
    embed: Callable[[Tensors, NDArray[np.integer[Any]]], NDArray[np.float64]]
    token: str
    position: tuple[str, int] | None = None


CLASSIFIER = "ForSequenceClassification"  # how the name of its architecture ends


def labels(metadata: Metadata) -> int:
    """Classes of a sequence classifier, 2 unless the file names them; 0 of a language model."""
    named = metadata.get("architectures")
    if not isinstance(named, list) or not any(isinstance(n, str) and n.endswith(CLASSIFIER) for n in named):
        return 0
    classes = metadata.part("id2label")
    return len(classes.values) if classes is not None else 2


def head(config: Config) -> Shapes:
    """The matrix that makes the logits, where it is not the token embedding."""
    if config.labels:
        yield "score.weight", (config.labels, config.width)
    elif not config.tied:
        yield "lm_head.weight", (config.vocabulary, config.width)


def head_width(metadata: Metadata, width: tuple[str, int], heads: tuple[str, int]) -> int:
    """width/heads, each given with its key."""
    if width[1] % heads[1]:
        fix = f"is no multiple of {heads[0]} {heads[1]}"
        raise metadata.wrong(width[0], width[1], "correct it", fix)
    return width[1] // heads[1]
