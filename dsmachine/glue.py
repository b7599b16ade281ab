"""GLUE's sentences through a classifier and through its circuit: the accuracies of the paper's table 1.

    DIR/MRPC/dev.tsv   DIR/QQP/dev.tsv   DIR/RTE/dev.tsv   DIR/QNLI/dev.tsv   DIR/SST-2/dev.tsv

Tab-separated as the GLUE benchmark packs them (Wang et al. 2019): a header, no quoting; its test files have no labels.
A pair of sentences is encoded as the model's tokenizer encodes pairs, cut to the machine's positions, and padded to
them with its last token: attention is causal, so what stands after the last token changes nothing before it. The class
is read there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .circuits import checks
from .circuits.checkpoints import Model
from .circuits.errors import Error, shown
from .circuits.mapping.model import map_model
from .circuits.reference import forward
from .circuits.words import counted
from .emulator.plan import Plan
from .emulator.prepare import prepare
from .emulator.run import operating_point
from .energy.published import published
from .energy.rows import EMULATED, PRINTED, RECOMPUTED, Row, paper_name
from .energy.systems import SYSTEM

Array = Any
log = logging.getLogger(__name__)
TOGETHER = 8  # samples whose operating points are solved side by side


@dataclass(frozen=True)
class Task:
    """Where a task's file is and which columns it has; classes: its labels in the order of the checkpoints' classes."""

    folder: str
    sentences: tuple[str, ...]
    label: str
    classes: tuple[str, ...] = ("0", "1")


ENTAILMENT = ("entailment", "not_entailment")
TASKS = {
    "MRPC": Task("MRPC", ("#1 String", "#2 String"), "Quality"),
    "QQP": Task("QQP", ("question1", "question2"), "is_duplicate"),
    "RTE": Task("RTE", ("sentence1", "sentence2"), "label", ENTAILMENT),
    "QNLI": Task("QNLI", ("question", "sentence"), "label", ENTAILMENT),
    "SST2": Task("SST-2", ("sentence",), "label"),
}


@dataclass(frozen=True)
class Sample:
    """Sentences and the number of their class."""

    sentences: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Accuracy:
    """Shares of one task's samples told right: by the digital reference, and by the circuit at its operating point.

    agree: share on which both say the same.
    """

    task: str
    samples: int
    positions: int
    reference: float
    machine: float
    agree: float


def read_glue(folder: str | Path, most: int | None = None) -> dict[str, list[Sample]]:
    """Samples by task, of the tasks whose files are there; most: how many of each.

    Raises Error for a folder without any of the tasks, a missing column, a short line or an unknown label.
    """
    root = Path(folder)
    files = {name: root / task.folder / "dev.tsv" for name, task in TASKS.items()}
    found = {name: _read(path, TASKS[name], most) for name, path in files.items() if path.is_file()}
    if not found:
        wanted = ", ".join(f"{task.folder}/dev.tsv" for task in TASKS.values())
        raise Error(f"GLUE folder {folder} has none of {wanted}: unpack GLUE's files there")
    return found


def _read(path: Path, task: Task, most: int | None) -> list[Sample]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise Error(f"{path} cannot be read ({problem}): unpack GLUE's files again") from None
    head = lines[0].rstrip("\r").split("\t")
    columns = (*task.sentences, task.label)
    for column in columns:
        if column not in head:
            raise Error(f"{path} has no column {column!r}: give GLUE's own dev.tsv")
    at = [head.index(column) for column in columns]
    rows = [(k, line.rstrip("\r").split("\t")) for k, line in enumerate(lines[1:], start=2) if line.strip()]
    samples = [_sample(path, k, cells, at, task) for k, cells in rows[:most]]
    if not samples:
        raise Error(f"{path} has no sentences: unpack GLUE's files again")
    return samples


def _sample(path: Path, line: int, cells: Sequence[str], at: Sequence[int], task: Task) -> Sample:
    if len(cells) <= max(at):
        raise Error(f"{path}, line {line}, has {len(cells)} of {max(at) + 1} columns: unpack GLUE's files again")
    *sentences, label = (cells[k] for k in at)
    if label not in task.classes:
        raise Error(
            f"{path}, line {line}: label {shown(label)} is none of {', '.join(task.classes)}: give GLUE's own dev.tsv"
        )
    return Sample(tuple(sentences), task.classes.index(label))


def accuracies(
    model: Model,
    tasks: dict[str, list[Sample]],
    *,
    positions: int = 128,
    stage: Callable[[str], None] = lambda name: None,
) -> Iterator[Accuracy]:
    """Accuracy of a classifier and of its circuit on each task.

    model: with a `score` matrix (a folder saved as …ForSequenceClassification); positions: tokens of the machine, that
    longer sentences are cut to. Raises Error for a language model, and for a task of more classes than the model has.
    """
    if not model.config.labels:
        raise Error(f"model {shown(model.name)} has no score matrix: give a folder saved as …ForSequenceClassification")
    checks.whole("positions", positions, 1, model.config.context, f"use 1 … {model.config.context}, the context")
    stage("map")
    plan = prepare(map_model(model, positions, precision="float32"), precision="float32")
    for name, samples in tasks.items():
        if len(TASKS[name].classes) > model.config.labels:
            raise Error(
                f"{name} has {len(TASKS[name].classes)} classes, {shown(model.name)} {model.config.labels}: give a "
                "classifier trained on it, or leave its folder out"
            )
        stage(name)
        ids = [_encoded(model, sample.sentences, positions) for sample in samples]
        labels = np.array([sample.label for sample in samples])
        ours = np.array([k for some in _groups(ids) for k in _by_machine(model, plan, some, positions)])
        theirs = np.array([int(_reference(model, row).argmax()) for row in ids])
        hit, known = float((ours == labels).mean()), float((theirs == labels).mean())
        yield Accuracy(name, len(samples), positions, known, hit, float((ours == theirs).mean()))


def accuracy_rows(model: str, found: Sequence[Accuracy]) -> list[Row]:
    """Rows of table 1; the paper's beside them where it has a model of that name."""
    name, paper, rows = paper_name(model), published(), []
    for told in found:
        about = f"{counted(told.samples, 'sample')} of dev.tsv, {counted(told.positions, 'position')}; "
        machine = f"{about}operating point of the ideal circuit, the reference's class on {told.agree:.1%} of them"
        reference = f"{about}digital reference in float32"
        for printed, system, share, source, said in (
            (name, "original model", told.reference, RECOMPUTED, reference),
            (f"{name}-DS", SYSTEM, told.machine, EMULATED, machine),
        ):
            if printed in paper.accuracy:
                percent = float(paper.accuracy[printed][told.task])
                rows.append(Row("1", name, printed, told.task, "accuracy", "%", percent, PRINTED))
            rows.append(Row("1", name, system, told.task, "accuracy", "%", 100 * share, source, (said,)))
    return rows


