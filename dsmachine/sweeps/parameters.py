"""What a sweep may vary or set: one table of names, with the defaults of `map_model`, `fabricate`, `transient`.

Beside the table every number of the technology is a parameter (`supply.swing`, `coupling.width`, …), in SI. A new
parameter is one line in `_TABLE` and its use in `bench.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np

from ..circuits.errors import Error, shown
from ..circuits.technology_parts import UNITS

READ, ANNEAL = "read", "anneal"
BOTH = (READ, ANNEAL)
ABSENT = ("none", "off", "exact")


@dataclass(frozen=True)
class Parameter:
    """stage: of what it is an option, technology, map, chip or run; kind: number, whole, word or switch (0 or 1);
    unit: SI; analyses: whose results depend on it; words: what a number may say instead."""

    name: str
    stage: str
    kind: str
    default: Any
    unit: str = "1"
    analyses: tuple[str, ...] = BOTH
    words: tuple[str, ...] = ()

    def value(self, given: Any) -> Any:
        """`given` as this parameter has it. Raises Error for another kind of thing."""
        if given is None or (self.default is None and given in ABSENT):
            return self.default
        if self.kind == "word" or (isinstance(given, str) and given in self.words):
            if isinstance(given, str):
                return given
            raise Error(f"{self.name} is {shown(given)}: give a word")
        number = _number(given, self.kind == "switch")
        if number is None:
            words = "".join(f", or {word!r}" for word in self.words)
            raise Error(f"{self.name} is {shown(given)}: give a number{words}")
        if self.kind == "number":
            return number
        if number != int(number) or (self.kind == "switch" and number not in (0, 1)):
            fix = "0 or 1" if self.kind == "switch" else "a whole number"
            raise Error(f"{self.name} is {shown(given)}: give {fix}")
        return bool(number) if self.kind == "switch" else int(number)


def _number(given: Any, truth: bool) -> float | None:
    """A finite number, True and False only where they are meant; never −0."""
    if isinstance(given, bool):
        return float(given) if truth else None
    if not isinstance(given, Real):
        return None
    number = float(given) + 0.0
    return number if math.isfinite(number) else None


_TABLE = (
    Parameter("technology", "technology", "word", "cmos45"),
    Parameter("corner", "technology", "word", "TT"),
    Parameter("temperature", "technology", "number", None, "K"),
    Parameter("vdd", "technology", "number", None, "V"),
    Parameter("positions", "map", "whole", None),
    Parameter("softmax", "map", "word", None),
    Parameter("order", "map", "whole", None),
    Parameter("activation", "map", "word", "tanh-pair"),
    Parameter("coupling", "map", "word", "buffered"),
    Parameter("device_card", "map", "word", None),
    Parameter("input_resistance", "map", "number", 0.0, "Ω"),
    Parameter("leakage", "map", "switch", False),
    Parameter("softmax_clamp", "map", "number", None),
    Parameter("softmax_gain", "map", "number", 1.0),
    Parameter("mismatch", "chip", "number", 0.0),
    Parameter("vt_mismatch", "chip", "number", 0.0),
    Parameter("offset", "chip", "number", 0.0),
    Parameter("branch_offset", "chip", "number", 0.0, "V"),
    Parameter("pelgrom", "chip", "switch", False),
    Parameter("weight_bits", "chip", "whole", None),
    Parameter("write-verify", "chip", "number", None),
    Parameter("auto-zero", "chip", "number", None),
    Parameter("flicker", "run", "switch", False),
    Parameter("dac_bits", "run", "whole", None),
    Parameter("adc_bits", "run", "whole", None),
    Parameter("precision", "run", "word", "float32"),
    Parameter("noise", "run", "number", 0.0, analyses=(READ,), words=("off", "thermal")),
    Parameter("step", "run", "number", 2.0, analyses=(READ,)),
    Parameter("read_window", "run", "number", None, "s", analyses=(READ,)),
    Parameter("tolerance", "run", "number", 1e-3, analyses=(ANNEAL,)),
    Parameter("settle_bits", "run", "number", 8.0, analyses=(ANNEAL,)),
    Parameter("accuracy", "run", "word", None, analyses=(ANNEAL,)),
    Parameter("output_class", "run", "word", "AB", analyses=(ANNEAL,)),
)
PARAMETERS: Mapping[str, Parameter] = {each.name: each for each in _TABLE} | {
    key: Parameter(key, "technology", "number", None, unit) for key, unit in UNITS.items() if key != "temperature"
}
RANDOM = ("mismatch", "vt_mismatch", "offset", "branch_offset", "pelgrom")  # what makes chips differ


def parameter(name: Any) -> Parameter:
    """A parameter by its name. Raises Error, with what may have been meant."""
    if name in PARAMETERS:
        return PARAMETERS[name]
    near = " or ".join(repr(each) for each in _near(str(name)))
    fix = f"did you mean {near}?" if near else "use mismatch, noise, supply.swing or another of docs/sweeps.md"
    raise Error(f"{shown(name)} is no parameter of a sweep: {fix}")


def _near(name: str) -> list[str]:
    """What may have been meant: within its own section if it names one (coupling.W is coupling.width), else by whole
    names and those that the technology's numbers have in their sections."""
    written = name.lower().replace("-", "_")
    section, dot, last = written.rpartition(".")
    own = [each for each in PARAMETERS if dot and each.startswith(f"{section}.")]
    begins = [each for each in own if each.startswith(f"{section}.{last}")]
    if len(begins) == 1:
        return begins
    whole = {each.replace("-", "_"): each for each in own or PARAMETERS}
    short: dict[str, list[str]] = {}
    for each in own or PARAMETERS:
        short.setdefault(each.rpartition(".")[2], []).append(each)
    close = [whole[each] for each in get_close_matches(written, whole, n=1)]
    return close or [full for each in get_close_matches(last, short, n=1) for full in short[each]][:3] or own[:4]


def values_of(name: Any, given: Any) -> list[Any]:
    """The values of an axis, each once. Raises Error for none, one twice, and what is no value of the parameter."""
    own = parameter(name)
    if isinstance(given, str) or not isinstance(given, list | tuple | range | np.ndarray):
        raise Error(f"values of {own.name!r} are {shown(given)}: give a list of them")
    found = [_own(own, each) for each in (given.tolist() if isinstance(given, np.ndarray) else given)]
    if not found:
        raise Error(f"{own.name!r} has no value: give at least one")
    twice = [each for k, each in enumerate(found) if each in found[:k]]
    if twice:
        raise Error(f"{own.name!r} has {twice[0]!r} twice: give each value once")
    return found


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed parameters by name, as they are meant."""
    return {name: _own(parameter(name), value) for name, value in given.items()}


def _own(own: Parameter, given: Any) -> Any:
    value = own.value(given)
    return 0.0 if own.name == "noise" and value == "off" else value


def defaults(point: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of the table, and the technology's numbers that the point overrides."""
    return {each.name: each.default for each in _TABLE} | dict(point)
