"""Transistor model cards: the bundled one, or a user's file, checked before any simulator reads it.

A file of model cards is untrusted text that ends up in a netlist. Only four things may stand in it:

    * a comment                       and, behind a value, $ or ; with the rest of the line
    .model NAME nmos|pmos (level=54 vth0=0.4 …)
    .param NAME=value …
    + more of the card before

with values that are numbers or, within '…' or {…}, arithmetic. What is handed on are those cards alone, without
comments (a comment can be a command to ngspice), one blank between words.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from .. import checks
from ..errors import Error, place, shown

LARGEST = 4_000_000  # bytes; foundry files with bins have a few 100,000
NAME = r"[a-z][a-z0-9_.]{0,63}"
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?[a-z]{0,8}"
ARITHMETIC = r"'[a-z0-9_.+\-*/(), ]{1,400}'|\{[a-z0-9_.+\-*/(), ]{1,400}\}"
PAIR = re.compile(rf"({NAME})\s*=\s*({NUMBER}|{NAME}|{ARITHMETIC})(?=[\s()]|$)")
MODEL = re.compile(rf"\.model\s+({NAME})\s+(nmos|pmos)(?=[\s(]|$)")
BIN = re.compile(r"\.\d+$")  # nch.1, nch.2, …: one transistor, binned by size
ADJUSTABLE = {"8", "14", "49", "54"}  # levels of BSIM3 and BSIM4 in ngspice, whose transistors take delvto and mulu0


@dataclass(frozen=True)
class ModelCard:
    """Model cards of an n-channel and a p-channel transistor.

    text: checked cards, ready for a netlist; nfet, pfet: names of the models, None where the file has none;
    sha256: hash of the file (of all of them, one after another) as it was read; origin: its name.
    """

    text: str = field(repr=False)
    nfet: str | None
    pfet: str | None
    sha256: str
    origin: str

    def name(self, kind: str) -> str:
        """The model's name of one kind of channel, "nfet" or "pfet"; Error where the file has none."""
        found = self.nfet if kind == "nfet" else self.pfet
        if found is None:
            letter = kind[0]
            raise Error(f"{self.origin} has no {letter}-channel model: add a .model of type {letter}mos")
        return found

    def adjusted(self, kind: str, threshold: float = 0.0, mobility: float = 1.0) -> str:
        """Words behind a transistor that move its |threshold| [V] and multiply its mobility: a corner.

        Error where the model cannot do that (it is neither BSIM3 nor BSIM4).
        """
        if threshold == 0 and mobility == 1:
            return ""
        levels = {level for model, _, level in _models(self.text.splitlines()) if BIN.sub("", model) == self.name(kind)}
        if not levels <= ADJUSTABLE:
            raise Error(
                f"{self.origin}: model {self.name(kind)!r} is of level {', '.join(sorted(levels))}, whose transistors "
                "take no threshold or mobility of their own, as corners have: use BSIM4 (level 14 or 54)"
            )
        sign = 1 if kind == "nfet" else -1
        return f" delvto={sign * threshold:.9g} mulu0={mobility:.9g}"


def load_models(
    paths: str | Path | Sequence[str | Path] = (), *, nfet: str | None = None, pfet: str | None = None
) -> ModelCard:
    """The bundled model cards (no path), or those of one or several files.

    nfet, pfet: which model to take, where a file has several of a kind.

    >>> load_models().nfet
    'nfet'

    Raises Error for a file that cannot be read or holds anything but .model and .param cards, and where it is not
    clear which model is meant.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) or not isinstance(paths, Iterable) else paths
    files = [checks.path("model card", path) for path in listed]
    texts = [_read(path) for path in files] or [_bundled()]
    names = " + ".join(place(Path(path.name)) for path in files) or "cmos45.pm"
    cards = [
        card for name, raw in zip(files or [Path("cmos45.pm")], texts, strict=True) for card in _cards(raw, str(name))
    ]
    found = [(BIN.sub("", name), kind) for name, kind, _ in _models(cards)]
    return ModelCard(
        text="\n".join(cards),
        nfet=_chosen([name for name, kind in found if kind == "nmos"], "nfet", nfet, names),
        pfet=_chosen([name for name, kind in found if kind == "pmos"], "pfet", pfet, names),
        sha256=hashlib.sha256(b"".join(texts)).hexdigest(),
        origin=names,
    )


def _bundled() -> bytes:
    return (resources.files(__package__) / "cmos45.pm").read_bytes()


def _read(path: Path) -> bytes:
    where = f"model card {place(path)}"
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError(None, "it is no regular file")
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "no such name"
        raise Error(f"{where} cannot be read ({reason}): give a file of .model cards") from None
    if len(raw) > LARGEST:
        raise Error(f"{where} is larger than {LARGEST // 1_000_000} MB: give a file of .model cards alone")
    return raw


def _cards(raw: bytes, name: str) -> list[str]:
    """The cards of a file, a line each, continuations joined."""
    where = f"model card {place(Path(name))}"
    cards: list[str] = []
    for number, line in enumerate(raw.decode("utf-8", "replace").split("\n"), start=1):
        words = " ".join(re.split(r"[$;]", line)[0].lower().split())
        if not words or words[0] == "*":
            continue
        if words[0] == "+" and cards:
            cards[-1] += " " + words[1:].strip()
        elif words.startswith((".model ", ".param ")):
            cards.append(words)
        else:
            raise Error(
                f"{where}, line {number}: {shown(words)} is not allowed: only .model, .param, + and comments are"
            )
    for card in cards:
        _check(card, where)
    if not any(_models(cards)):
        raise Error(f"{where} holds no .model card: give one of an nmos or pmos transistor")
    return cards


def _check(card: str, where: str) -> None:
    """One card in full: its head, then nothing but name=value."""
    head = MODEL.match(card)
    if card.startswith(".model") and head is None:
        raise Error(f"{where}: {shown(card)} is no transistor: write .model NAME nmos or pmos, name=value …")
    body = card[head.end() :] if head else card[len(".param") :]
    if body.count("(") != body.count(")"):
        raise Error(f"{where}: parentheses of {shown(card)} do not match: close them")
    rest = PAIR.sub(" ", body).replace("(", " ").replace(")", " ") if head else PAIR.sub(" ", body)
    if rest.strip():
        raise Error(f"{where}: {shown(rest.strip())} in {shown(card[:40])} is not understood: write name=value")


def _models(cards: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(name, nmos or pmos, level) of each .model card."""
    for card in cards:
        if head := MODEL.match(card):
            level = re.search(r"\blevel\s*=\s*(\d+)", card)
            yield head[1], head[2], level[1] if level else "1"


def _chosen(names: list[str], kind: str, wanted: str | None, where: str) -> str | None:
    """The model of a kind that is meant: the one asked for, or the only one."""
    distinct = list(dict.fromkeys(names))
    if wanted is not None:
        if checks.text(kind, wanted).lower() not in distinct:
            raise Error(f"{kind} {shown(wanted)} is not in {where}: it has {_listed(distinct)}")
        return wanted.lower()
    if len(distinct) > 1:
        raise Error(f"{where} has {len(distinct)} models for {kind} ({_listed(distinct)}): name one with {kind}=…")
    return distinct[0] if distinct else None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "none"
