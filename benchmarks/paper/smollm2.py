"""Table 1's rows with labels for SmolLM2: original, DS and DS-ECL on rated snippets of movie reviews.

    original  all 135 million weights fine-tuned by PyTorch's AdamW, asked digitally
    DS        the same weights written into chips, asked at their operating points
    DS-ECL    all programmed couplings and biases (the head apart from the embedding, which DACs write) learnt by AdamW
              from a chip's own gradients, clipped as the original's, asked on that chip. The rate is that of weights as
              the model has them, and then, to compare, of programmed values with norms' gains folded in

A snippet is cut so that a prompt fits behind it; the class is the likelier of two words after that, and what is learnt
is the surprise of the right one among all. Seeds are orders of the data and chips. The model is mapped once, then each
seed is a process of its own; on a processor one after another.

RATE is the better of two for labels, by the original's accuracy (seed 1): from 65 % to 59 % after 16 such steps and
69 % after 32 at 2e-5, 74 % and 78 % at 5e-5. Twelve steps of 4 samples teach which two words are asked for, no labels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.mapping.model import calibrate
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.learning import Learner
from dsmachine.training import Course, Trained
from dsmachine.training_data import Lessons, read_lessons
from dsmachine.training_rule import Rule

from .bench import Bench, Found, Runs, Sizes, percent, rounded, told
from .data import Files, prompted
from .offline import CLIP, Tensors, begun_llama
from .table1 import CHIPS

SIZES = Sizes(positions=16, batch=16, steps=20, held_out=100)
RATE = 5e-5
PROMPT, WORDS = " This film is", {"0": " bad", "1": " good"}
LEARNT = {"DS-ECL": "model", "DS-ECL, lr of the chip": "chip"}  # of what the rate is
SYSTEMS = {"original": ["–"], "DS": list(CHIPS), **{system: list(CHIPS) for system in LEARNT}}


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
    lacking = {
        seed: [
            (system, chip)
            for system, chips in SYSTEMS.items() for chip in chips if runs.of(key(system, chip, seed), sizes) is None
        ]
        for seed in seeds
    }  # fmt: skip
    missing = [seed for seed in seeds if lacking[seed]]
    if missing:
        together = 1 if bench.device == "numpy" else len(missing)  # 7 GB of memory each
        runs.beside(sizes, missing, together, partial(one, bench, sizes, ready(bench, sizes), lacking))
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


def one(
    bench: Bench, sizes: Sizes, shared: Ready, lacking: Mapping[int, Sequence[tuple[str, str]]], seed: int
) -> Iterator[tuple[Found, Found]]:
    """(key, run) of the systems and chips that are lacking with one seed."""
    course, written = Course(shared.learnt, shared.held_out, sizes.batch, sizes.steps, seed), None
    if any(system in ("original", "DS") for system, _ in lacking[seed]):
        begun = time.perf_counter()
        start = begun_llama(shared.model, "cpu" if bench.device == "numpy" else "cuda")
        before = start.read(shared.held_out)
        tuned, curve = start.tuned(course, RATE, points=1)
        after = {"before": before, "after": tuned.read(shared.held_out), "learnt": curve["learnt"]}
        written = mapped(tuned.kept, shared.ranges, sizes).terms
        del start, tuned
        if ("original", "–") in lacking[seed]:
            yield key("original", "–", seed), _timed(after, begun)
    for chip in CHIPS:
        if systems := [system for system, of in lacking[seed] if of == chip]:
            yield from on_chip(bench, shared, course, chip, systems, written)


def on_chip(
    bench: Bench, shared: Ready, course: Course, chip: str, systems: Sequence[str], written: Any
) -> Iterator[tuple[Found, Found]]:
    """The same of one chip, whose number is that of the order of the data. written: terms that DS is asked with."""
    begun = time.perf_counter()
    made = ds.fabricate(shared.circuit, seed=course.seed, **CHIPS[chip])
    rules = {
        system: Rule("adamw", RATE, lr_of, CLIP).made(shared.model, shared.circuit) for system, lr_of in LEARNT.items()
    }
    learner = Learner(shared.circuit, made, load_technology("cmos45"), rules["DS-ECL"], device=bench.device)
    fresh = learner.kept()[0]
    for system in systems:
        if system in rules:
            learner.optimizer, values = rules[system], fresh
        else:
            values = {name: getattr(written[name], each.field) for name, each in learner.programs.items()}
        learner.restore(values, {}, 0)
        found = Trained(shared.model, "classify", learner, course, "adamw", {}, rails_before=learner.at_rails)
        yield key(system, chip, course.seed), _timed(learning(found) if system in rules else asked(found), begun)
        begun = time.perf_counter()


def asked(found: Trained) -> Found:
    """What a chip says that does not learn."""
    assert found.course.held_out is not None
    return {"before": None, "after": found.read(found.course.held_out)}


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
