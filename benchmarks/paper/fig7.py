"""Fig. 7: how a pretrained model recovers while it is fine-tuned on a chip with offsets, σ 0 to 0.3.

The paper gives σ no unit. Here it is read in two ways: σ of every node's offset as a share of its full scale, and
relative σ of every conductance. The chip that learns is the chip that is asked, before, on the way and after.
"""

from __future__ import annotations

from .bench import Bench, Found, Runs, Sizes, percent, told
from .data import plays

MODEL = "tiny-shakespeare"
SIZES = Sizes(positions=32, batch=8, steps=200, held_out=64)
SIGMAS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3)
READINGS = {"share of full scale": "offset", "relative, of conductances": "mismatch"}
RATE = 3e-4  # of AdamW


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("fig7")
    rows = [row(bench, sizes, runs, reading, sigma) for reading in READINGS for sigma in SIGMAS]
    runs.write(rows)


def row(bench: Bench, sizes: Sizes, runs: Runs, reading: str, sigma: float) -> Found:
    found = [one(bench, sizes, runs, reading, sigma, seed) for seed in range(1, sizes.seeds + 1)]
    half = len(found[0]["curve"]["step"]) // 2
    return {
        "σ is": reading,
        "σ": sigma,
        "chips": len(found),
        "loss before": told([r["loss"][0] for r in found]),
        "after": told([r["loss"][1] for r in found]),
        "accuracy before, %": percent([r["accuracy"][0] for r in found]),
        "half way": percent([r["curve"]["accuracy"][half - 1] for r in found]),
        "after, %": percent([r["accuracy"][1] for r in found]),
        "nodes on rails": told([float(r["rails"]) for r in found]),
    }


def one(bench: Bench, sizes: Sizes, runs: Runs, reading: str, sigma: float, seed: int) -> Found:
    def compute() -> Found:
        files = plays(sizes.positions, sizes.held_out)
        return bench.train(
            MODEL, files.learnt, files.held_out, sizes, optimizer="adamw", lr=RATE, chip_seed=seed, data_seed=seed,
            **({READINGS[reading]: sigma} if sigma else {}),
        )  # fmt: skip

    reading = reading if sigma else "none"
    return runs.run({"reading": reading, "sigma": sigma, "seed": seed, "rate": RATE}, sizes, compute)
