"""Units as people write them ("fF/µm", "mV·µm", "%") turned into a factor and an SI unit ("F/m", "V·m", "1"), and SI
numbers written as people read them ("32 pJ")."""

from __future__ import annotations

import math
import re

from .errors import Error

PREFIXES = {
    "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6,
    "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18,
}  # fmt: skip
MEGA = {"meg": 1e6, "Meg": 1e6, "MEG": 1e6}
KNOWN = PREFIXES | MEGA
SCALES = {each: PREFIXES[each] for each in "Gkmuµnpf"} | {"K": 1e3} | MEGA  # alone, as SPICE has them
BASES = ("V", "A", "S", "Ω", "F", "H", "W", "J", "K", "Hz", "s", "m")
PLAIN = {"1": 1.0, "%": 0.01, "nat": 1.0, "°": math.pi / 180}
EXPONENTS = {"": 1, "²": 2, "^2": 2}
SHOWN = "afpnµm kMGT"  # prefixes of 10^-18 … 10^12, a step of 1,000 each


def si(unit: str) -> tuple[float, str]:
    """(factor, SI unit) of a written unit; multiplying a value by the factor gives SI.

    >>> si("mV·µm")
    (1e-09, 'V·m')
    >>> si("%"), si("kohm")
    ((0.01, '1'), (1000.0, 'Ω'))

    Raises Error for a unit it does not know.
    """
    factor, text = 1.0, ""
    for sign, token in re.findall(r"(^|[·/])([^·/]+)", _plain(unit)):
        scale, base = _factor(token.strip(), unit)
        factor = factor / scale if sign == "/" else factor * scale
        if base != "1":
            text += (sign if text else "1/" if sign == "/" else "") + base
    if not unit.strip():
        raise Error("a unit is empty: write an SI unit such as 'fF', or '1' for a plain number")
    return _tidy(factor), text or "1"


def _plain(unit: str) -> str:
    """One way of writing for what has several: Greek mu and the micro sign, Ω, the ohm sign and ohm."""
    for other, own in (("μ", "µ"), ("*", "·"), ("\N{OHM SIGN}", "Ω"), ("Ohm", "ohm"), ("ohms", "ohm"), ("ohm", "Ω")):
        unit = unit.replace(other, own)
    return unit


def scale(written: str, unit: str) -> float | None:
    """The factor of a scale alone, "k", "meg", "u", "f", as SPICE has it, for a number measured in this SI unit; None
    for anything else.

    Letters of the unit itself mean the unit: m is no milli of metres. M is mega here, milli in SPICE, and so neither.

    >>> scale("k", "Ω"), scale("meg", "Ω"), scale("m", "V"), scale("m", "F/m"), scale("M", "Ω")
    (1000.0, 1000000.0, 0.001, None, None)
    """
    own = re.split("[·/²]", unit)
    return None if written in own else SCALES.get(_plain(written))


def _factor(token: str, unit: str) -> tuple[float, str]:
    if token in PLAIN:
        return PLAIN[token], "1"
    match = re.fullmatch(r"(\D+?)(²|\^2)?", token)
    name, power = (match[1], match[2] or "") if match else (token, "")
    exponent = EXPONENTS[power]
    mark = "²" if exponent == 2 else ""
    if name in BASES:
        return 1.0, name + mark
    long = 3 if name[:3] in MEGA else 1
    if name[:long] in KNOWN and name[long:] in BASES:
        return KNOWN[name[:long]] ** exponent, name[long:] + mark
    raise Error(f"unit {unit!r} is not understood: use {', '.join(BASES)} with a prefix, '%' or '1'")


def _tidy(factor: float) -> float:
    """The power of ten itself where rounding left a neighbour of it."""
    return float(f"{factor:.12g}")


def scaled(largest: float, unit: str) -> tuple[float, str]:
    """(factor, unit with a prefix) that put numbers in an SI unit, so large at most, into 1 … 1000.

    Plain numbers and powers of units stay as they are.

    >>> scaled(3.2e-11, "J")
    (1000000000000.0, 'pJ')
    >>> scaled(0.02, "1")
    (1.0, '1')
    """
    if unit in PLAIN or "²" in unit or not largest or not math.isfinite(largest):
        return 1.0, unit
    exact = abs(float(f"{largest:.3g}"))  # as `engineering` rounds: 999.9 is 1.00 of the next prefix
    step = min(max(math.floor(math.log10(exact) / 3 + 1e-9), -6), 4)
    return float(f"1e{-3 * step}"), f"{SHOWN[step + 6].strip()}{unit}"


def engineering(value: float, unit: str) -> str:
    """Three digits and an SI prefix.

    >>> engineering(3.2e-11, "J"), engineering(61_234_567_890, "B")
    ('32 pJ', '61.2 GB')
    """
    factor, written = scaled(value, unit)
    return f"{value * factor:.3g} {written}"
