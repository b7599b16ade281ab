"""How well logits predict a text."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..errors import Error


def loss(logits: ArrayLike, tokens: ArrayLike) -> float:
    """Mean negative log-likelihood, in nats, of each token after the first.

    Args:
        logits: (P, V), row p predicts token p + 1.
        tokens: (P,) ids.
    """
    rows, ids = np.asarray(logits, np.float64)[:-1], np.asarray(tokens)[1:]
    if not len(ids):
        raise Error("loss of 1 token is undefined: give at least two")
    peak = rows.max(-1)
    normaliser = peak + np.log(np.exp(rows - peak[:, None]).sum(-1))
    return float((normaliser - rows[np.arange(len(ids)), ids]).mean())


def perplexity(logits: ArrayLike, tokens: ArrayLike) -> float:
    """exp of `loss`: (P, V) logits and the (P,) tokens they came from."""
    return math.exp(loss(logits, tokens))
