"""What a model learns from: windows of a text, or sentences with labels.

    text       a UTF-8 file; windows of P tokens, of each the next token's surprise, mean over positions
    classify   SST-2's layout: a header, columns `sentence` and `label`, tab-separated, no quoting (Wang et al. 2019)
    pairs      MRPC's, QQP's, RTE's or QNLI's: two sentences and a label

A label is a word that the model is to say after the sentences: its first token, read at their last position. Sentences
are cut to P tokens and filled up to P by their last one: attention is causal, so what stands behind changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .circuits import checks
from .circuits.arrays import module_of
from .circuits.checkpoints import Model
from .circuits.errors import Error, shown
from .circuits.losses import LOSSES, TARGET, WEIGHT
from .circuits.metadata import plain_text
from .circuits.words import counted
from .emulator.gradients import next_token_targets

Array = Any
TASKS = ("text", "classify", "pairs")
BINARY, ENTAILMENT = ("0", "1"), ("entailment", "not_entailment")
LAYOUTS = {
    "classify": ((("sentence",), "label", BINARY),),
    "pairs": (
        (("#1 String", "#2 String"), "Quality", BINARY),
        (("question1", "question2"), "is_duplicate", BINARY),
        (("sentence1", "sentence2"), "label", ENTAILMENT),
        (("question", "sentence"), "label", ENTAILMENT),
    ),
}
"""Columns of the sentences and of the label, and GLUE's labels, of each task."""


@dataclass(frozen=True)
class Lessons:
    """tokens: (n, P). Of sentences: last (n,), the position of the last token; label (n,), which of `words` it is;
    words: the tokens that stand for labels. Of a text all three are empty."""

    tokens: Array
    last: Array
    label: Array
    words: Array

    def __len__(self) -> int:
        return len(self.tokens)

    def targets(self, rows: Array, vocabulary: int, xp: Any = np) -> dict[str, Array]:
        """Of "cross-entropy", as arrays of module xp: the loss is the mean over the chosen samples."""
        if not len(self.words):
            found = next_token_targets(self.tokens[rows], vocabulary, xp=xp)
            return {name: value / len(rows) for name, value in found.items()}
        target = xp.zeros((len(rows), self.tokens.shape[1], vocabulary))
        where = np.arange(len(rows)), self.last[rows], self.words[self.label[rows]]
        target[tuple(xp.asarray(index) for index in where)] = 1 / len(rows)
        return {TARGET: target, WEIGHT: target.sum(axis=-1, keepdims=True)}

    def read(self, batch: int, logits: Callable[[Array], Array]) -> dict[str, float]:
        """{"loss", "accuracy"}, means over all samples. logits: of those in rows, (K, P, V), wherever they are."""
        sums = np.zeros(2)
        for begin in range(0, len(self), batch):
            rows = np.arange(begin, min(begin + batch, len(self)))
            said = logits(rows).astype(float)
            targets = self.targets(rows, said.shape[-1], module_of(said))
            lost = float(LOSSES["cross-entropy"].value(said, targets).sum())
            sums += len(rows) * np.array([lost, self.right(rows, said)])
        loss, accuracy = (sums / len(self)).tolist()
        return {"loss": loss, "accuracy": accuracy}

    def right(self, rows: Array, logits: Array) -> float:
        """Share of next tokens, or of labels, that logits (K, P, V) say, wherever they are."""
        here = module_of(logits).asarray
        if not len(self.words):
            return float((logits[:, :-1].argmax(axis=-1) == here(self.tokens[rows, 1:])).mean())
        odds = logits[here(np.arange(len(rows))), here(self.last[rows])][:, here(self.words)]
        return float((odds.argmax(axis=-1) == here(self.label[rows])).mean())


def read_lessons(
    model: Model, task: str, path: str | Path, positions: int, labels: Mapping[str, str] | None = None
) -> Lessons:
    """Samples of a file for a machine of so many positions.

    labels: the word that stands for each label, of sentences; None: GLUE's labels, said as they are written.
    Raises Error for a file that is missing, empty or malformed, and for labels outside the set.
    """
    if not checks.among(task, TASKS):
        raise Error(f"task {shown(task)} is unknown: use {', '.join(TASKS)}")
    if positions < 2:
        raise Error(f"positions is {positions}: use 2 or more, or there is no next token to learn")
    text = plain_text(path, f"data {path}", "name a text file")
    if not text.strip():
        raise Error(f"data {path} is empty: give text to learn from")
    labels = None if labels is None else _sorted(labels)
    if task != "text":
        return _labelled(model, path, text.split("\n"), LAYOUTS[task], positions, labels)
    if labels:
        raise Error("labels would be ignored by task 'text': leave them out, or use task 'classify' or 'pairs'")
    ids = model.tokenize(text, f"data {path}")
    count = len(ids) // positions
    if not count:
        raise Error(
            f"data {path} has {counted(len(ids), 'token')}: give more text, or fewer positions than {positions}"
        )
    none = np.zeros(0, int)
    return Lessons(np.array(ids[: count * positions]).reshape(count, positions), none, none, none)


def _sorted(labels: Any) -> dict[str, str]:
    """Labels in an order of their own: the one in which they are given changes nothing that is learnt."""
    given = checks.mapping("labels", labels, "give the word of each, {'0': 'bad'}")
    return {label: given[label] for label in sorted(given, key=partial(checks.text, "a key of labels"))}


def _labelled(
    model: Model,
    path: str | Path,
    lines: Sequence[str],
    layouts: Sequence[tuple[tuple[str, ...], str, tuple[str, ...]]],
    positions: int,
    labels: Mapping[str, str] | None,
) -> Lessons:
    head = lines[0].rstrip("\r").split("\t")
    layout = next((each for each in layouts if {*each[0], each[1]} <= set(head)), None)
    if layout is None:
        wanted = "; or ".join(", ".join([*sentences, label]) for sentences, label, _ in layouts)
        raise Error(f"data {path} lacks columns of the task in its header: it needs {wanted}, tab-separated")
    said = dict(labels) if labels else {label: label for label in layout[2]}
    at = [head.index(name) for name in (*layout[0], layout[1])]
    tokens, last, label = [], [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) <= max(at):
            raise Error(f"data {path}, line {number}, has {len(cells)} of {len(head)} columns: write all of them")
        *sentences, name = (cells[k] for k in at)
        if name not in said:
            raise Error(f"data {path}, line {number}: label {shown(name)} is none of {', '.join(said)}: name its word")
        where = f"data {path}, line {number}"
        ids = [i for text in sentences for i in model.tokenize(text, where)][:positions]
        tokens.append(np.pad(ids, (0, positions - len(ids)), mode="edge"))
        last.append(len(ids) - 1)
        label.append(list(said).index(name))
    if not tokens:
        raise Error(f"data {path} has a header and no sentences: give some")
    return Lessons(np.stack(tokens), np.array(last), np.array(label), _words(model, said))


def _words(model: Model, said: Mapping[str, str]) -> Array:
    """First token of the word of each label."""
    first = [model.tokenize(word, f"the word {shown(word)} of label {shown(label)}")[0] for label, word in said.items()]
    if len(first) < 2 or len(set(first)) < len(first):
        words = ", ".join(shown(word) for word in said.values())
        raise Error(
            f"the words of the labels, {words}, begin alike or are too few: name a word for each, such as 1=good"
        )
    return np.array(first)
