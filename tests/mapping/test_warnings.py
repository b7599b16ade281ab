"""What the mapping says before anything runs: attention that divides by nothing, nodes beyond the device."""

from __future__ import annotations

from typing import Any

import pytest

import dsmachine as ds
from dsmachine.circuits.technology import load_technology
from dsmachine.commands import main

MODEL = "tiny-shakespeare"
TAYLOR: dict[str, Any] = {"softmax": "taylor", "order": 3}


def said(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and part in r.getMessage()]


def test_taylor_without_positive_sums_is_refused_unless_allowed(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ds.Error, match=r"Σe falls to .*allow it \(allow_unstable\)"):
        ds.map_model(MODEL, 8, **TAYLOR)
    circuit = ds.map_model(MODEL, 8, **TAYLOR, allow_unstable=True)
    assert circuit.notes["softmax"] == "taylor 3"
    [line] = said(caplog, "Σe falls to")
    assert "Taylor-3 attention: Σe falls to -" in line and "settle to something else" in line


def test_anneal_may_be_told_to_go_on(caplog: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {**TAYLOR, "timer_prompts": 0, "allow_saturation": True}
    with pytest.raises(ds.Error, match="Σe falls to"):
        ds.anneal(MODEL, "But soft", **options)
    found = ds.anneal(MODEL, "But soft", **options, allow_unstable=True)
    assert found.logit_error > 0.1
    assert len(said(caplog, "Σe falls to")) == 1


def test_the_series_it_was_trained_with_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    ds.map_model("tiny-shakespeare-taylor3", 8, allow_unstable=True)
    assert not said(caplog, "Σe")


def test_the_command_line_shows_the_warning(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["info", MODEL, "--positions", "8", "--softmax", "taylor"]
    assert main(arguments) == 2
    assert capfd.readouterr().err.startswith("error: Taylor-3 attention: Σe falls to")
    assert main([*arguments, "--allow-unstable"]) == 0
    assert capfd.readouterr().err.startswith("warning: Taylor-3 attention: Σe falls to")


def test_nodes_that_lose_bits_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    ds.map_model(MODEL, 4)
    assert not caplog.records
    weak = load_technology(overrides={"coupling.g_max": 30e-6})
    circuit = ds.map_model(MODEL, 4, technology=weak)
    lost = circuit.notes["lost_bits"]
    worst = max(lost, key=lost.__getitem__)
    assert lost[worst] > 1.05
    [line] = said(caplog, "of its swing")
    many = sum(bits >= 1.05 for bits in lost.values())
    assert f"{worst!r} loses {lost[worst]:.1f} bits of its swing (arrays that lose more than one: {many})" in line
    assert "coupling.g_max, 30 µS" in line
