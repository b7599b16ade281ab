"""How many angles the linearised noise of a deep machine wants: the logits of a few tokens, by angles and seeds.

Means over samples are exact for any number of angles (`emulator/fluctuation.py`), but a row of n lags lets through some
1/n of them: a sample whose angles all miss these is too small, its neighbour too large. Means of perplexity over so few
samples do not tell numbers of angles apart.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.reference import perplexity

from .bench import Bench, Rows

TOKENS, FREQUENCIES, SAMPLES, SEEDS = 8, (4, 8, 16, 32), 8, 3


def run(bench: Bench) -> None:
    rows, few = Rows("angles", fresh=bench.fresh), replace(bench, positions=TOKENS)
    plan = ds.prepare(few.circuit(ranges=bench.ranges, precision="float32"))
    for angles in FREQUENCIES:
        for seed in range(SEEDS):
            rows.row({"angles": angles, "seed": seed}, lambda angles=angles, seed=seed: one(few, plan, angles, seed))


def one(bench: Bench, plan: Any, angles: int, seed: int) -> dict[str, Any]:
    """Shares of full scale in %; a sample's rms is over the logits of all tokens."""
    found = ds.noise(plan, bench.inputs, frequencies=angles, samples=SAMPLES, noise_seed=seed)
    scale = 100 * found.rms["logits"] / float(np.sqrt(np.mean(np.square(found.deviations["logits"]))))
    samples = [scale * float(np.sqrt(np.mean(np.square(sample)))) for sample in found.deviations["logits"]]
    each = [perplexity(read, bench.ids) for read in found.logical_samples("logits")]
    return {
        "logits rms %": 100 * found.rms["logits"],
        "least sample": min(samples),
        "largest": max(samples),
        "perplexity": statistics.mean(each),
        "over samples": statistics.stdev(each),
    }
