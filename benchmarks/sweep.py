"""A sweep's whole grid: perplexity, settling time and joules of the bundled model over mismatch × noise × chips.

    python benchmarks/sweep.py                   # OPENBLAS_NUM_THREADS=1; --workers 2, --cache FILE
    dsmachine sweep tiny-shakespeare --vary mismatch=0:0.3:7 --vary noise=0,0.05,0.1,0.15 --chips 16 \\
        --metric perplexity,settling_time,energy -o sweep.h5

are the same sweep, of the same cache. Rows are mean and deviation over chips, perplexity's median too, since a few bad
chips rule its mean. What a chip takes, all levels of noise and the anneal, is timed apart, on a chip that the grid has.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, Seconds, save

import dsmachine as ds
from dsmachine.sweeps.result import Swept

MODEL = "tiny-shakespeare"
VARY: dict[str, list[Any]] = {"mismatch": [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3], "noise": [0, 0.05, 0.1, 0.15]}
CHIPS = 16
METRICS = ("perplexity", "settling_time", "energy")


def rows(found: Swept) -> list[dict[str, Any]]:
    """One a point of mismatch and noise."""
    median = np.median(found.of("perplexity"), axis=(-2, -1)).ravel()
    return [
        {
            "mismatch": row["mismatch"],
            "noise": row["noise"],
            "perplexity": row["perplexity"]["mean"],
            "± of it": row["perplexity"]["deviation"],
            "median": float(middle),
            "settling time [ns]": row["settling_time"]["mean"] * 1e9,
            "± [ns]": row["settling_time"]["deviation"] * 1e9,
            "energy [µJ]": row["energy"]["mean"] * 1e6,
            "± [µJ]": row["energy"]["deviation"] * 1e6,
        }
        for row, middle in zip(found.rows(), median, strict=True)
    ]


def of_a_chip() -> Seconds:
    """What one chip takes in this process, its machine mapped for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        begun = Seconds.now()
        vary = {"mismatch": [0.15], "noise": VARY["noise"]}
        ds.sweep(MODEL, vary, chips=[0], metrics=METRICS, workers=1, cache=Path(folder) / "cache")
        return Seconds.now().since(begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workers", type=int, help="processes [default: one a core, or one a GPU]")
    parser.add_argument("--cache", help="where measurements are kept [default: the user's cache]")
    options = parser.parse_args()
    found = ds.sweep(MODEL, VARY, chips=CHIPS, metrics=METRICS, workers=options.workers, cache=options.cache)
    save(
        "sweep", rows(found), computed=found.computed, known=found.known, missing=found.missing, chip=vars(of_a_chip())
    )
    ds.plots.save_figure(found.plot("perplexity"), RESULTS / "sweep.png", overwrite=True)


if __name__ == "__main__":
    main()
