"""What commands share: the JSON object, text and progress for people, safe output paths."""

import contextlib
import ctypes
import json
import logging
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from .. import Error
from ..emulator.files import check_target

WIDEST = 1000  # columns of a table

_LIST_OF_NUMBERS = re.compile(r'\[\n([^][{}"]*)\n *\]')  # no newline is inside a JSON string

JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout, all else to stderr.")]
DeviceOption = Annotated[str, typer.Option(help="numpy, cupy: a GPU, or cupy:1, by its number.")]
PrecisionOption = Annotated[str, typer.Option(help="float32, float64 or, on a GPU, tf32 or tf32x3.")]
ResumeOption = Annotated[
    Path | None,
    typer.Option("--resume", help="Go on with what this command left in FILE, and write there.", metavar="FILE"),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is already at the output path.")]


class LogHandler(logging.Handler):
    """Writes ``warning: …`` to the stderr of the moment, which a live progress bar replaces; a warning once a command,
    though every token's circuit may give cause for it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            line = f"{record.levelname.lower()}: {self.format(record)}\n"
            if record.levelno != logging.WARNING or line not in self.said:
                sys.stderr.write(line)
                self.said.add(line)
        except Exception:
            self.handleError(record)


def error_line(message: str) -> str:
    """Return ``error: message`` as exactly one line, whatever the message holds."""
    # Names from checkpoints are untrusted text: no control character reaches the terminal.
    line = " ".join(message.splitlines())
    return "error: " + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) + "\n"


class Interrupted(Exception):
    """Ctrl-C, in words: what is kept."""


@contextlib.contextmanager
def said_how_to_go_on(output: Path | None) -> Iterator[None]:
    """Ctrl-C in here says what is kept in a run file."""
    from ..emulator.runfile import load_run

    try:
        yield
    except KeyboardInterrupt:
        kept = None
        with contextlib.suppress(Error):
            kept = None if output is None else load_run(output)
        if kept is None or not kept.unfinished:
            raise
        reached = f"{kept.duration * 1e9:.4g} ns"
        raise Interrupted(
            f"{output} has the run up to {reached}: the same command with --resume {output} goes on"
        ) from None


# --- results ---------------------------------------------------------------------------------


def to_plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: NumPy as numbers and lists, NaN and ±∞ as null."""
    if value is None or (isinstance(value, bool | str | int) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Set):
        return sorted(to_plain(item) for item in value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def write_json(result: Mapping[str, Any]) -> None:
    """Write one JSON object and a newline to stdout."""
    # Built whole before the first byte: a value without a JSON form must not leave half an object.
    text = json.dumps(to_plain(result), indent=2, allow_nan=False)
    text = _LIST_OF_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def stdout_kept_for_json(as_json: bool) -> Iterator[None]:
    """Send to stderr what anybody writes to stdout meanwhile, C libraries such as ngspice too.

    Without ``--json`` nothing changes. Leave the context before :func:`write_json`.
    """
    if not as_json:
        yield
        return
    _flush_stdout()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush_stdout()  # what C buffered belongs to stderr too
        os.dup2(kept, 1)
        os.close(kept)


def _flush_stdout() -> None:
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


# --- text for people -------------------------------------------------------------------------


def results_console() -> Console:
    """Console on stdout. Names such as ``TERM[0:8]`` stay as they are: no markup, no colours."""
    return Console(markup=False, highlight=False, emoji=False)


def print_table(console: Console, table: Table) -> None:
    """A table as wide as its cells: numbers are never cut, whatever the terminal."""
    wide = Console(file=console.file, width=WIDEST, markup=False, highlight=False, emoji=False)
    wide.print(table, crop=False)


def messages_console() -> Console:
    """Console on stderr, for all that is not the result."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


# --- output paths ----------------------------------------------------------------------------


def check_output_folder(path: Path, *, overwrite: bool) -> Path:
    """Return ``path`` if it can be created or is an empty folder (or any, with ``overwrite``)."""
    if not path.is_dir():
        if path.exists():
            raise Error(f"output {path} is a file, not a folder: name another folder")
        return check_target(path)
    check_target(path / "run.h5", overwrite=True)
    if any(path.iterdir()) and not overwrite:
        raise Error(f"output folder {path} is not empty: give --overwrite or another folder")
    return path
