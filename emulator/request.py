"""Which engine a transient runs on, and options that it would ignore turned down before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..circuits.errors import Error

METHODS = ("elements", "stepper")
OF_ELEMENTS = ("tolerance", "accuracy", "points", "elements")
OF_STEPPER = ("step",)
OF_NOISE = ("read_window", "samples")
WITHOUT_NOISE = ("duration", "settle_bits")


def chosen_method(noise: str | float, method: str | None, options: Mapping[str, Any]) -> str:
    """ "elements" or "stepper": what `method` says, else what the noise needs. `options`: None where not given."""
    noisy = noise != "off"
    if method not in (None, *METHODS):
        raise Error(f"method {method!r} is unknown: use {' or '.join(METHODS)}")
    if noisy and method == "elements":
        raise Error(f"method 'elements' cannot follow noise {noise!r}: leave method out, or set noise='off'")
    chosen = method or ("stepper" if noisy else "elements")
    _refuse(options, OF_STEPPER if chosen == "elements" else OF_ELEMENTS, f"method {chosen!r}")
    if noisy:
        _refuse(options, WITHOUT_NOISE, f"noise {noise!r} (it runs for read_window seconds)")
    else:
        _refuse(options, OF_NOISE, "noise 'off'")
    return chosen


def checked_bits(settle_bits: float | None) -> float:
    """Bits to which a run settles, 8 by default."""
    bits = 8 if settle_bits is None else settle_bits
    if not 0 < bits <= 40:
        raise Error(f"settle_bits is {bits!r}: choose 0 … 40 bits (8: within 1/256 of full scale)")
    return bits


def _refuse(options: Mapping[str, Any], names: tuple[str, ...], by: str) -> None:
    for name in names:
        if options.get(name) is not None:
            raise Error(f"{name}={options[name]!r} would be ignored by {by}: leave it out")
