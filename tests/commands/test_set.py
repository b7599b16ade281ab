"""`--set` and `--technology`: the same on every command that has a technology."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.commands import COMMANDS, main
from dsmachine.commands._options import technology_of

FARADS = 98e-15


@pytest.fixture
def small(tmp_path: Path) -> str:
    return str(write_small(tmp_path / "small"))


def test_whoever_takes_a_technology_takes_its_numbers() -> None:
    for command in COMMANDS:
        names = set(inspect.signature(command).parameters)
        assert "technology" not in names or "settings" in names, command.__name__


def test_an_anneal_of_changed_numbers_is_the_calls(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Twice the node's capacitor: later, and as late as the Python call says."""

    def found(*more: str) -> dict[str, dict[str, float]]:
        assert main(["anneal", small, "--prompt", PROMPT, "--timer-prompts", "0", "--json", *more]) == 0
        result = json.loads(capfd.readouterr().out)
        assert isinstance(result, dict)
        return result

    tech = ds.load_technology(overrides={"node.capacitance": FARADS})
    called = ds.anneal(small, PROMPT, technology=tech, timer_prompts=0)
    said = found("--set", "node.capacitance=98 fF")
    assert said["settling_time_s"]["oracle"] == called.oracle_time
    assert said["energy_j"]["total"] == called.energy.total.mean()
    assert said["settling_time_s"]["oracle"] > 1.5 * found()["settling_time_s"]["oracle"]


@pytest.mark.parametrize("command", ["info", "calibrate", "netlist", "crosscheck", "generate", "train"])
def test_other_commands_take_it_too(
    command: str, small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A node too weak for its weights is refused by whatever maps a model."""
    text = tmp_path / "text.txt"
    text.write_text("abcdefghijkl" * 30)
    more = {
        "info": ["--positions", "4"], "calibrate": ["--positions", "4"],
        "generate": ["--prompt", PROMPT, "--max-new-tokens", "2"],
        "netlist": ["--block", "h.0", "-o", str(tmp_path / "part.cir")], "crosscheck": ["--block", "h.0"],
        "train": ["--data", str(text), "--positions", "4"],
    }  # fmt: skip
    assert main([command, small, *more[command], "--set", "coupling.g_max=1e-9"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.splitlines()[-1].startswith("error: ") and "device" in err


def test_overlays_are_those_of_a_sweep() -> None:
    """corner, temperature and vdd scale what depends on them; numbers are taken as they are."""
    found = technology_of("cmos45", ["corner=SS", "vdd=900mV", "temperature=350", "node.capacitance=98 fF"])
    expected = ds.load_technology(corner="SS", vdd=0.9, temperature=350.0, overrides={"node.capacitance": FARADS})
    assert found == expected
    assert technology_of("cmos45", None) == ds.load_technology()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["node.capacity=1"], ("'node.capacity'", "did you mean 'node.capacitance'?")),
        (["node.capacitance"], ("'node.capacitance'", "KEY=VALUE")),
        (["node.capacitance=1 parsec"], ("parsec",)),
        (["node.capacitance=-1"], ("'node.capacitance'", "-1")),
        (["vdd=1", "vdd=0.9"], ("'vdd' twice",)),
        (["temperature=27"], ("temperature is 27.0 K", "200 … 450 K")),
        (["temperature=27°C"], ("'°C'", "write 300.15 K")),
        (["node.capacitance=100fS"], ("'fS'", "measured in F")),
        (["temperature=27 °C"], ("'temperature'", "'°C'", "write 300.15 K")),
        (["vdd=2 A"], ("'vdd'", "'A'", "measured in V")),
        (["coupling.width=240 V"], ("'coupling.width'", "measured in m")),
        (["vdd=0.9", "supply.vdd=1.1"], ("'vdd' 0.9", "'supply.vdd' 1.1")),
        (["corner=SS", "corner=FF"], ("'corner' twice",)),
        (["corner=XX"], ("'XX'", "SS")),
    ],
)
def test_what_is_refused(
    given: list[str], words: tuple[str, ...], small: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = [word for text in given for word in ("--set", text)]
    assert main(["anneal", small, "--prompt", PROMPT, *options]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err
