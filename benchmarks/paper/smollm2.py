"""Table 1's rows with labels for SmolLM2: original, DS and DS-ECL on rated snippets of movie reviews.

    original  all 135 million weights fine-tuned by PyTorch's AdamW, asked digitally
    DS        the same weights written into circuits, asked at their operating points
    DS-ECL    all programmed couplings and biases (the head apart from the embedding, which DACs write) learnt by AdamW
              from a chip's own gradients, asked on that chip

A snippet is cut so that a prompt fits behind it; the class is the likelier of two words after that, and what is learnt
is the surprise of the right one among all. Seeds are orders of the data and chips; each is a process of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import dsmachine as ds
from dsmachine.training import Course
from dsmachine.training_data import read_lessons

from .bench import Bench, Found, Sizes, percent, told
from .data import Files, prompted
from .offline import begun_llama
from .table1 import CHIPS, at_rest

SIZES = Sizes(positions=32, batch=16, steps=64, held_out=200)
RATE = 2e-5
PROMPT, WORDS = " This film is", {"0": " bad", "1": " good"}


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("smollm2")
    keys: list[Found] = [{"prompt": PROMPT, "rate": RATE, "seed": seed} for seed in range(1, sizes.seeds + 1)]
    found = runs.each(keys, sizes, partial(one, bench, sizes), bench.workers)
    rows = [_row(sizes, "original", "–", [r["before"] for r in found], [r["digital"] for r in found])]
    for chip in CHIPS:
        rows.append(_row(sizes, "DS", chip, None, [r["chips"][chip] for r in found]))
    for chip in CHIPS:
        before, after = ([{k: r["learnt"][chip][k][at] for k in ("loss", "accuracy")} for r in found] for at in (0, 1))
        rows.append(_row(sizes, "DS-ECL", chip, before, after))
    runs.write(rows)


def _row(sizes: Sizes, system: str, chip: str, before: list[Found] | None, after: list[Found]) -> Found:
    return {
        "model": "smollm2", "task": "label", "softmax": "exact", "system": system, "chip": chip, "seeds": len(after),
        "snippets": sizes.held_out,
        "accuracy before, %": percent([r["accuracy"] for r in before]) if before else "",
        "accuracy, %": percent([r["accuracy"] for r in after]), "loss": told([r["loss"] for r in after]),
    }  # fmt: skip


def one(bench: Bench, sizes: Sizes, key: Found) -> Found:
    """All systems with one seed."""
    seed = key["seed"]
    model, files = ready(bench, sizes)
    learnt, held_out = (
        read_lessons(model, "classify", path, sizes.positions, WORDS) for path in (files.learnt, files.held_out)
    )
    start = begun_llama(model, "cpu" if bench.device == "numpy" else "cuda")
    tuned, curve = start.tuned(Course(learnt, held_out, sizes.batch, sizes.steps, seed), RATE, points=1)
    found = {"before": start.read(held_out), "digital": tuned.read(held_out), "curve": curve}
    written = tuned.kept
    del start, tuned
    found["chips"] = {chip: at_rest(bench, written, held_out, seed, spread) for chip, spread in CHIPS.items()}
    found["learnt"] = {
        chip: bench.train(
            model, files.learnt, files.held_out, sizes, points=4, task="classify", labels=WORDS, optimizer="adamw",
            lr=RATE, chip_seed=seed, data_seed=seed, **spread,
        ) for chip, spread in CHIPS.items()
    }  # fmt: skip
    return found


def ready(bench: Bench, sizes: Sizes) -> tuple[Any, Files]:
    """The model, whose circuits get their volts from the beginning of what is learnt, and the files."""
    model: Any = ds.load_model("smollm2")
    files = prompted(bench, model, PROMPT, sizes.positions, sizes.held_out)
    lines = files.learnt.read_text(encoding="utf-8").split("\n")[1:]
    return replace(model, calibration_text="\n".join(line.split("\t")[0] for line in lines)[:6000]), files
