"""``dsmachine place``: text, JSON, overrides and one-line errors."""

from __future__ import annotations

import json

import pytest

import dsmachine as ds
from dsmachine.commands import main
from dsmachine.commands._common import to_plain


def test_json_is_the_placement(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["place", "tiny-shakespeare", "--machine", "brim", "--tokens", "8", "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert json.loads(out) == to_plain(ds.place("tiny-shakespeare", "brim", tokens=8))


def test_text_says_what_it_takes(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["place", "gpt2", "--mode", "serial", "--chips", "64", "--tokens", "16"]) == 0
    out = capfd.readouterr().out
    for word in ("nodes", "couplings", "silicon", "chips", "passes", "power", "each token", "transfer", "Not counted"):
        assert word in out


def test_numbers_of_machine_and_technology_can_be_set(capfd: pytest.CaptureFixture[str]) -> None:
    def found(*more: str) -> dict[str, float]:
        assert main(["place", "tiny-shakespeare", "--tokens", "8", "--json", *more]) == 0
        result = json.loads(capfd.readouterr().out)
        assert isinstance(result, dict)
        return result

    plain = found()
    assert found("--set", "chip.nodes=1000")["needed"] == pytest.approx(2 * plain["needed"], abs=2)
    assert found("--set", "node.area=60 µm²")["silicon_m2"] > plain["silicon_m2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gpt2", "--machine", "abacus"], "machine 'abacus' is unknown: use brim or ds-gl or ds-tpu or wafer"),
        (["gpt5"], "model 'gpt5' is neither a folder, a GGUF file nor a known name"),
        (["gpt2", "--tokens", "2048"], "tokens is 2048: use a whole number, 1 … 1024, the context of gpt2"),
        (["gpt2", "--tokens", "2", "--chips", "3", "--no-passes"], "are there"),
        (["gpt2", "--set", "chip.node=3"], "'chip.node' is no key of machine 'ds-tpu': did you mean 'chip.nodes'?"),
        (["gpt2", "--set", "nodes.area=3"], "'nodes.area' is no key of technology 'cmos45'"),
        (["gpt2", "--tokens", "64", "--set", "chip.nodes=40"], "24 too few: take fewer tokens"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["place", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
