"""Words for people: how many of a thing, and text that would not show."""

from __future__ import annotations

SINGULAR = {"are": "is", "have": "has"}


def counted(number: int, what: str, verb: str = "") -> str:
    """A number, its noun and, if asked for, the noun's verb.

    >>> counted(1, "node"), counted(2048, "node"), counted(1, "node", "saturate"), counted(2, "point", "have")
    ('1 node', '2,048 nodes', '1 node saturates', '2 points have')
    """
    one = number == 1
    said = verb if not one or not verb else SINGULAR.get(verb, f"{verb}s")
    return f"{number:,} {what}{'' if one else 's'}{said and ' '}{said}"


def visible(said: str) -> str:
    """Text of blanks alone, or none, with a sign for each: it would show nothing.

    >>> visible("what "), visible(" "), visible("")
    ('what ', '␣', '(nothing)')
    """
    return said if said.strip() else said.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "(nothing)"
