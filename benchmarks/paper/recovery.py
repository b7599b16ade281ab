"""What the paper leaves open: how much of what V_t mismatch costs training on the chip recovers, against write-verify.

A coupling's V_t error adds to its conductance, a share of the row's largest. Write-verify brings each coupling within
a residual of its target, weight by weight; training needs neither reads nor targets, only sentences. The share that is
recovered is (loss as made − loss) / (loss as made − loss of the ideal chip), on plays that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bench import Bench, Found, Runs, Sizes, percent, told
from .data import plays

MODEL = "tiny-shakespeare"
SIZES = Sizes(positions=32, batch=8, steps=200, held_out=64)
SPREADS = (0.01, 0.02, 0.05)
RESIDUAL = 0.005  # of write-verify
RATES = {"sgd": 0.01, "adamw": 3e-4}
VERIFIED = f"write-verify to {RESIDUAL:.1%}, then adamw"
WAYS: dict[str, dict[str, Any]] = {
    "trained, sgd": {"optimizer": "sgd"},
    "trained, adamw": {"optimizer": "adamw"},
    VERIFIED: {"optimizer": "adamw", "trim": {"write-verify": RESIDUAL}},
}
"""A chip that is verified has the residual in place of its mismatch, however large that was: one serves all."""


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("recovery")

    def of(spread: float, way: str) -> list[Found]:
        return [one(bench, sizes, runs, spread, way, seed) for seed in range(1, sizes.seeds + 1)]

    ideal = of(0.0, "trained, adamw")
    rows = [_row(ideal, ideal, 0.0, "ideal", 0), _row(ideal, ideal, 0.0, "ideal, trained, adamw")]
    verified = of(min(SPREADS), VERIFIED)
    for spread in SPREADS:
        trained = {way: of(spread, way) for way in WAYS if way != VERIFIED}
        made = trained["trained, sgd"]
        rows.append(_row(ideal, made, spread, "as made", 0))
        rows += [_row(ideal, found, spread, way, made=made) for way, found in trained.items()]
        rows.append(_row(ideal, verified, spread, VERIFIED.split(",")[0], 0, made))
        rows.append(_row(ideal, verified, spread, VERIFIED, 1, made))
    runs.write(rows)


def _row(
    ideal: Sequence[Found], found: Sequence[Found], spread: float, way: str, after: int = 1, made: Sequence[Found] = ()
) -> Found:
    row = {
        "V_t mismatch": spread, "chips": len(found), "way": way, "loss": told([r["loss"][after] for r in found]),
        "accuracy, %": percent([r["accuracy"][after] for r in found]),
    }  # fmt: skip
    if made:
        best = float(np.mean([r["loss"][0] for r in ideal]))
        lost = [m["loss"][0] for m in made]
        row["recovered, %"] = percent([(m - r["loss"][after]) / (m - best) for m, r in zip(lost, found, strict=True)])
    return row


def one(bench: Bench, sizes: Sizes, runs: Runs, spread: float, way: str, seed: int) -> Found:
    options = WAYS[way]
    rate = RATES[options["optimizer"]]

    def compute() -> Found:
        files = plays(sizes.positions, sizes.held_out)
        return bench.train(
            MODEL, files.learnt, files.held_out, sizes, points=4, lr=rate, chip_seed=seed, data_seed=seed,
            vt_mismatch=spread, **options,
        )  # fmt: skip

    return runs.run({"vt_mismatch": spread, "way": way, "seed": seed, "rate": rate}, sizes, compute)
