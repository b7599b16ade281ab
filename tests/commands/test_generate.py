"""``dsmachine generate``: text, JSON, refusals."""

from __future__ import annotations

import json

import pytest

from dsmachine.commands import main

PROMPT = "But"


def test_text_and_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "tiny-shakespeare", "--prompt", PROMPT, "--max-new-tokens", "2", "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    found = json.loads(out)
    assert set(found) == {
        "model", "prompt", "text", "hold", "basis", "technology", "machine_time_s", "energy_j", "agreement", "tokens",
        "excluded", "prompt_tokens",
    }  # fmt: skip
    assert found["prompt_tokens"] == len(PROMPT)
    assert len(found["text"]) == 2 and len(found["tokens"]) == len(PROMPT)
    assert found["machine_time_s"] == pytest.approx(sum(token["seconds"] for token in found["tokens"]))
    assert main(["generate", "tiny-shakespeare", "--prompt", PROMPT, "--max-new-tokens", "2", "--hold", "ideal"]) == 0
    said = capfd.readouterr().out
    assert f"{PROMPT}{found['text']}" in said and "ideal switches" in said
    assert all(words in said and words in " ".join(found["excluded"]) for words in ("IR drop", "first token"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", "B"], "prompt has 1 token"),
        (["--prompt", PROMPT, "--hold", "tight"], "hold 'tight' is unknown"),
        (["--prompt", PROMPT, "--max-new-tokens", "500"], "max_new_tokens is 500"),
    ],
)
def test_refusals(arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "tiny-shakespeare", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and words in err and err.count("\n") == 1
