"""`--set` and `--technology`: the same on every command that has a technology."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import get_args

import pytest
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.circuits.quantities import written_number
from dsmachine.commands import COMMANDS, main
from dsmachine.commands._options import FORMS, technology_of

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


PLAIN = {"softmax_gain", "settle_bits", "lr", "clip"}  # neither shares nor physical quantities


def test_whatever_is_measured_takes_a_unit() -> None:
    """Every number of every command that is no count is a quantity, by the one parser of `--set`."""
    for command in COMMANDS:
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
            kind, *options = get_args(parameter.annotation) or (parameter.annotation,)
            if float in (kind, *get_args(kind)) and name not in PLAIN:
                [(unit, (_, example))] = [each for each in FORMS.items() if each[1][0] == options[0].metavar]
                assert example in options[0].help, (command.__name__, name)
                numbers = [options[0].parser(written) for written in example.split(" or ")]
                assert numbers[0] == numbers[-1], unit


@pytest.mark.parametrize(
    ("written", "unit", "number"),
    [
        ("10k", "Ω", 1e4), ("10 K", "Ω", 1e4), ("2meg", "Ω", 2e6), ("2MEG", "Ω", 2e6), ("2 megohms", "Ω", 2e6),
        ("49f", "F", 49e-15), ("0.2p", "F/m", 2e-13), ("3.5n", "V·m", 3.5e-9), ("5u", "A", 5e-6), ("5μ", "A", 5e-6),
        ("5m", "1", 5e-3), ("1G", "Hz", 1e9), ("300K", "K", 300.0), ("0.02m", "m", 0.02), ("49F", "F", 49.0),
    ],
)  # fmt: skip
def test_scales_as_in_spice(written: str, unit: str, number: float) -> None:
    """Letters that are the unit itself are no scale: kelvin, metre, farad."""
    assert written_number(written, "it", unit) == number


@pytest.mark.parametrize(("written", "unit"), [("2M", "Ω"), ("5m", "F/m"), ("5a", "A"), ("1mil", "m"), ("10k", None)])
def test_scales_that_could_be_something_else(written: str, unit: str | None) -> None:
    with pytest.raises(ds.Error, match=r"^it"):
        written_number(written, "it", unit)


@pytest.mark.parametrize(
    ("option", "written", "plain"),
    [
        ("--mismatch", "2%", "0.02"),
        ("--vt-mismatch", "0.5 %", "0.005"),
        ("--offset", "1e-1 %", "0.001"),
        ("--branch-offset", "2mV", "0.002"),
        ("--input-resistance", "0.02kΩ", "20"),
        ("--input-resistance", "20 ohm", "20"),
        ("--input-resistance", "0.02k", "20"),
        ("--branch-offset", "2m", "0.002"),
        ("--tolerance", "0.05%", "5e-4"),
        ("--noise", "1%", "0.01"),
        ("--trim", "write-verify=0.5%", "write-verify=0.005"),
    ],
)
def test_a_quantity_is_what_it_is_without_its_unit(
    option: str, written: str, plain: str, small: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def found(value: str) -> str:
        assert main(["-q", "anneal", small, "--prompt", PROMPT, "--timer-prompts", "0", "--json", option, value]) == 0
        return capfd.readouterr().out

    def numbers(text: str) -> dict[str, object]:
        return {name: value for name, value in json.loads(text).items() if name not in ("wall_s", "peak_rss_bytes")}

    assert numbers(found(written)) == numbers(found(plain))


@pytest.mark.parametrize(
    ("command", "given", "words"),
    [
        ("anneal", ["--mismatch", "10 mV"], ("'--mismatch'", "'10 mV'", "'mV'", "a plain number, or in %")),
        ("anneal", ["--branch-offset", "1 A"], ("'--branch-offset'", "'1 A'", "measured in V")),
        ("anneal", ["--mismatch", "much"], ("'--mismatch'", "'much' is no number", "0.02 or 2%")),
        ("anneal", ["--input-resistance", "1 kparsec"], ("'1 kparsec'", "Ω")),
        ("anneal", ["--noise", "1 V"], ("--noise", "'V'", "a plain number, or in %")),
        ("anneal", ["--trim", "auto-zero=1mV"], ("--trim 'auto-zero'", "'mV'", "a plain number, or in %")),
        ("anneal", ["--input-resistance", "1M"], ("'--input-resistance'", "'M'", "milli in SPICE", "write meg or m")),
        ("characterize", ["--width", "240m"], ("width is 240.0", "give metres")),
        ("characterize", ["--width", "240"], ("width is 240.0", "give metres")),
        ("characterize", ["--width", "240 mV"], ("'--width'", "'240 mV'", "measured in m")),
        ("characterize", ["--temperature", "27°C"], ("'--temperature'", "'°C'", "write 300.15 K")),
        ("crosscheck", ["--timeout", "2 V"], ("'--timeout'", "'2 V'", "measured in s")),
    ],
)
def test_quantities_of_another_kind_are_refused(
    command: str, given: list[str], words: tuple[str, ...], small: str, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    more = {"anneal": [small, "--prompt", PROMPT], "crosscheck": [small, "--block", "h.0"]}
    assert main([command, *more.get(command, ["-o", str(tmp_path / "card.h5")]), *given]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


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
        (["node.capacitence=49f"], ("'node.capacitence'", "did you mean 'node.capacitance'?")),
        (["node.capacitance"], ("'node.capacitance'", "KEY=VALUE")),
        (["=49f"], ("'=49f'", "KEY=VALUE")),
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
