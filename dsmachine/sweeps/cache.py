"""Results by content: a key says what was measured, so whoever measures the same again finds it.

One SQLite file. A result is on disk before the next is waited for, so a killed sweep has all that was finished; only
the process that runs a sweep writes, and several may share the file.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..circuits import checks
from ..circuits.errors import Error

TABLE = "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, found TEXT NOT NULL) WITHOUT ROWID"
APPLICATION = 0x64736D73  # so that other people's databases are not written to
PATIENCE = 60.0  # seconds that another sweep may hold the file
AT_A_TIME = 500


def cache_path() -> Path:
    """The user's: $XDG_CACHE_HOME/dsmachine/sweeps.sqlite, by default under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "dsmachine" / "sweeps.sqlite"


class Cache:
    """Metrics by key. Opened and closed by each call but for `writing`, so nothing is held while jobs run."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = cache_path() if path is None else checks.path("cache", path)
        with _named(self.path):
            if path is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                (found,) = database.execute("PRAGMA application_id").fetchone()
                (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if found != APPLICATION and tables:
                    raise Error(f"cache {self.path} is a database of something else: name another file")
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                database.execute(TABLE)

    def found(self, keys: Iterable[str]) -> dict[str, dict[str, float]]:
        """What is known of the keys."""
        wanted, known = list(keys), {}
        with _named(self.path), closing(self._open()) as database:
            for k in range(0, len(wanted), AT_A_TIME):
                some = wanted[k : k + AT_A_TIME]
                marks = ",".join("?" * len(some))
                for key, text in database.execute(f"SELECT key, found FROM results WHERE key IN ({marks})", some):
                    known[key] = json.loads(text)
        return known

    def put(self, key: str, found: dict[str, float]) -> None:
        """Keep a result: on disk when this returns."""
        with _named(self.path), closing(self._open()) as database, database:
            database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, json.dumps(found)))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=PATIENCE)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """SQLite's complaints in one line that names the file."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as problem:
        reason = " ".join(str(problem).splitlines()) or type(problem).__name__
        raise Error(f"cache {path} cannot be used ({reason}): name another file, or remove it") from problem
