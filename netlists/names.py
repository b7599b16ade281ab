"""Names of SPICE nodes. Names of arrays and terms come from checkpoints: they are untrusted text.

`h.0.mlp.act[3, 17]` becomes the node `h.0.mlp.act.3.17`: lower case, because SPICE knows no other, and letters,
digits, `_` and `.` only, because everything else parts words, starts a comment or calculates somewhere. Two arrays
that would share a node are told apart by a number; every node has a dot in it, so none is a reserved word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..circuits.circuit import Circuit

Array = Any
LONGEST, LONGEST_COMMENT = 80, 200  # characters


def plain(text: str) -> str:
    """Text reduced to what SPICE takes as one word.

    >>> plain("h.0.mlp.Act"), plain("a b\\n.control"), plain("3,π"), plain("")
    ('h.0.mlp.act', 'a_b_.control', 'n3_', 'n')
    """
    word = re.sub(r"[^a-z0-9_.]+", "_", text.lower())
    word = re.sub(r"\.{2,}", ".", word)[:LONGEST].strip(".")
    return word if word[:1].isalpha() else f"n{word}"


def comment(text: str) -> str:
    """Text as part of one comment line: printable ASCII, anything else as escapes.

    >>> comment("a\\n.control")
    'a\\\\n.control'
    """
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= LONGEST_COMMENT else shown[:LONGEST_COMMENT] + "..."


def node_names(circuit: Circuit) -> dict[str, Array]:
    """Array name -> names of its nodes, an object array in its shape."""
    taken: set[tuple[str, int]] = set()
    names = {}
    for name, node in circuit.arrays.items():
        base, count = plain(name), 1
        while _key(base, len(node.shape)) in taken:
            count += 1
            base = f"{plain(name)}_{count}"
        taken.add(_key(base, len(node.shape)))
        names[name] = indexed(base, node.shape)
    return names


def _key(base: str, rank: int) -> tuple[str, int]:
    """Two arrays can share a node only if these are equal: the name up to trailing numbers, and how many follow."""
    words = base.split(".")
    while words and words[-1].isdigit():
        words.pop()
    return ".".join(words), base.count(".") + max(rank, 1) - len(words)


def indexed(base: str, shape: tuple[int, ...]) -> Array:
    """base.i.j… for each element of `shape`; base.0 for a single one without axes."""
    words: Array = np.array(base, object)
    for axis, length in enumerate(shape or (1,)):
        digits = np.array([f".{k}" for k in range(length)], object)
        words = words[..., None] + digits.reshape((1,) * axis + (-1,))
    return np.asarray(words, object).reshape(shape)


def name_table(names: Mapping[str, Array]) -> Iterable[str]:
    """Comment text, array by array: our name and indices, and the first of its nodes."""
    for name, nodes in names.items():
        letters = ",".join("ijklmn"[: nodes.ndim]) if nodes.ndim <= 6 else "..."
        base = str(nodes.reshape(-1)[0]).rsplit(".", max(nodes.ndim, 1))[0] if nodes.size else "(no nodes)"
        indices = "." + letters.replace(",", ".") if nodes.ndim else ".0"
        yield f"{comment(name)}[{letters}] of shape {nodes.shape} = node {base}{indices}"
