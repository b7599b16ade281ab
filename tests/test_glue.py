"""GLUE's sentences through a small classifier: what is read, what is right by counting, what is refused."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gpt2_folders import SHAPES, config_table
from small_models import write_small

import dsmachine as ds
from dsmachine.circuits.checkpoints import Model
from dsmachine.circuits.reference import forward
from dsmachine.commands import main
from dsmachine.glue import accuracies, read_glue

CONFIG = replace(SHAPES[0], labels=2)
HEADS = {
    "MRPC": "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "RTE": "index\tsentence1\tsentence2\tlabel",
    "SST-2": "sentence\tlabel",
}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_small(tmp_path_factory.mktemp("classifier") / "small", config=CONFIG)
    table = config_table(CONFIG) | {"architectures": ["GPT2ForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(table | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    return folder


def write_glue(folder: Path, model: Model, flip: int = 0) -> Path:
    """Made-up sentences labelled as the digital reference has them, but for the first `flip` of each task."""
    rng = np.random.default_rng(3)
    for name, head in HEADS.items():
        lines = [head]
        for k in range(6):
            words = ["".join(rng.choice(list("abcdefghijkl"), n)) for n in rng.integers(2, 5, 2)]
            text = words[0] if name == "SST-2" else "".join(words)
            told = int(forward(model, model.tokenize(text)[:8])["logits"][-1].argmax())
            label = told ^ (k < flip)
            lines.append(
                {
                    "MRPC": f"{label}\t1\t2\t{words[0]}\t{words[1]}",
                    "RTE": f"{k}\t{words[0]}\t{words[1]}\t{('entailment', 'not_entailment')[label]}",
                    "SST-2": f"{words[0]}\t{label}",
                }[name]
            )
        (folder / name).mkdir(parents=True)
        (folder / name / "dev.tsv").write_text("\n".join(lines) + "\n")
    return folder


def test_accuracies_are_what_counting_gives(classifier: Path, tmp_path: Path) -> None:
    model = ds.load_model(classifier)
    tasks = read_glue(write_glue(tmp_path / "glue", model, flip=2))
    assert set(tasks) == {"MRPC", "RTE", "SST2"} and all(len(samples) == 6 for samples in tasks.values())
    for told in accuracies(model, tasks, positions=8):
        assert told.samples == 6 and told.reference == pytest.approx(4 / 6)
        assert told.agree == 1 and told.machine == told.reference


def test_the_command_tells_them(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    glue = write_glue(tmp_path / "glue", ds.load_model(classifier))
    command = ["report", "--reproduce", "table1", "--model", str(classifier), "--glue", str(glue), "--positions", "8"]
    assert main([*command, "--samples", "3", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["task"], row["system"], float(row["value"])) for row in rows[:2]] == [
        ("MRPC", "original model", 100),
        ("MRPC", "emulated machine", 100),
    ]
    assert {row["source"] for row in rows} == {"recomputed", "emulated"} and "3 samples" in rows[0]["assumptions"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sentence\tlabel\n", "has no sentences"),
        ("sentence\tright\nab\t1\n", "no column 'label'"),
        ("sentence\tlabel\nab\t2\n", "label '2' is none of 0, 1"),
        ("sentence\tlabel\nab\n", "line 2, has 1 of 2 columns"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "SST-2" / "dev.tsv").write_text(text)
    with pytest.raises(ds.Error, match=said):
        read_glue(tmp_path)


def test_wrong_requests_are_one_line(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    glue = write_glue(tmp_path / "glue", ds.load_model(classifier))
    model = ["--model", str(classifier)]
    for arguments, said in (
        (["--reproduce", "table9", *model, "--glue", str(glue)], "'table9' is not reproduced"),
        (["--reproduce", "table1", *model], "give --model DIR --glue DIR"),
        (["--reproduce", "table1", *model, "--glue", str(tmp_path)], "has none of MRPC/dev.tsv"),
        (["--reproduce", "table1", "--model", "tiny-shakespeare", "--glue", str(glue)], "has no score matrix"),
        (["--reproduce", "table1", *model, "--glue", str(glue), "--positions", "99"], "use 1 … 8"),
    ):
        assert main(["report", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and said in err and err.count("\n") == 1
