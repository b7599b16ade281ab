"""How many angles the linearised noise of a deep machine wants: the logits of a few tokens, by angles and seeds.

Means over samples are exact for any number of angles (`emulator/fluctuation.py`), but the logits' noise is slow: a
sample none of whose angles is slow enough is too small, its neighbour too large. Perplexities are of samples and their
mirror images (`mirrored.py`): of the samples alone they scatter too much to tell numbers of angles apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dsmachine as ds

from .bench import Bench, Rows
from .noise import readings

TOKENS, FREQUENCIES, SAMPLES, SEEDS = 8, (4, 8, 16, 32), 8, 3


def run(bench: Bench) -> None:
    rows, few = Rows("angles", fresh=bench.fresh, having="surprise, nats"), replace(bench, positions=TOKENS)
    plan = ds.prepare(few.circuit(ranges=bench.ranges, precision="float32"), device=bench.device)
    for angles in FREQUENCIES:
        for seed in range(SEEDS):
            rows.row({"angles": angles, "seed": seed}, lambda angles=angles, seed=seed: one(few, plan, angles, seed))


def one(bench: Bench, plan: Any, angles: int, seed: int) -> dict[str, Any]:
    """Shares of full scale in %; a sample's rms is over the logits of all tokens."""
    found = ds.noise(plan, bench.inputs, frequencies=angles, samples=SAMPLES, noise_seed=seed)
    return {"logits rms %": 100 * found.rms["logits"]} | readings(bench, found).columns()
