"""How far a window of the stepper can be trusted: the scatter of its variances, foretold by the linear analysis.

A variance that is a mean over T seconds and an array's nodes has the variance

    (2/T) ∫ tr R(τ)R(τ)ᵀ dτ = (2/T) ∫ tr S(ω)² dω/2π

R: the nodes' covariance at lag τ, S: its spectrum. tr S² is the mean of |a†b|² of two samples a, b at one frequency.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dsmachine.emulator.fluctuation import Fluctuation
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.prepare import planned

from .bench import Bench, Rows
from .stepper import LEAST_NODES, NEAR, TOKENS, WINDOW

Array = Any
SECONDS = WINDOW / 2
FREQUENCIES, PAIRS, SEED = 24, 24, 1
LONGER = 4


def run(bench: Bench) -> None:
    """One row for all arrays, and one for each array that is the worst of its kind in the stepper's rows."""
    seen = [row for row in Rows("stepper").rows if row["times thermal"] == 1]
    rows = Rows("scatter", fresh=bench.fresh)
    if not seen or any(row["array"] == "logits" for row in rows.rows):  # the last that is written
        return
    few = replace(bench, positions=TOKENS)
    found = scatter(planned(few.circuit(ranges=bench.ranges), "float32", "numpy"), few.inputs)
    rows.row({"array": "all"}, lambda: _all(seen[0], [each.relative for each in found.values()]))
    for row in seen[1:]:
        rows.row({"array": row["in"]}, lambda row=row: _one(row, found[row["in"]]))


@dataclass
class Scatter:
    """Mean squares and their variances over a window, by token: of the array's nodes and of all of them together."""

    power: Array
    of_token: Array
    of_array: float = 0.0

    @property
    def relative(self) -> float:
        """Standard deviation over mean of the array's variance."""
        return math.sqrt(self.of_array) / float(self.power.sum())


def _all(row: dict[str, Any], each: list[float]) -> dict[str, Any]:
    """How many arrays chance alone lets a window have within 10 %, and how many it had."""
    return {
        "scatter of a window": statistics.median(each),
        "expected within 10 %": _near(each, 1),
        "seen within 10 %": row["within 10 % of variance"],
        "of": row["compared"],
        f"expected, {LONGER} windows": _near(each, LONGER),
    }


def _near(each: list[float], windows: int) -> float:
    return sum(math.erf(NEAR / (s / math.sqrt(windows)) / math.sqrt(2)) for s in each)


def _one(row: dict[str, Any], found: Scatter) -> dict[str, Any]:
    return {
        "scatter of a window": found.relative,
        "seen": row["worst"],
        "off by scatters": (row["worst"] - 1) / found.relative,
        "share of first token": float(found.power[0] / found.power.sum()),
        "scatter by token": " / ".join(f"{v:.2f}" for v in np.sqrt(found.of_token) / found.power),
        "seen by token": row["by token"],
    }


def scatter(plan: Plan, inputs: dict[str, Array], seconds: float = SECONDS) -> dict[str, Scatter]:
    """Of every array with many nodes, for means over `seconds`."""
    rest = solve_operating_point(plan, inputs)
    source = Fluctuation(plan, rest, "thermal", seed=SEED, frequencies=FREQUENCIES, pairs=PAIRS)
    found: dict[str, Scatter] = defaultdict(lambda: Scatter(np.zeros(1), np.zeros(1)))
    for first in range(0, PAIRS, 2):
        rows = range(first * FREQUENCIES, (first + 2) * FREQUENCIES)
        cosine = np.cos(source.angle[rows.start : rows.start + FREQUENCIES])
        weight = FREQUENCIES * cosine**2 / (source.pole * seconds) / (PAIRS / 2)
        for stage, moved in source.sweep(0, rows):
            if not stage.node.is_inner and stage.node.count >= LEAST_NODES:
                off = ((moved[0] + 1j * moved[1]) * stage.per_full_scale).reshape(len(rows), moved.shape[2], -1)
                inner = np.einsum("kpn,kpn->kp", off[:FREQUENCIES].conj(), off[FREQUENCIES:])
                here = found[stage.name]
                here.power = here.power + (np.abs(off) ** 2).sum(axis=(0, 2)) / 2 / PAIRS
                here.of_token = here.of_token + weight @ np.abs(inner) ** 2
                here.of_array += float(weight @ np.abs(inner.sum(axis=1)) ** 2)
    return dict(found)
