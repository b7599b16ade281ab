"""What arguments must be: one line that names the argument, its value and the fix."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from .errors import Error, shown
from .rows import by_rows, once

LARGEST_SEED = 2**63 - 1


def whole(what: str, value: Any, least: int, most: int, fix: str = "") -> int:
    """An integer within least … most (2.5 and True are none)."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise Error(f"{what} is {shown(value)}: {_no_text(value)}{fix or f'use a whole number, {least} … {most}'}")
    return int(value)


def seed(what: str, value: Any) -> int:
    """A seed; 0 is an ordinary one."""
    return whole(what, value, 0, LARGEST_SEED, "choose a whole number, 0 … 2⁶³ − 1")


def number(
    what: str, value: Any, fix: str, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> float:
    """A finite number, at least `least`, more than `above` and at most `most`."""
    real = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not real or not math.isfinite(value) or value <= above or not least <= value <= most:
        raise Error(f"{what} is {shown(value)}: {_no_text(value)}{fix}")
    return float(value)


def _no_text(value: Any) -> str:
    """What is to be said first where a number is given as text."""
    return "give a number, not text; " if isinstance(value, str) else ""


def one_of_both(what: str, value: Any, other: str, besides: Any) -> None:
    """Two arguments of which the second says all; None: not given."""
    if value is not None and besides is not None:
        raise Error(f"{what} {shown(value)} would be ignored, {other} is {shown(besides)}: give one of both")


def values(what: str, value: Any, fix: str = "check what produced it") -> Any:
    """Numbers, all finite; arrays on a device are believed."""
    if hasattr(value, "get") and hasattr(value, "dtype"):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise Error(f"{what} is {shown(value)}, which is no number: {fix}")
    if not _finite(array):
        where = np.argwhere(~np.isfinite(np.atleast_1d(array)))[0].tolist() if array.ndim else ""
        raise Error(f"{what} is NaN or infinite{f' at {where}' if array.ndim else ''}: {fix}")
    return array


def _finite(array: Any) -> bool:
    rows = once(np.atleast_1d(array))
    return all(by_rows(lambda part: bool(np.isfinite(rows[part]).all()), rows.shape))


def among(value: Any, known: Iterable[str]) -> bool:
    """Whether it is one of these words; what is no word is none, whatever it can be compared with."""
    return isinstance(value, str) and value in known


def path(what: str, value: Any) -> Path:
    """A path, which may lead nowhere."""
    if not isinstance(value, str | os.PathLike):
        raise Error(f"{what} is {shown(value)}: give the path of a file")
    return Path(value)


def text(what: str, value: Any) -> str:
    """Some text, which may be empty."""
    if not isinstance(value, str):
        raise Error(f"{what} is {shown(value)}: give a text")
    return value


def name(what: str, value: Any) -> str:
    """Some text that is not empty."""
    if not (found := text(what, value)):
        raise Error(f"{what} is '': give at least one character")
    return found


def mapping(what: str, value: Any, fix: str) -> Mapping[str, Any]:
    """Values by name; nothing where it is None."""
    if value is not None and not isinstance(value, Mapping):
        raise Error(f"{what} are {shown(value)}: {fix}")
    return {} if value is None else value


def made(what: str, value: Any, kind: type, fix: str) -> None:
    """Something of a kind that only a function of ours makes."""
    if not isinstance(value, kind):
        raise Error(f"{what} is {shown(value)}: {fix}")


def positive(what: str, value: Any, shape: Sequence[int]) -> None:
    """Numbers above 0, one or broadcastable to `shape`."""
    array = values(what, value, "use numbers above 0")
    if not hasattr(value, "get") and not (array > 0).all():
        raise Error(f"{what} is {float(array.min())!r}{' somewhere' if array.ndim else ''}: it must be above 0")
    fits(what, value, shape)


def fits(what: str, value: Any, shape: Sequence[int]) -> None:
    """Anything that broadcasts to `shape`."""
    try:
        found = np.broadcast_shapes(np.shape(value), tuple(shape))
    except ValueError:
        found = ()
    if found != tuple(shape):
        raise Error(f"{what} has shape {np.shape(value)}: give one number, or an array for nodes {tuple(shape)}")


def moments(what: str, times: Any) -> Any:
    """Times [s], one axis, at least one, in any order."""
    array = values(what, times, "use times in seconds")
    if getattr(array, "ndim", None) != 1 or not array.size:
        raise Error(f"{what} has shape {np.shape(times)}: give times in seconds, at least one")
    return array.astype(float)


def ascending(what: str, times: Any, *, above: float = -math.inf) -> Any:
    """Times [s], one axis, at least one, each later than the one before and than `above`."""
    array = values(what, times, "use ascending times in seconds")
    if array.ndim != 1 or not array.size:
        raise Error(f"{what} has shape {array.shape}: give ascending times in seconds, at least one")
    if array[0] <= above or (np.diff(array) <= 0).any():
        k = 0 if array[0] <= above else int(np.flatnonzero(np.diff(array) <= 0)[0]) + 1
        raise Error(f"{what} is {float(array[k])!r} at [{k}]: times must ascend{f' from {above:g}' * (k == 0)}")
    return array.astype(float)
