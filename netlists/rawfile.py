"""ngspice's rawfiles, and its names of voltages and currents.

A rawfile is one plot after another, each a head of text lines and then `No. Points` rows of `No. Variables` doubles,
or pairs of doubles where its `Flags` say complex.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..circuits.errors import Error

Array = Any
MARK = b"Binary:\n"


def read_rawfile(path: Path) -> dict[str, Array]:
    """Columns of all plots of a binary rawfile, by node name: ``.noise`` leaves two plots, spectra and totals."""
    rest, columns = path.read_bytes(), dict[str, Array]()
    while rest.strip():
        head, mark, rest = rest.partition(MARK)
        text = head.decode("ascii", "replace")
        variables = re.search(r"^No\. Variables: (\d+)", text, re.M)
        points = re.search(r"^No\. Points: (\d+)", text, re.M)
        if not mark or variables is None or points is None:
            raise Error(f"ngspice left a rawfile that cannot be read, '{path.name}': run it again")
        kind = np.dtype(np.complex128 if re.search(r"^Flags:.*complex", text, re.M) else np.float64)
        width, length = int(variables[1]), int(points[1])
        names = [line.split()[1] for line in text.split("Variables:\n")[1].splitlines()[:width]]
        table = np.frombuffer(rest, kind, count=width * length).reshape(length, width)
        columns |= dict(zip(map(plain_name, names), np.ascontiguousarray(table.T), strict=True))
        rest = rest[width * length * kind.itemsize :]
    return columns


def plain_name(name: str) -> str:
    """One spelling for both engines: ``v(y)`` is ``y``, and ``v1#branch`` is ``i(v1)``.

    >>> [plain_name(name) for name in ("v(y.3)", "V1#branch", "i(v1)", "time")]
    ['y.3', 'i(v1)', 'i(v1)', 'time']
    """
    name = name.lower()
    if name.startswith("v(") and name.endswith(")"):
        return name[2:-1]
    return f"i({name[:-7]})" if name.endswith("#branch") else name
