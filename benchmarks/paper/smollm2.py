"""Table 1's rows with labels for SmolLM2: original, DS and DS-ECL on rated snippets of movie reviews.

    original  all 135 million weights fine-tuned by PyTorch's AdamW, asked digitally
    DS        the same weights written into chips, asked at their operating points
    DS-ECL    all programmed couplings and biases (the head apart from the embedding, which DACs write) learnt by AdamW
              from a chip's own gradients, clipped as the original's, asked on that chip

A snippet is cut so that a prompt fits behind it; the class is the likelier of two words after that, and what is learnt
is the surprise of the right one among all. Seeds are orders of the data and chips. The model is mapped once, then each
seed is a process of its own; on a processor one after another.

RATE is the better of two for labels, by the original's accuracy (seed 1): from 65 % to 59 % after 16 such steps and
69 % after 32 at 2e-5, 74 % and 78 % at 5e-5. Twelve steps of 4 samples teach which two words are asked for, no labels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.mapping.model import calibrate
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.learning import Learner
from dsmachine.emulator.optimizers import AdamW
from dsmachine.training import Course, Trained
from dsmachine.training_data import Lessons, read_lessons

from .bench import Bench, Found, Runs, Sizes, percent, rounded, told
from .data import Files, prompted
from .offline import CLIP, Tensors, begun_llama
from .table1 import CHIPS

SIZES = Sizes(positions=16, batch=16, steps=20, held_out=100)
RATE = 5e-5
PROMPT, WORDS = " This film is", {"0": " bad", "1": " good"}
SYSTEMS = {"original": ["–"], "DS": list(CHIPS), "DS-ECL": list(CHIPS)}


@dataclass(frozen=True)
class Ready:
    """What all seeds share: the model, its circuit and the ranges that this was mapped with, samples."""

    model: Any
    ranges: Ranges
    circuit: Any
    learnt: Lessons
    held_out: Lessons


def run(bench: Bench) -> None:
    sizes, runs = bench.sizes(SIZES), bench.runs("smollm2")
    seeds = range(1, sizes.seeds + 1)
    wanted = {seed: [key(system, chip, seed) for system, chips in SYSTEMS.items() for chip in chips] for seed in seeds}
    missing = [seed for seed, keys in wanted.items() if any(runs.of(each, sizes) is None for each in keys)]
    if missing:
        together = 1 if bench.device == "numpy" else len(missing)  # 7 GB of memory each
        runs.beside(sizes, missing, together, partial(one, bench, sizes, ready(bench, sizes)))
    rows = [_row(runs, sizes, seeds, system, chip) for system, chips in SYSTEMS.items() for chip in chips]
    runs.write([row for row in rows if row["seeds"]])


def key(system: str, chip: str, seed: int) -> Found:
    return {"prompt": PROMPT, "rate": RATE, "clip": CLIP, "system": system, "chip": chip, "seed": seed}


def _row(runs: Runs, sizes: Sizes, seeds: range, system: str, chip: str) -> Found:
    found = [run for seed in seeds if (run := runs.of(key(system, chip, seed), sizes))]
    before, after = ([run[when] for run in found] for when in ("before", "after"))
    return {
        "model": "smollm2", "task": "label", "softmax": "exact", "system": system, "chip": chip, "seeds": len(found),
        "snippets": sizes.held_out,
        "accuracy before, %": percent([r["accuracy"] for r in before]) if all(before) else "",
        "accuracy, %": percent([r["accuracy"] for r in after]), "loss": told([r["loss"] for r in after]),
    }  # fmt: skip


def ready(bench: Bench, sizes: Sizes) -> Ready:
    """The circuit gets its volts from the beginning of what is learnt."""
    packed: Any = ds.load_model("smollm2")
    files = prompted(bench, packed, PROMPT, sizes.positions, sizes.held_out)
    tensors = Tensors({name: np.array(tensor) for name, tensor in packed.tensors.items()})
    model = replace(packed, tensors=tensors, calibration_text=_beginning(files))
    ranges = calibrate(model, sizes.positions)
    learnt, held_out = (
        read_lessons(model, "classify", path, sizes.positions, WORDS) for path in (files.learnt, files.held_out)
    )
    return Ready(model, ranges, mapped(model, ranges, sizes), learnt, held_out)


def _beginning(files: Files) -> str:
    lines = files.learnt.read_text(encoding="utf-8").split("\n")[1:]
    return "\n".join(line.split("\t")[0] for line in lines)[:6000]


def mapped(model: Any, ranges: Ranges, sizes: Sizes) -> Any:
    return ds.map_model(model, sizes.positions, ranges=ranges, precision="float32")


def one(bench: Bench, sizes: Sizes, shared: Ready, seed: int) -> Iterator[tuple[Found, Found]]:
    """(key, run) of all systems with one seed."""
    course = Course(shared.learnt, shared.held_out, sizes.batch, sizes.steps, seed)
    begun = time.perf_counter()
    start = begun_llama(shared.model, "cpu" if bench.device == "numpy" else "cuda")
    before = start.read(shared.held_out)
    tuned, curve = start.tuned(course, RATE, points=1)
    after = {"before": before, "after": tuned.read(shared.held_out), "learnt": curve["learnt"]}
    written = mapped(tuned.kept, shared.ranges, sizes).terms
    del start, tuned
    yield key("original", "–", seed), _timed(after, begun)
    for chip, spread in CHIPS.items():
        begun = time.perf_counter()
        found = chip_of(bench, shared, course, spread)
        learner, fresh = found.learner, found.learner.kept()[0]
        learner.restore({n: getattr(written[n], p.field) for n, p in learner.programs.items()}, {}, 0)
        yield key("DS", chip, seed), _timed({"before": None, "after": found.read(shared.held_out)}, begun)
        begun = time.perf_counter()
        learner.restore(fresh, {}, 0)
        yield key("DS-ECL", chip, seed), _timed(learning(found), begun)
        del found, learner


def chip_of(bench: Bench, shared: Ready, course: Course, spread: dict[str, float]) -> Trained:
    """A chip that has learnt nothing yet; its number is that of the order of the data."""
    chip = ds.fabricate(shared.circuit, seed=course.seed, **spread)
    technology = load_technology("cmos45")
    learner = Learner(shared.circuit, chip, technology, AdamW(RATE, clip=CLIP), device=bench.device)
    return Trained(shared.model, "classify", learner, course, "adamw", dict(spread), rails_before=learner.at_rails)


def learning(found: Trained) -> Found:
    """Before and after the steps of a course."""
    held_out = found.course.held_out
    assert held_out is not None
    before = found.read(held_out)
    while found.steps < found.course.total:
        found.step()
    about = {"learnt": found.loss, "rails": found.saturated, "ends": found.at_rails - found.rails_before}
    return {"before": before, "after": found.read(held_out)} | about


def _timed(found: Found, begun: float) -> Found:
    """A run, with its seconds."""
    for when in ("before", "after"):
        found[when] = found[when] and {name: rounded(value) for name, value in found[when].items()}
    return found | {"seconds": round(time.perf_counter() - begun, 1)}
