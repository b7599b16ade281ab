"""The digital column: operations of a forward pass, at the energy that one takes in 45 nm CMOS.

    E = 4.6 pJ · multiply-accumulates + 0.9 pJ · accumulates

fp32 multiply 3.7 pJ, add 0.9 pJ (Horowitz, "Computing's energy problem", ISSCC 2014). Nothing else of a computer is in
it: no memory, no registers, no control, no exponentials or roots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..circuits.config import Config
from ..circuits.families import FAMILIES

MULTIPLY_ACCUMULATE, ACCUMULATE = 4.6e-12, 0.9e-12  # J
EMBEDDINGS = ("wte.", "wpe.", "embed_tokens.", "embed_positions.")
HEADS = ("lm_head.", "score.")


@dataclass(frozen=True)
class Operations:
    """Of one sequence: multiply-accumulates, and sums without a product."""

    multiply_accumulates: int
    accumulates: int

    @property
    def joules(self) -> float:
        """As printed above."""
        return self.multiply_accumulates * MULTIPLY_ACCUMULATE + self.accumulates * ACCUMULATE

    @property
    def joules_of_sums(self) -> float:
        """If every product were a spike that gates an addition, at one spike each: a floor of spike coding."""
        return (self.multiply_accumulates + self.accumulates) * ACCUMULATE


def operations(config: Config, tokens: int) -> Operations:
    """Of so many tokens at once, causal attention, outputs of the last one.

    Multiply-accumulates: every weight matrix once a token, the head once; q·k and p·v of the positions that a token
    sees, (tokens + 1)/2 of them on average. Accumulates: biases, residual sums, sums of norms and of the softmax.
    """
    matrices, biases, norms = 0, 0, 0
    for name, shape in FAMILIES[config.family].shapes(config):
        if name.startswith((*EMBEDDINGS, *HEADS)):
            continue  # looked up; the head is counted below
        if len(shape) == 2:
            matrices += math.prod(shape)
        elif name.endswith(".bias"):
            biases += shape[0]
        else:
            norms += shape[0]
    seen = tokens * (tokens + 1) // 2  # pairs of positions
    attention = 2 * config.layers * config.heads * config.head_width * seen
    residual = 2 * config.layers * config.width
    softmax = config.layers * config.heads * seen
    sums = 2 if config.family != "llama" else 1  # mean and variance; the mean square alone
    head = config.outputs * config.width
    return Operations(tokens * matrices + head + attention, tokens * (biases + residual + sums * norms) + softmax)


__all__ = ["Operations", "operations"]
