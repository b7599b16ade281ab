"""How long the windows of a run are.

All groups share windows, and in one each takes its own elements, halves of halves of it. A relaxation is a sum of
modes e^(−λt). At a time t after the start those are left, to a share ε of full scale, whose rate is λ < ln(1/ε)/t, and
an element of p points resolves a mode while λh < κ(p, ε). So elements may be

    h = κ/ln(1/ε) · t

long, in proportion to the time since the start: a mesh graded geometrically towards it, on which the error of elements
of p points falls exponentially with their number (Schötzau and Schwab, SIAM J. Numer. Anal. 38, 837, 2000). Windows are
graded alike. They begin with a first element's length f and are g times as long as the time t since, up to the longest,
L = 16 of the longest time constants, or some times that (`March.stretch`),

    length(t) = min(L, max(f, g·t))          t counted from the start and from each jump of an input

so that a group takes g ln(1/ε)/κ elements in each, whatever its length, and a group that waits or rests takes one.
Where fronts of deep layers are shorter than the time since the start, these take more.

In windows of one length the first has many short elements of every group, and elements that grow only by doubling, to
fit its halves; solved in rows of equal ones they grow no sooner than a row is through. Windows are so where weights
pass by in each, in small circuits, with cycles, in which nothing waits, and at accuracy "settling"
(`Request.growing`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = Any
WINDOW = 16.0  # longest window of a large circuit, in its longest time constant
GROWS = 2  # where longest ones are more times that, elements are small beside the cost of asking: they do not grow


def windows(
    stop: float, longest: float, breakpoints: Array, first: float = math.inf, growth: float = 0.0
) -> Iterator[tuple[float, float]]:
    """(begin, length) of windows up to `stop` [s], none longer than `longest`, none across a breakpoint; at the start
    and after each they are `first` long, then `growth` times as long as the time since."""
    marks = np.unique(np.concatenate([np.asarray(breakpoints, float), [stop]]))
    begin = 0.0
    for mark in marks[(marks > 0) & (marks <= stop)].tolist():  # a NumPy number would make float32 arrays float64
        since = begin
        while (length := max(first, (begin - since) * growth)) < longest and begin + length < mark:
            yield begin, length
            begin += length
        count = max(1, math.ceil((mark - begin) / longest - 1e-9))
        length = (mark - begin) / count
        for k in range(count):
            yield begin + k * length, length
        begin = mark
