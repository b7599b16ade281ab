"""``dsmachine baseline``: rows of a small model on the processor, and what stands in its way elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hf_models import make, write
from small_models import write_small

from dsmachine.commands import main

QUICK = ("--device", "cpu", "--tokens", "4", "--seconds", "0.01")


def test_rows_are_steps_shared_by_their_tokens(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    folder, output = write(tmp_path / "llama", make("llama")), tmp_path / "baseline.json"
    capfd.readouterr()
    assert main(["baseline", str(folder), *QUICK, "--batch", "3", "-o", str(output)]) == 0
    found = json.loads(output.read_text())
    assert found["device"] and {"dsmachine", "torch", "transformers"} <= set(found["versions"])
    assert found["idle_watts"] is None and "none" in found["energy_source"]
    assert [(row["phase"], row["tokens"], row["batch"]) for row in found["rows"]] == [
        ("prefill", 4, 3),
        ("decode", 4, 3),
    ]
    for row, answered in zip(found["rows"], (12, 3), strict=True):
        assert row["model"] == "llama" and row["weights"] == "its own" and row["precision"] == "float32"
        assert row["seconds_per_token"] == pytest.approx(row["step_seconds"] / answered)
        assert row["joules_per_token"] is None and row["launch"] == "eager"
    assert main(["baseline", str(folder), *QUICK, "-o", str(output)]) == 2
    assert "already exists" in capfd.readouterr().err


def test_json_on_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    (write_small(tmp_path / "small") / "model.safetensors").unlink()  # sizes are enough
    assert main(["baseline", str(tmp_path / "small"), *QUICK, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [row["batch"] for row in found["rows"]] == [1, 1, 8, 8]
    assert found["rows"][0]["weights"].startswith("random")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gpt2", "--device", "tpu"], "device 'tpu' is unknown: use cuda"),
        (["gpt2", "--device", "cpu", "--precision", "int4"], "precision 'int4' is unknown"),
        (["gpt2", "--device", "cpu", "--tokens", "1024"], "gpt2 takes 1024 tokens, 1024 and one more"),
        (["gpt3", "--device", "cpu"], "neither a folder, a GGUF file nor a known name"),
        (["gpt2", "--device", "cuda:99"], "PyTorch finds"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    assert main(["baseline", *arguments]) == 2
    err = capfd.readouterr().err
    assert said in err and err.count("\n") == 1
