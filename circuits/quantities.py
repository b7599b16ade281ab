"""TOML files of numbers, each {value, unit, source}: technologies and machines. What is wrong is said in one line."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from . import checks
from .errors import Error, shown
from .metadata import plain_text
from .units import scale, si

CELSIUS = ("°C", "C", "degC", "℃")
UNSPACED = re.compile(r"(.*[,:])?\s*([+-]?(?>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))((?:[^\W\d_]|[%°℃]).*)")
FORM = 'write {value = …, unit = "…", source = "…"}'


def names_in(folder: Traversable) -> list[str]:
    """Names of the files in a folder of the package."""
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_toml(name_or_path: str | Path, kind: str, folder: Traversable) -> tuple[dict[str, Any], str]:
    """(document, what to call it in messages) of a file in the package by name, or of any by path.

    kind: what it describes, "technology".
    """
    path = checks.path(kind, name_or_path)
    if isinstance(name_or_path, str) and path.name == name_or_path and not name_or_path.endswith(".toml"):
        names = names_in(folder)
        if name_or_path not in names:
            tail = hint(name_or_path, names)
            raise Error(
                f"{kind} {name_or_path!r} is unknown: use {' or '.join(names)}, or the path of a .toml file{tail}"
            )
        content = (folder / f"{name_or_path}.toml").read_text(encoding="utf-8")
        where = f"{kind} {name_or_path!r}"
    else:
        where = f"{kind} file {str(path)!r}"
        content = plain_text(path, where, "give a readable .toml file")
    try:
        return tomllib.loads(content), where
    except tomllib.TOMLDecodeError as problem:
        raise Error(f"{where} is not TOML ({problem}): correct that line") from None


def text(document: Mapping[str, Any], key: str, where: str) -> str:
    """Some text."""
    value = document.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Error(f"{where}: {key!r} is {value!r}: give it as text")
    return value


def quantity(
    table: Mapping[str, Any], name: str, key: str, where: str, *, unit: str, zero: bool = False
) -> tuple[float, str]:
    """(value in SI, source) of one {value, unit, source}; unit: in SI; zero: whether it may be 0."""
    if name not in table:
        raise Error(f"{where} lacks {key!r}: {FORM}")
    entry = table[name]
    if not isinstance(entry, dict):
        raise Error(f"{where}: {key!r} is {entry!r}, without unit and source: {FORM}")
    for part in entry:
        known(part, ["value", "unit", "source"], f"part of {key!r} in {where}")
    for part in ("value", "unit", "source"):
        if part not in entry:
            raise Error(f"{where}: {key!r} has no {part}: {FORM}")
        if part != "value" and (not isinstance(entry[part], str) or not entry[part].strip()):
            raise Error(f"{where}: the {part} of {key!r} is {entry[part]!r}: give it as text")
    factor, found = si(entry["unit"])
    if found != unit:
        raise Error(f"{where}: {key!r} has the unit {entry['unit']!r}: it is measured in {unit} (with any prefix)")
    value = float(f"{number(f'{where}: {key!r}', entry['value'], zero=zero) * factor:.15g}")
    return number(f"{where}: {key!r}", value, zero=zero), str(entry["source"])


def spaced(written: str) -> str:
    """With a blank between the last number and its unit, where there is none.

    >>> spaced("300mV"), spaced("0:1e-3:4mV"), spaced("1e-3"), spaced("27 °C")
    ('300 mV', '0:1e-3:4 mV', '1e-3', '27 °C')
    """
    found = UNSPACED.fullmatch(written.strip())
    return f"{found[1] or ''}{found[2]} {found[3]}" if found else written


def written_number(written: str, what: str, unit: str | None) -> float | None:
    """A number as people write it, with a unit or with none, in SI; None for what begins with no number.

    what: said in messages; unit: that it is measured in, where this is known ("1": a plain number, or %); a scale alone
    is enough then.

    >>> written_number("10%", "--mismatch", "1"), written_number("240 nm", "--width", "m")
    (0.1, 2.4e-07)
    >>> written_number("10k", "--input-resistance", "Ω"), written_number("240n", "--width", "m")
    (10000.0, 2.4e-07)
    """
    number, _, own = spaced(written).strip().partition(" ")
    try:
        value = float(number)
    except ValueError:
        return None
    return float(f"{value * factor_of(own.strip(), what, unit, value):.15g}")


def factor_of(written: str, what: str, unit: str | None, value: float) -> float:
    """What a number with a written unit, or with none, is multiplied by for SI.

    what: said in messages; unit: that it is measured in, where this is known; value: the number.
    """
    if not written:
        return 1.0
    if written in CELSIUS and unit == "K":
        raise Error(f"{what} has the unit {written!r}: it is measured in K, write {value + 273.15:g} K")
    if unit is not None and (alone := scale(written, unit)) is not None:
        return alone
    if written == "M":
        raise Error(f"{what} has the unit 'M', mega here and milli in SPICE: write meg or m")
    try:
        factor, found = si(written)
    except Error as problem:
        raise Error(f"{what}: {problem}") from None
    if unit is not None and found != unit:
        fix = "it is a plain number, or in %" if unit == "1" else f"it is measured in {unit} (with any prefix)"
        raise Error(f"{what} has the unit {written!r}: {fix}")
    return factor


def number(what: str, value: Any, *, zero: bool = False) -> float:
    """A finite number above 0, or 0 too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Error(f"{what} is {shown(value)}: give a number")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        finite = False
    if not finite or value < 0 or (value == 0 and not zero):
        raise Error(f"{what} is {value!r}: give a number {'of 0 or more' if zero else 'above 0'}")
    return float(value)


def known(key: Any, names: Iterable[str], what: str) -> None:
    """Error for a key that is not one of the names; what: "key of technology 'cmos45'"."""
    names = list(names)
    if key not in names:
        raise Error(f"{str(key)!r} is no {what}: {hint(str(key), names).lstrip('; ') or 'use ' + listed(names)}")


def hint(key: str, names: list[str]) -> str:
    """What somebody who wrote `key` may have meant."""
    close = difflib.get_close_matches(key, names, n=1) or [n for n in names if n.endswith(f".{key}")][:1]
    return f"; did you mean {close[0]!r}?" if close else ""


def listed(names: list[str]) -> str:
    """The first dozen."""
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
