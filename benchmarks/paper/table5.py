"""Table 5: a model that is fine-tuned and asked under noise of σ 0, 0.05, 0.10, 0.15.

The paper gives σ no unit. Read in two ways: a share of each node's full scale, or the activation's own unit, as
"standard Gaussian noise" would be. Every node of every sample is off by its own σ ξ at every reading
(`emulator/still_noise.py`), of training and of validation. Beside them the physical one: thermal noise.
The task is the next character of snippets, of which a sample tells more than of labels.
"""

from __future__ import annotations

from typing import Any

from .bench import Bench, Found, Runs, Sizes, percent, told
from .data import reviews
from .table1 import calibrated

MODEL = "tiny-shakespeare"
SIZES = Sizes(positions=32, batch=8, steps=80, held_out=48)
LEVELS: dict[str, tuple[float | str, ...]] = {
    "none": (0.0,),
    "thermal": ("thermal",),
    "full-scale": (0.005, 0.05, 0.10, 0.15),
    "activation": (0.05, 0.10, 0.15),
}
RATE = 1e-3


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("table5")
    runs.write([row(bench, sizes, runs, unit, level) for unit, levels in LEVELS.items() for level in levels])


def row(bench: Bench, sizes: Sizes, runs: Runs, unit: str, level: float | str) -> Found:
    found = [one(bench, sizes, runs, unit, level, seed) for seed in range(1, sizes.seeds + 1)]
    return {
        "σ is a share of": {"full-scale": "full scale", "activation": "the activation's unit"}.get(unit, "–"),
        "σ": level,
        "seeds": len(found),
        "loss before": told([r["loss"][0] for r in found]),
        "after": told([r["loss"][1] for r in found]),
        "accuracy before, %": percent([r["accuracy"][0] for r in found]),
        "after, %": percent([r["accuracy"][1] for r in found]),
        "nodes on rails": told([float(r["rails"]) for r in found]),
    }


def one(bench: Bench, sizes: Sizes, runs: Runs, unit: str, level: float | str, seed: int) -> Found:
    options: dict[str, Any] = {"noise": level, "noise_seed": seed} if level else {}
    if unit == "activation":
        options["noise_unit"] = unit

    def compute() -> Found:
        files = reviews(bench, sizes.positions, sizes.held_out)
        return bench.train(
            calibrated(MODEL, files), files.learnt, files.held_out, sizes, points=4, optimizer="adamw", lr=RATE,
            data_seed=seed, **options,
        )  # fmt: skip

    return runs.run({"unit": unit, "sigma": level, "seed": seed, "rate": RATE}, sizes, compute)
