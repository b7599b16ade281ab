"""docs/claims.md is what tools/claims.py makes of the results as they are now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_is_as_new_as_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import claims

    try:
        found = list(claims.findings())
        assert claims.page() == claims.PAGE.read_text(encoding="utf-8"), "run python tools/claims.py --write"
    finally:
        for name in ("claims", "claims_energy", "finding"):
            sys.modules.pop(name, None)
    assert {finding.verdict for finding in found} == {claims.YES, claims.IF, claims.NO, claims.LATER}
    for finding in found:
        for word in finding.command.split():
            if word.startswith(("tests/", "benchmarks/", "tools/")):
                assert (ROOT / word.rstrip(";")).exists(), word
