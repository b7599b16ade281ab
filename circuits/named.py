"""Things by name, for people: a name that is not there is said in a line, with what it may have been meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from .errors import Error, shown
from .quantities import hint, listed

Value = TypeVar("Value")


class UnknownName(Error, KeyError):
    """A name that a mapping lacks: a KeyError as of any dict, said in a line."""

    __str__ = Exception.__str__  # a KeyError's would quote it


class Named(dict[str, Value]):
    """A dict whose `[name]` says what it lacks: "'logit' is no array of circuit 'ring': did you mean 'logits'?".

    what: what its values are, and whose.
    """

    def __init__(self, values: Mapping[str, Value], what: str) -> None:
        super().__init__(values)
        self.what = what

    def __missing__(self, name: Any) -> Value:
        raise unknown(name, self, self.what)


def unknown(name: Any, names: Iterable[str], what: str) -> UnknownName:
    """What to raise for a name that is none of these."""
    return UnknownName(f"{shown(name)} is no {what}: {meant(name, names)}")


def meant(name: Any, names: Iterable[str]) -> str:
    """What somebody who wrote `name` may have meant, or could write.

    >>> meant("logit", ["embed", "logits"]), meant("x", ["s"]), meant("x", [])
    ("did you mean 'logits'?", 'use s', 'there is none')
    """
    there = list(names)
    return hint(str(name), there).lstrip("; ") or (f"use {listed(there)}" if there else "there is none")
