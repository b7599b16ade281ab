"""One run in time that the noise analysis has to agree with: the same machine, few tokens, exponential Euler.

Every array's rms over its nodes and over the second half of the window, against `noise`.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges

from .bench import Bench, Rows

TOKENS = 4
WINDOW = 600e-9  # s: noise reaches the logits in about half of it
STEP, SAMPLES = 0.5, 1
LEAST_NODES = 1000


def run(bench: Bench) -> None:
    rows = Rows("stepper", fresh=bench.fresh)
    rows.row({"tokens": TOKENS, "step": STEP}, lambda: _compared(replace(bench, positions=TOKENS), bench.ranges()))


def _compared(bench: Bench, ranges: Ranges) -> dict[str, Any]:
    """ranges: of longer windows, which know the first position and the others too."""
    circuit = bench.circuit(ranges=ranges)
    linear = ds.noise(circuit, bench.inputs, frequencies=24, samples=8, record=[])
    stepped = ds.transient(
        circuit, bench.inputs, noise="thermal", step=STEP, samples=SAMPLES, read_window=WINDOW, observers=[]
    )
    many = [name for name, node in circuit.arrays.items() if not node.clamped and node.count >= LEAST_NODES]
    ratio = {name: stepped.noise_rms[name] / linear.rms[name] for name in many}
    worst = max(ratio, key=lambda name: abs(ratio[name] - 1))
    return {
        "arrays compared": len(ratio),
        "within 10 %": sum(abs(value - 1) < 0.1 for value in ratio.values()),
        "median ratio": statistics.median(ratio.values()),
        "5 %": float(np.quantile(list(ratio.values()), 0.05)),
        "95 %": float(np.quantile(list(ratio.values()), 0.95)),
        "worst ratio": ratio[worst],
        "in": worst,
        "logits ratio": ratio["logits"],
        "steps": stepped.statistics["steps"],
        "noise_s": linear.statistics["wall_s"],
        "stepper_s": stepped.statistics["wall_s"],
    }