def _encoded(model: Model, sentences: tuple[str, ...], positions: int) -> list[int]:
    """Tokens as the model's tokenizer encodes a sentence or a pair, with what it puts around them."""
    if model.tokenizer is None:
        raise Error(f"model {shown(model.name)} has no tokenizer: save it beside the model")
    try:
        ids = model.tokenizer.encode(*sentences).ids[:positions]
    except Exception as problem:  # tokenizers raises plain exceptions
        raise Error(f"sentence {shown(sentences[0])} has no tokens ({problem}): use the model's tokenizer") from None
    if not ids:
        raise Error(f"sentence {shown(sentences[0])} has no tokens: use the tokenizer that the model was trained with")
    return [int(i) for i in ids]


def _groups(ids: list[list[int]]) -> Iterator[list[list[int]]]:
    yield from (ids[k : k + TOGETHER] for k in range(0, len(ids), TOGETHER))


def _by_machine(model: Model, plan: Plan, ids: list[list[int]], positions: int) -> list[int]:
    """Classes that the circuit rests at."""
    padded = np.stack([np.pad(row, (0, positions - len(row)), mode="edge") for row in ids])
    run = operating_point(plan, {"embed": model.embed(padded)})
    if run.saturated:
        log.warning("%s: calibrate on sentences like these", counted(sum(run.saturated.values()), "node", "saturate"))
    logits = run.logical("logits")
    return [int(logits[k, len(row) - 1].argmax()) for k, row in enumerate(ids)]


def _reference(model: Model, ids: list[int]) -> Array:
    """Class logits of the last token by the digital reference, (labels,)."""
    return forward(model, ids, dtype=np.float32)["logits"][-1]


__all__ = ["Accuracy", "Sample", "accuracies", "accuracy_rows", "read_glue"]
