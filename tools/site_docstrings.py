"""Extension of griffe: docstrings as they are written here, as Markdown.

    name: what it is           a line that begins so is an item of a list, with the lines that follow it
    >>> code                   an example
    an indented block          an equation or code, which Markdown knows too
    * _ < >                    themselves, as in (batch, *shape), outside of code and *one* stressed word

Signatures say the types; what stands here says units, shapes and errors.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ITEM = re.compile(r"(`?[A-Za-z_][\w.-]*`?(?:(?: …|,) `?[A-Za-z_][\w.-]*`?)*(?: \[[^\]]*\])?):\s+(?=\S)(?!.*::)")
ROLE = re.compile(r":\w+:`([^`]*)`")


class Docstrings(griffe.Extension):
    """Rewrites every docstring that is shown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute, once."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """The docstring, paragraph by paragraph."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", text.strip("\n")))


def _paragraph(text: str) -> str:
    if text.startswith("    "):
        return text
    if text.startswith(">>> "):
        return f"```pycon\n{text}\n```"
    lines = text.split("\n")
    items = [ITEM.match(line) for line in lines]
    if not any(items):
        return _plain(text)
    made, listed = [], False
    for line, item in zip(lines, items, strict=True):
        if item is not None:
            made += [] if listed or not made else [""]
            made.append(f"- **{_plain(item[1])}**: {_plain(line[item.end() :])}")
            listed = True
        elif listed and made[-1].endswith(".") and re.match(r"[A-Z]", line):  # a sentence about the whole
            made += ["", _plain(line)]
            listed = False
        else:
            made.append(("    " if listed else "") + _plain(line.strip()))
    return "\n".join(made)


def _plain(text: str) -> str:
    """Text whose every character stands for itself, but for code in backquotes and *one* stressed word."""
    kept = re.compile(r"(``[^`]+``|`[^`]+`|\*\w+\*)")
    parts = kept.split(ROLE.sub(r"`\1`", text))
    return "".join(part if kept.fullmatch(part) else re.sub(r"([*_<>|\[\]])", r"\\\1", part) for part in parts)
