"""The account of a deep machine from that of its first blocks: blocks of one shape and one statistic cost the same.

    E(part) = Σ outside blocks E(part) + L/b Σ blocks 1 … b of E(part),       all held until the deep machine is read

A block that the front reaches later spends more of the anneal at its quiescent currents, which the first blocks do not
show: the law is a little too large. Measured on random weights of GPT-2's shape in `benchmarks/energy_by_shape.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ..circuits.errors import Error
from .report import EnergyReport

BLOCK = re.compile(r"\.\d+$")  # of layers h.0, layers.31


def joules_of_depth(report: EnergyReport, layers: int) -> dict[str, dict[str, float]]:
    """{part: {phase: joules drawn from the supply}}, mean over samples, of a machine with so many blocks.

    report: of one with `layers` blocks or fewer, weighed until the deep one is read.
    Raises Error where the circuit has no blocks, or more than that.
    """
    built = len({entry.layer for entry in report.entries if BLOCK.search(entry.layer)})
    if not 0 < built <= layers:
        raise Error(f"{report.circuit} has {built} blocks, asked for {layers}: build between 1 and {layers}")
    found: dict[str, dict[str, float]] = {}
    for entry in report.entries:
        times = layers / built if BLOCK.search(entry.layer) else 1.0
        phases = found.setdefault(entry.part, {})
        phases[entry.phase] = phases.get(entry.phase, 0.0) + times * float(np.mean(entry.drawn))
    return found


def settling_of_depth(by_layer: Mapping[str, float], layers: int) -> float:
    """Settling time [s] of a machine with so many blocks, from that of each of its first ones.

    A straight line through the later half of the blocks: the first ones take longer, as all start from zero.
    """
    blocks = [seconds for layer, seconds in by_layer.items() if BLOCK.search(layer)]
    if len(blocks) < 4:
        raise Error(f"{len(blocks)} blocks say nothing of {layers}: build four or more")
    half = len(blocks) // 2
    slope = float(np.polyfit(np.arange(half, len(blocks)), blocks[half:], 1)[0])
    return max(by_layer.values()) + slope * (layers - len(blocks))


__all__ = ["joules_of_depth", "settling_of_depth"]
