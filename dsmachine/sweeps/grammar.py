"""What `--vary`, `--set` and `--limit` say: NAME=…, numbers with a unit or none, ranges and lists."""

from __future__ import annotations

import math

import numpy as np

from ..circuits.errors import Error, shown
from ..circuits.quantities import factor_of, spaced, written_number
from ..circuits.units import scale, si
from .metrics import METRICS
from .parameters import parameter

MOST_VALUES = 10_000
RANGE = "FROM:TO:COUNT (0:0.3:7), FROM:TO:COUNT:log, or a list (0,0.05,0.1)"


def parse_vary(text: str) -> tuple[str, list[float | str]]:
    """A parameter and its values: a range with both ends, evenly spaced or by equal factors, or a list; SI, each with
    its own unit, or followed by one.

    >>> parse_vary("mismatch=0:0.3:4")
    ('mismatch', [0.0, 0.1, 0.2, 0.3])
    >>> parse_vary("coupling.width=120,240 nm")
    ('coupling.width', [1.2e-07, 2.4e-07])
    >>> parse_vary("node.capacitance=49f,0.9pF"), parse_vary("mismatch=0,2%,5%")
    (('node.capacitance', [4.9e-14, 9e-13]), ('mismatch', [0.0, 0.02, 0.05]))
    >>> parse_vary("noise=1e-3:1e-1:3:log")
    ('noise', [0.001, 0.01, 0.1])
    >>> parse_vary("noise=off,thermal")
    ('noise', ['off', 'thermal'])
    """
    name, body = _named(text, "--vary", f"NAME={RANGE}")
    measured = parameter(name).unit
    if ":" in body and not _is_word(name):
        return name, _range(text, spaced(body), measured)
    if ".." in body and not _is_word(name):
        raise Error(f"range {shown(text)} is not understood: write {RANGE}")
    parts = body.split(",") if _is_word(name) else _with_units(text, body, measured)
    return name, [_value(text, part, measured) for part in parts]


def parse_setting(text: str) -> tuple[str, float | str]:
    """A parameter and its value.

    >>> parse_setting("read_window=120 ns")
    ('read_window', 1.2e-07)
    """
    name, body = _named(text, "--set", "NAME=VALUE, such as auto-zero=0.001")
    return name, _value(text, body if _is_word(name) else spaced(body), parameter(name).unit)


def parse_limit(text: str) -> tuple[str, float]:
    """A metric and its limit.

    >>> parse_limit("settling_time=110 ns"), parse_limit("loss=2 nat")
    (('settling_time', 1.1e-07), ('loss', 2.0))
    """
    name, body = _named(text, "--limit", "METRIC=NUMBER, such as perplexity=9.0")
    limit = _value(text, spaced(body), si(METRICS[name].unit)[1] if name in METRICS else None)
    if isinstance(limit, str):
        raise Error(f"--limit {shown(text)} is not understood: write METRIC=NUMBER, such as perplexity=9.0")
    return name, limit


def _named(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, body = (part.strip() for part in text.partition("="))
    if not (name and equals and body):
        raise Error(f"{option} {shown(text)} is not understood: write {form}")
    return name, body


def _range(text: str, body: str, measured: str) -> list[float | str]:
    numbers, _, unit = body.partition(" ")
    first, last, count, *rest = [*numbers.split(":"), "", ""][: max(3, numbers.count(":") + 1)]
    ends = [_number(part) for part in (first, last)]
    if None in ends or not count.isdecimal() or rest not in ([], ["log"]):
        raise Error(f"range {shown(text)} is not understood: write {RANGE}")
    if not 2 <= int(count) <= MOST_VALUES:
        raise Error(f"range {shown(text)} has {count} values: use 2 … {MOST_VALUES}")
    low, high = (float(end) for end in ends if end is not None)
    if rest and not (low > 0 and high > 0):
        raise Error(f"range {shown(text)} goes by equal factors: use ends above 0")
    if low == high:
        raise Error(f"range {shown(text)} has no extent: give two different ends")
    spaced = np.geomspace(low, high, int(count)) if rest else np.linspace(low, high, int(count))
    factor = factor_of(unit.strip(), shown(text), measured, low)
    return [_tidy(value * factor) for value in spaced.tolist()]


def _with_units(text: str, body: str, measured: str) -> list[str]:
    """Parts of a list, each number with its own unit, or all with the one after the last.

    A plain number is whole without %, and beside a scale alone, 10k, it may be in SI or in thousands: nobody can tell
    what it is; 0 is 0.
    """
    written = [
        (number, unit.strip()) for number, _, unit in (spaced(part).strip().partition(" ") for part in body.split(","))
    ]
    units = [unit for _, unit in written if unit]
    bare = [number for number, unit in written if not unit and _number(number)]
    if bare and units and (measured == "1" or scale(units[-1], measured)):
        raise Error(
            f"{shown(text)} has {bare[0]} beside a number in {units[-1]}: write {units[-1]} behind each: "
            f"2{units[-1]},5{units[-1]}"
        )
    if bare and units and (len(units) > 1 or not written[-1][1]):
        raise Error(f"{shown(text)} has {bare[0]} without a unit: write one behind each, or one after the last")
    shared = written[-1][1]
    return [f"{number} {unit or (shared if _number(number) is not None else '')}".strip() for number, unit in written]


def _value(text: str, part: str, measured: str | None) -> float | str:
    """A number, in SI or with a unit, or a word. measured: the SI unit of such numbers, where it is known."""
    number = written_number(part, shown(text), measured)
    if number is not None and math.isfinite(number):
        return number
    word, _, unit = part.strip().partition(" ")
    if not word or unit.strip():
        raise Error(f"{shown(text)} is not understood: write numbers, with a unit each or one after the last, or words")
    return word


def _is_word(name: str) -> bool:
    return parameter(name).kind == "word"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _tidy(value: float) -> float:
    """The decimal number that was meant: 0.3·3/6 is 0.15."""
    return float(f"{value:.12g}")
