"""What noise costs a reading, with little of chance in it: losses of logits z + δ and of their mirror image z − δ.

    L(z ± δ) = L(z) ± L′δ + ½ δᵀL″δ ± …

Where noise is linear, δ and −δ are equally likely: the mean of both is an unbiased estimate of a reading's loss, and
what scatters most, of first order, drops out of it. In time δ has a mean, which the circuit bends (`bending.py`): there
readings alone are what the machine is worth, and their images are worse by twice what the mean does for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any


@dataclass
class Readings:
    """Of one passage. ids: (P,) its tokens; rest: logits (P, V) without noise; full_scale: of a logit, logical units.

    perplexity, mirrored: of each reading, and of its mirror image. rms: of its logits, share of full scale. surprise:
    rms over the tokens of what noise of first order does to −ln p of the right one [nats].
    """

    ids: Iterable[int]
    rest: Array
    full_scale: Array
    perplexity: list[float] = field(default_factory=list)
    mirrored: list[float] = field(default_factory=list)
    rms: list[float] = field(default_factory=list)
    surprise: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.noiseless = math.exp(surprises(self.rest, self.ids).mean())

    def add(self, logits: Array) -> None:
        """One reading, (P, V)."""
        off = logits - self.rest
        up, down = surprises(logits, self.ids), surprises(self.rest - off, self.ids)
        self.perplexity.append(_exp(up.mean()))
        self.mirrored.append(_exp(down.mean()))
        self.rms.append(float(np.sqrt(np.mean(np.square(off / self.full_scale)))))
        self.surprise.append(float(np.sqrt(np.mean(np.square((up - down) / 2)))))

    def columns(self) -> dict[str, Any]:
        """A row's, of all readings: perplexity, of both images; its standard error if readings are independent; what
        one reading scatters."""
        both = np.add(self.perplexity, self.mirrored) / 2
        return {
            "perplexity": float(both.mean()),
            "standard error": standard_error(both),
            "over samples": float(np.std(self.perplexity, ddof=1)) if len(both) > 1 else math.nan,
            "least sample %": 100 * min(self.rms),
            "largest sample %": 100 * max(self.rms),
            "surprise, nats": float(np.sqrt(np.mean(np.square(self.surprise)))),
        }


def standard_error(values: Iterable[float]) -> float:
    """Of the mean of independent values; nan of one."""
    each = np.asarray(list(values))
    return float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else math.nan


def surprises(logits: Array, ids: Iterable[int]) -> Array:
    """−ln p (P − 1,) of each token after the first, of logits (P, V)."""
    rows, following = np.asarray(logits, float)[:-1], np.asarray(ids)[1:]
    rows = rows - rows.max(axis=-1, keepdims=True)
    found: Array = np.log(np.exp(rows).sum(axis=-1)) - rows[np.arange(len(following)), following]
    return found


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))  # a model that is lost
