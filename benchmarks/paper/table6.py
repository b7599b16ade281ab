"""Table 6: validation loss after fine-tuning on Shakespeare with attention by a Taylor series of order 1, 3, 5, 7.

The bundled model, trained with exact softmax, is fine-tuned offline (`offline.py`) with each series, then asked about
plays that nobody has seen: by the digital series as it stands, and by its circuit at rest, whose feedback cannot go
negative where the series sums to nothing. The cost is the paper's, Σ 1 … order units of products.
"""

from __future__ import annotations

from typing import Any

import dsmachine as ds
from dsmachine.training import Course
from dsmachine.training_data import read_lessons

from .bench import Bench, Found, Runs, Sizes, rounded, told
from .data import plays
from .offline import Offline, begun
from .table1 import read_at_rest

MODEL = "tiny-shakespeare"
SIZES = Sizes(positions=32, batch=16, steps=150, held_out=48)
ORDERS = (None, 1, 3, 5, 7)
COSTS = {1: 1, 3: 6, 5: 15, 7: 28}
RATE = 2e-3


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("table6")
    found = {order: [one(bench, sizes, runs, order, seed) for seed in range(1, sizes.seeds + 1)] for order in ORDERS}
    exact = found[None]
    runs.write([row(order, each, exact) for order, each in found.items()])


def row(order: int | None, found: list[Found], exact: list[Found]) -> Found:
    def more(run: Found, than: Found) -> float:
        return float(run["digital"][1] - than["digital"][1])

    return {
        "order": order or "exp",
        "cost": COSTS.get(order, "–") if order else "–",
        "seeds": len(found),
        "validation loss before": told([r["digital"][0] for r in found], 4),
        "after": told([r["digital"][1] for r in found], 4),
        "loss increase": told([more(r, e) for r, e in zip(found, exact, strict=True)]),
        "circuit at rest": told([r["circuit"] for r in found], 4),
        "its nodes on rails": told([float(r["rails"]) for r in found]),
        "least Σe": told([r["least"] for r in found]) if order else "–",
    }


def one(bench: Bench, sizes: Sizes, runs: Runs, order: int | None, seed: int) -> Found:
    def compute() -> Found:
        model, files = ds.load_model(MODEL), plays(sizes.positions, sizes.held_out)
        learnt, held_out = (
            read_lessons(model, "text", path, sizes.positions) for path in (files.learnt, files.held_out)
        )
        start = begun(model, order)
        tuned, curve = start.tuned(Course(learnt, held_out, sizes.batch, sizes.steps, seed), RATE, warm=50)
        digital = [rounded(start.read(held_out)["loss"]), rounded(tuned.read(held_out)["loss"])]
        circuit = mapped(tuned, held_out.tokens.shape[1])
        read = read_at_rest(bench, circuit, tuned.kept, held_out)
        about = {"circuit": read["loss"], "rails": read["rails"], "least": read["least"]}
        return {"digital": digital, "curve": curve} | about

    return runs.run({"order": order, "seed": seed, "rate": RATE}, sizes, compute)


def mapped(tuned: Offline, positions: int) -> Any:
    """The tuned model's circuit, its series as it was tuned with."""
    options: dict[str, Any] = {"softmax": "translinear"}
    if tuned.order is not None:
        options = {"softmax": "taylor", "order": tuned.order, "allow_unstable": True}
    return ds.map_model(tuned.kept, positions, precision="float32", **options)
