"""dsmachine report: formats agree, run files join in, wrong requests are one line and exit 2."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from small_models import PROMPT, write_small

from dsmachine.commands import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An annealed small model."""
    folder = tmp_path_factory.mktemp("run")
    model = write_small(folder / "small")
    path = folder / "run.h5"
    assert main(["anneal", str(model), "--prompt", PROMPT, "--allow-saturation", "-o", str(path)]) == 0
    return path


def told(capsys: Capture, *arguments: str) -> str:
    assert main(["report", *arguments]) == 0
    return capsys.readouterr().out


def test_csv_is_long_form(capsys: Capture) -> None:
    text = told(capsys, "--tables", "3,7", "--format", "csv")
    header, *_ = text.splitlines()
    assert header == "table,model,system,task,quantity,unit,value,source,assumptions"
    found = list(csv.DictReader(io.StringIO(text)))
    assert {row["table"] for row in found} == {"3", "7"}
    assert {row["source"] for row in found} >= {"printed", "recomputed", "emulated"}
    cell = {"model": "GPT2", "system": "DS machine", "task": "MRPC", "quantity": "time", "source": "printed"}
    (row,) = [row for row in found if cell.items() <= row.items()]
    assert float(row["value"]) == 2.04e-3 and row["unit"] == "s"


def test_tables_for_people_have_the_same_values(capsys: Capture, tmp_path: Path) -> None:
    text = told(capsys, "--tables", "2,4")
    assert "## Table 2." in text and "## Table 4." in text and "one pass over the training samples" in text
    assert "| Llama2-7B | DS machine | printed | 30,300 | 4.04e+10 |" in text
    assert "not counted: " in text
    latex = told(capsys, "--tables", "3", "--format", "latex")
    assert latex.isascii() and latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert not re.search(r"(?<!\\)[#_^~]", re.sub(r"^%.*$", "", latex, flags=re.M))
    assert main(["report", "--format", "html", "-o", str(tmp_path / "r.html"), "--pictures", str(tmp_path / "p")]) == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img ") == 3 and "How the rule was found" in page
    names = {"energy_by_part.png", "latency_by_stage.png", "joules_and_seconds.png"}
    assert {path.name for path in (tmp_path / "p").iterdir()} == names


def test_a_run_file_joins_in(capsys: Capture, run_file: Path) -> None:
    found = list(
        csv.DictReader(io.StringIO(told(capsys, "--tables", "3,7", "--format", "csv", "--runs", str(run_file))))
    )
    own = [row for row in found if row["model"] == "small"]
    assert {row["source"] for row in own} == {"emulated"} and {row["table"] for row in own} == {"3", "7"}
    assert "4 tokens of a prompt" in own[0]["assumptions"] and "ideal chip" in own[0]["assumptions"]


def test_a_training_file_joins_in(capsys: Capture, tmp_path: Path) -> None:
    model, path = write_small(tmp_path / "small"), tmp_path / "training.h5"
    (tmp_path / "text.txt").write_text("abcde" * 26)
    options = ["--steps", "1", "--batch", "2", "-o", str(path)]
    assert main(["-q", "train", str(model), "--data", str(tmp_path / "text.txt"), *options]) == 0
    capsys.readouterr()
    found = list(csv.DictReader(io.StringIO(told(capsys, "--tables", "2", "--format", "csv", "--runs", str(path)))))
    own = {row["quantity"]: row for row in found if row["model"] == "small"}
    assert float(own["time a sample"]["value"]) > 0 and float(own["energy a sample"]["value"]) > 0
    assert "first sample of small" in own["time a sample"]["assumptions"]
    assert main(["-q", "train", str(model), "--data", str(tmp_path / "text.txt"), *options[:4], "--no-energy",
                 "-o", str(tmp_path / "bare.h5")]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["report", "--runs", str(tmp_path / "bare.h5")]) == 2
    assert "train without --no-energy" in capsys.readouterr().err


def test_machines_are_put_on_chips(capsys: Capture, run_file: Path) -> None:
    arguments = ["--tables", "7", "--model", "GPT2", "--format", "csv", "--machine", "ds-tpu"]
    found = list(csv.DictReader(io.StringIO(told(capsys, *arguments))))
    here = {
        row["system"]: row for row in found if row["quantity"] == "time to first token" and row["source"] == "emulated"
    }
    (chips,) = [name for name in here if name.endswith("× ds-tpu")]
    assert float(here[chips]["value"]) > float(here["emulated machine"]["value"])
    items = {(row["quantity"], row["unit"]): row for row in found if row["system"] == chips}
    assert float(items["of it transfer", "s"]["value"]) > 0 and float(items["of it transfer", "J"]["value"]) > 0
    assert "package, cooling" in items["of it transfer", "J"]["assumptions"]
    own = told(capsys, "--tables", "7", "--machine", "wafer", "--runs", str(run_file), "--format", "csv")
    assert 'small,"emulated machine, 1 × wafer"' in own


def broken(folder: Path) -> dict[str, Path]:
    files = {name: folder / name for name in ("none.h5", "text.h5", "none.json", "broken.json", "other.json")}
    files["text.h5"].write_text("no run")
    files["broken.json"].write_text("{")
    row = '{"model": "gpt9", "tokens": 8, "batch": 1, "seconds_per_token": 1e-3}'
    files["other.json"].write_text('{"device": "GPU", "rows": [' + row + "]}")
    return files


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda f, run: ["--tables", "9"], "table '9' is not reported"),
        (lambda f, run: ["--format", "pdf"], "format 'pdf' is unknown"),
        (lambda f, run: ["--model", "gpt5"], "model 'gpt5' is not in the paper's tables"),
        (lambda f, run: ["--model", "GPT2", "--runs", run], "is of small, not of GPT2"),
        (lambda f, run: ["--runs", str(f["none.h5"])], "does not exist"),
        (lambda f, run: ["--runs", str(f["text.h5"])], "is not HDF5"),
        (lambda f, run: ["--baseline", str(f["none.json"])], "does not exist: measure one with dsmachine baseline"),
        (lambda f, run: ["--baseline", str(f["broken.json"])], "is no JSON"),
        (lambda f, run: ["--baseline", str(f["other.json"])], "is of gpt9, none of gpt2, gpt2-medium"),
        (lambda f, run: ["-o", run], "exists"),
        (lambda f, run: ["--machine", "dstpu"], "machine 'dstpu' is unknown"),
        (lambda f, run: ["--chips", "4"], "--chips 4 would be ignored: say of which --machine"),
    ],
)
def test_wrong_requests_are_one_line(
    capsys: Capture, tmp_path: Path, run_file: Path, arguments: Callable[..., list[str]], said: str
) -> None:
    assert main(["report", *arguments(broken(tmp_path), str(run_file))]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and said in err and err.count("\n") == 1
