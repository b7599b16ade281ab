"""Table 6: validation loss after fine-tuning on Shakespeare with attention by a Taylor series of order 1, 3, 5, 7.

The bundled model, trained with exact softmax, is fine-tuned offline (`offline.py`) with each series, then asked about
plays that nobody has seen: by the digital series as it stands, and by its circuit at rest, whose feedback cannot go
negative where the series sums to nothing. The cost is the paper's, Σ 1 … order units of products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.emulator.prepare import prepare
from dsmachine.training import Course
from dsmachine.training_data import Lessons, read_lessons

from .bench import Bench, Found, Runs, Sizes, rounded, told
from .data import plays
from .offline import Offline, begun

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
        return {"digital": digital, "curve": curve} | at_rest(bench, tuned, held_out, f"taylor{order}-{seed}")

    return runs.run({"order": order, "seed": seed, "rate": RATE}, sizes, compute)


def at_rest(bench: Bench, tuned: Offline, held_out: Lessons, name: str) -> Found:
    """Validation loss at the operating point of the tuned model's circuit."""
    model, positions = tuned.kept(name), held_out.tokens.shape[1]
    options: dict[str, Any] = {"softmax": "translinear"}
    if tuned.order is not None:
        options = {"softmax": "taylor", "order": tuned.order, "allow_unstable": True}
    plan = prepare(
        ds.map_model(model, positions, precision="float32", **options), precision="float32", device=bench.device
    )
    logits, rails, least = [], 0, np.inf
    for begin in range(0, len(held_out), 8):
        run = ds.operating_point(plan, {"embed": model.embed(held_out.tokens[begin : begin + 8])})
        logits.append(run.logical("logits"))
        rails += sum(run.saturated.values())
        sums = [run.logical(name).min() for name in plan.circuit.arrays if name.endswith(".expsum")]
        least = min([least, *map(float, sums)])
    return {
        "circuit": rounded(_loss(held_out, np.concatenate(logits))),
        "rails": rails,
        "least": rounded(least) if tuned.order else None,
    }


def _loss(lessons: Lessons, logits: Any) -> float:
    """Mean surprise of the next tokens [nat]."""
    logits = logits[:, :-1].astype(float)
    top = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
    told_right = np.take_along_axis(logits, lessons.tokens[:, 1:, None], axis=-1)[..., 0]
    return float((total - told_right).mean())
