"""``dsmachine calibrate``: how a model fits its volts, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_models import write_small

from dsmachine.commands import main


@pytest.fixture
def small(tmp_path: Path) -> str:
    return str(write_small(tmp_path / "small"))


def test_text_has_a_row_a_kind_and_the_worst(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", small, "--positions", "4", "--windows", "3"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for word in ("attn.prob", "mlp.act", "logits", "on the way", "range use", "3 of 4 tokens", "lost bits", "products"):
        assert word in out


def test_json_has_every_array_and_device(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", small, "--positions", "4", "--no-noise", "--no-transient", "--json"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert err == "" and (found["positions"], found["windows"]) == (4, 8)
    names = [a["name"] for a in found["arrays"]]
    assert "h.0.attn.score" in names and "embed" not in names
    assert found["all"]["nodes"] == sum(a["nodes"] for a in found["arrays"])
    assert found["all"]["quiet"] is None and found["all"]["on_the_way"] is None
    assert {d["kind"] for d in found["devices"]} == {"coupling", "product"}
    assert found["strongest"]["product"]["of_node"] > 0


def test_options_of_the_mapping_and_errors(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", small, "--positions", "3", "--softmax", "taylor", "--allow-unstable", "--no-noise"]) == 0
    assert "attn.expsum" in capfd.readouterr().out
    assert main(["calibrate", small, "--windows", "0"]) == 2
    assert capfd.readouterr().err.startswith("error: windows")
