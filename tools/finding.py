"""A claim of the paper and what is found of it; where its facts are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
YES, IF, NO, LATER = "reproduced", "with a condition", "not reproduced", "not emulated yet"


@dataclass(frozen=True)
class Finding:
    """where: section of the paper; claim: in our words; verdict: one of the four above; found: facts."""

    where: str
    claim: str
    verdict: str
    found: str
    command: str


def result(name: str) -> list[dict[str, Any]]:
    """Rows of a result file."""
    rows: list[dict[str, Any]] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["rows"]
    return rows
