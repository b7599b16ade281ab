"""Table 1 and fig. 6: original, DS and DS-ECL, on rated snippets of movie reviews.

    original  fine-tuned offline by PyTorch (`offline.py`), asked digitally
    DS        the same weights written into a circuit, asked at its operating point
    DS-ECL    fine-tuned by a chip's own gradients, asked on that chip

Each with exact softmax (a translinear cell) and with the paper's series of order 3, from the bundled model that was
trained with it. Two tasks: the label of a snippet (accuracy as in table 1), and the next character of one, which a
model of plays has to learn and of which each sample tells more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.prepare import prepare
from dsmachine.training import Course
from dsmachine.training_data import Lessons, read_lessons

from . import data
from .bench import Bench, Found, Runs, Sizes, percent, rounded, told
from .offline import begun

ATTENTIONS = {"exact": ("tiny-shakespeare", None), "taylor 3": ("tiny-shakespeare-taylor3", 3)}
CHIPS: dict[str, dict[str, float]] = {"ideal": {}, "mismatch 5 %": {"mismatch": 0.05}}


@dataclass(frozen=True)
class Task:
    """name: as `train` calls it; rate: of AdamW, by attention that it is run with."""

    name: str
    sizes: Sizes
    rate: dict[str, float]
    options: dict[str, Any]

    def files(self, bench: Bench, sizes: Sizes) -> data.Files:
        made = data.reviews if self.name == "text" else data.sentences
        return made(bench, sizes.positions, sizes.held_out)


TASKS = {
    "next character": Task("text", Sizes(32, 8, 100, 48), {"exact": 1e-3, "taylor 3": 1e-3}, {}),
    "label": Task("classify", Sizes(48, 16, 30, 150), {"exact": 1e-3}, {"labels": data.WORDS}),
}


def run(bench: Bench) -> None:
    runs = bench.runs("table1")
    found: list[Found] = []
    for task, what in TASKS.items():
        for attention in what.rate:
            found += rows(bench, runs, task, attention)
            runs.write(found)


def rows(bench: Bench, runs: Runs, task: str, attention: str) -> list[Found]:
    sizes = bench.sizes(TASKS[task].sizes)
    seeds = range(1, sizes.seeds + 1)
    original = [offline(bench, sizes, runs, task, attention, seed) for seed in seeds]
    made = partial(_row, task, attention)
    found = [made("original", "–", [r["before"] for r in original], [r["digital"] for r in original])]
    for chip in CHIPS:
        found.append(made("DS", chip, None, [r["chips"][chip] for r in original]))
    for chip in CHIPS:
        each = [on_chip(bench, sizes, runs, task, attention, chip, seed) for seed in seeds]
        before, after = ([{k: r[k][at] for k in ("loss", "accuracy")} for r in each] for at in (0, 1))
        found.append(made("DS-ECL", chip, before, after))
    return found


def _row(task: str, attention: str, system: str, chip: str, before: list[Found] | None, after: list[Found]) -> Found:
    return {
        "model": ATTENTIONS[attention][0], "task": task, "softmax": attention, "system": system, "chip": chip,
        "seeds": len(after), "accuracy before, %": percent([r["accuracy"] for r in before]) if before else "",
        "accuracy, %": percent([r["accuracy"] for r in after]), "loss": told([r["loss"] for r in after]),
    }  # fmt: skip


def offline(bench: Bench, sizes: Sizes, runs: Runs, task: str, attention: str, seed: int) -> Found:
    """The original, and its weights written into chips."""
    what, (name, order) = TASKS[task], ATTENTIONS[attention]
    rate = what.rate[attention]

    def compute() -> Found:
        files = what.files(bench, sizes)
        model = calibrated(name, files)
        read = partial(read_lessons, model, what.name, positions=sizes.positions, labels=what.options.get("labels"))
        learnt, held_out = read(path=files.learnt), read(path=files.held_out)
        start = begun(model, order)
        tuned, curve = start.tuned(Course(learnt, held_out, sizes.batch, sizes.steps, seed), rate)
        chips = {chip: at_rest(bench, tuned.kept, held_out, seed, spread) for chip, spread in CHIPS.items()}
        return {"before": start.read(held_out), "digital": tuned.read(held_out), "chips": chips, "curve": curve}

    key = {"task": task, "softmax": attention, "system": "original", "seed": seed, "rate": rate}
    return runs.run(key, sizes, compute)


def on_chip(bench: Bench, sizes: Sizes, runs: Runs, task: str, attention: str, chip: str, seed: int) -> Found:
    """DS-ECL."""
    what, (name, _) = TASKS[task], ATTENTIONS[attention]
    rate = what.rate[attention]

    def compute() -> Found:
        files = what.files(bench, sizes)
        return bench.train(
            calibrated(name, files), files.learnt, files.held_out, sizes, points=5, task=what.name,
            optimizer="adamw", lr=rate,
            chip_seed=seed, data_seed=seed, **what.options, **CHIPS[chip],
        )  # fmt: skip

    key = {"task": task, "softmax": attention, "system": "DS-ECL", "chip": chip, "seed": seed, "rate": rate}
    return runs.run(key, sizes, compute)


def calibrated(name: str, files: data.Files) -> Any:
    """A bundled model whose circuits get their volts from the beginning of what is learnt."""
    text = files.learnt.read_text()[:40_000]
    if files.learnt.suffix == ".tsv":
        text = "".join(line.split("\t")[0] for line in text.split("\n")[1:])
    return replace(ds.load_model(name), calibration_text=text[:6000])


def at_rest(bench: Bench, model: Any, lessons: Lessons, seed: int, spread: dict[str, float]) -> Found:
    """{"loss", "accuracy", "rails"} of a model's circuit at its operating point."""
    circuit = ds.map_model(model, lessons.tokens.shape[1], precision="float32", allow_unstable=True)
    return read_at_rest(bench, ds.fabricate(circuit, seed=seed, **spread), model, lessons)


def read_at_rest(bench: Bench, machine: Any, model: Any, lessons: Lessons) -> Found:
    """The same of a machine that is built already; least: the least sum of a series, None without one."""
    plan, saturated, sums = prepare(machine, precision="float32", device=bench.device), Counter[str](), [np.inf]
    series = [name for name in plan.circuit.arrays if name.endswith(".expsum")]

    def logits(rows: Any) -> Any:
        held: dict[str, int] = {}
        found = solve_operating_point(plan, {"embed": model.embed(lessons.tokens[rows])}, saturated=held)
        saturated.update(held)
        sums.extend(float(found[name].min()) for name in series)
        return found["logits"]

    with plan.backend.arithmetic():
        read = {name: rounded(value) for name, value in lessons.read(16, logits).items()}
    return read | {"rails": saturated.total(), "least": rounded(min(sums)) if series else None}
