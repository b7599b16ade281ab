"""Values of a ``config.json`` or of a GGUF header, each checked when it is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import checks
from .errors import Error, place, shown

MAX_TEXT_BYTES = 2**20


@dataclass(frozen=True)
class Metadata:
    """Untrusted key → value pairs of the file `path`; `prefix` goes before the keys in errors.

    A key that is absent or null takes the default; without one it is an `Error`.
    """

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def get(self, *keys: str) -> Any:
        """What the first of the keys holds that is there, else None."""
        return next((self.values[key] for key in keys if self.values.get(key) is not None), None)

    def natural(self, *keys: str, default: int | None = None) -> int:
        """A whole number from 1 to 2³¹."""
        value = self.get(*keys)
        value = default if value is None else value
        if type(value) is not int or not 0 < value < 2**31:
            raise self.wrong(keys[0], value, "it must be a whole number above 0")
        return value

    def number(self, key: str, default: float | None = None, *, most: float = math.inf) -> float:
        """A finite number above 0, at most `most`."""
        value = self.get(key)
        number = default if value is None else value
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number <= min(most, 1e300):
            fix = f"use a number in (0, {most:g}]" if most < math.inf else "use a number above 0"
            raise self.wrong(key, value, fix)
        return float(number)

    def text(self, key: str, known: Mapping[str, str], default: str | None = None) -> str:
        """One of the known words, as dsmachine calls it."""
        value = self.get(key)
        value = default if value is None else value
        if not isinstance(value, str) or value not in known:
            raise self.unsupported(key, value, f"use a model with {' or '.join(map(repr, known))}")
        return known[value]

    def switch(self, key: str, default: bool) -> bool:
        """True or false."""
        value = default if self.get(key) is None else self.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "use true or false")
        return value

    def require(self, options: Mapping[str, object]) -> None:
        """Raise `Error` for an option that is there with another value than the one given."""
        for key, accepted in options.items():
            value = accepted if self.get(key) is None else self.get(key)
            if isinstance(value, bool) is not isinstance(accepted, bool) or value != accepted:
                raise self.unsupported(key, value, f"use a model with {accepted!r}")

    def part(self, *keys: str) -> Metadata | None:
        """The table under the first of the keys that is there."""
        key = next((key for key in keys if self.values.get(key) is not None), None)
        if key is None:
            return None
        if not isinstance(self.values[key], dict):
            raise self.wrong(key, self.values[key], "it must be a table")
        return Metadata(self.path, self.values[key], f"{self.prefix}{key}.")

    def unsupported(self, key: str, value: object, fix: str) -> Error:
        """The error for a value that other software may accept."""
        return self.wrong(key, value, fix, "is unsupported")

    def wrong(self, key: str, value: object, fix: str, verdict: str = "") -> Error:
        """The error for a value: what it is, and the fix."""
        said = f"{shown(value)} {verdict}" if verdict else f"is {shown(value)}"
        return Error(f"{place(self.path)}: {self.prefix}{key} {said}: {fix}")


def read_json(path: Path) -> Metadata:
    """The object in a JSON file."""
    if not path.is_file():
        raise Error(f"{place(path)} is missing: give a Hugging Face model folder")
    try:
        table = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise Error(f"{place(path)} is no JSON ({shown(str(error))}): save the model again") from None
    if not isinstance(table, dict):
        raise Error(f"{place(path)} is no JSON object: save the model again")
    return Metadata(path, table)


def plain_text(path: str | Path, what: str, fix: str) -> str:
    """A UTF-8 file, its byte order mark left out. Raises Error, which calls it `what`, for one that cannot be read."""
    checks.path(what, path)
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:  # ValueError: no UTF-8, or a path with a zero byte
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise Error(f"{what} cannot be read ({reason}): {fix}") from None


def read_text(path: Path) -> str:
    """A text of at most `MAX_TEXT_BYTES`."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise Error(f"{place(path)} cannot be read ({error.strerror}): check the path") from None
    if len(data) > MAX_TEXT_BYTES:
        raise Error(f"{place(path)} has more than {MAX_TEXT_BYTES} bytes: shorten it")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Error(f"{place(path)} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
