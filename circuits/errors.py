"""The one exception that a user of dsmachine meets, and untrusted text within its line."""

from __future__ import annotations

from pathlib import Path


class Error(Exception):
    """Something the user can put right, said in one line: the thing, its value, the fix.

    >>> str(Error("prompt '' is empty: give at least one character"))
    "prompt '' is empty: give at least one character"

    The command line prints it as ``error: …`` and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


def shown(value: object) -> str:
    """Untrusted text for an error message: quoted, on one line, at most 80 characters."""
    text = " ".join(line.strip() for line in repr(value).splitlines())
    return text if len(text) <= 80 else text[:77] + "..."


def place(path: Path) -> str:
    """A path for an error message, on one line whatever its name holds."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))
