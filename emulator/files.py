"""Writing a file whole: whoever is killed half-way leaves the old file or the new one, never a part of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..circuits import checks
from ..circuits.errors import Error


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """`path`, if a file can be written there; asked before any work is done.

    Raises Error for a folder, an existing file without `overwrite`, and a folder that is missing or takes no file
    (tried, not asked: permissions say nothing to root, and nothing about a read-only disk).
    """
    target = checks.path("output", path)
    try:
        if target.is_dir():
            raise Error(f"output {path} is a folder: name a file in it")
        if target.exists() and not target.is_file():
            raise Error(f"output {path} is not a regular file: name another file")
        if target.exists() and not overwrite:
            raise _taken(path)
        if not target.parent.is_dir():
            what = "is a file, not a folder" if target.parent.exists() else "does not exist"
            raise Error(f"output {path}: folder {target.parent} {what}: create it or name another")
        part = _part(target)
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY))
        part.unlink()
    except (OSError, ValueError) as problem:
        raise _unwritable(path, problem) from problem
    return target


@contextlib.contextmanager
def written_whole(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A path to write to; at the end it is flushed to disk and takes the name `path` in one step.

    Raises Error where `check_target` does, and when writing fails; nothing is left behind then.
    """
    target = check_target(path, overwrite=overwrite)
    part = _part(target)
    try:
        yield part
        _flush(part)
        _take_name(part, target.resolve(), overwrite)
        _flush(part.parent)
    except FileExistsError as problem:
        raise _taken(path) from problem
    except OSError as problem:
        raise _unwritable(path, problem) from problem
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> None:
    """Write a text file whole, as UTF-8."""
    with written_whole(path, overwrite=overwrite) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _part(target: Path) -> Path:
    """Temporary name in the same folder; a link keeps pointing, what it points to is replaced."""
    real = target.resolve()
    return real.with_name(f".part-{os.getpid()}-{real.name[-100:]}")


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_name(part: Path, target: Path, overwrite: bool) -> None:
    """Give `part` its final name in one step. Without `overwrite` a file that came meanwhile is kept."""
    if overwrite:
        os.replace(part, target)
        return
    try:
        os.link(part, target)  # unlike replace, refuses an existing name; `part` goes in the end
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.replace(part, target)


def _taken(path: str | Path) -> Error:
    return Error(f"output {path} already exists: pass overwrite=True (--overwrite) or name another file")


def _unwritable(path: str | Path, problem: Exception) -> Error:
    number = getattr(problem, "errno", None)
    reason = os.strerror(number) if number else (str(problem).splitlines() or ["writing failed"])[0]
    return Error(f"output {path} cannot be written ({reason}): name another path")


__all__ = ["check_target", "write_text", "written_whole"]
