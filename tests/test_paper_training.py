"""The paper's experiments on training: the original against the digital reference, data, runs that are found again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hf_models
import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.reference import forward
from dsmachine.training import Course
from dsmachine.training_data import read_lessons

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SNIPPETS = "1\t2.3\tA joy (from 1 to 9).\r\n2\t-1.5\tDull & long.\r\n3\t0\tIt is a film.\r\n"


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """benchmarks/paper, with its results in a folder of the test's own."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in [n for n in sys.modules if n == "common" or n.split(".")[0] == "paper"]:
        monkeypatch.delitem(sys.modules, name)
    import common  # type: ignore[import-not-found, unused-ignore]
    import paper  # type: ignore[import-not-found, unused-ignore]
    from paper import bench, data, offline, table1  # type: ignore[import-not-found, unused-ignore]

    for module in (common, bench):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(data, "CACHE", tmp_path)
    paper.bench, paper.data, paper.offline, paper.table1 = bench, data, offline, table1
    return paper


@pytest.mark.parametrize(
    ("name", "order", "options"),
    [
        ("tiny-shakespeare", None, {"softmax": "exact"}),
        ("tiny-shakespeare-taylor3", 3, {"softmax": "taylor", "order": 3}),
    ],
)
def test_the_original_is_the_digital_reference(paper: Any, name: str, order: int | None, options: Any) -> None:
    import torch

    model = ds.load_model(name)
    tokens = np.array(model.encode("To be, or not to be"))[None]
    logits = paper.offline.begun(model, order).logits(torch.tensor(tokens), confined=False)[0].numpy()
    np.testing.assert_allclose(logits, forward(model, tokens, **options)["logits"], atol=2e-4)


def test_the_original_of_a_llama_model_is_the_digital_reference(paper: Any, tmp_path: Path) -> None:
    import torch

    model = ds.load_model(hf_models.write(tmp_path, hf_models.make("llama")))
    tokens = hf_models.some_tokens(12)[None]
    logits = paper.offline.begun_llama(model, "cpu").logits(torch.tensor(tokens), confined=False)[0]
    np.testing.assert_allclose(logits.numpy(force=True), forward(model, tokens)["logits"], atol=2e-5)


def test_snippets_leave_room_for_the_prompt(paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "snippets.txt", ds.load_model("tiny-shakespeare")
    path.write_text("1\t2.3\tA joy from the first to the last.\r\n2\t-1.5\tDull.\r\n")
    monkeypatch.setattr(paper.data, "MOST_HELD_OUT", 1)
    files = paper.data.prompted(paper.bench.Bench(snippets=path), model, " It is", 16, 1)
    found = {tuple(f.read_text().split("\n")[1].split("\t")) for f in (files.learnt, files.held_out)}
    assert found == {("A joy from It is", "1"), ("Dull. It is", "0")}


def test_the_original_learns_and_is_kept(paper: Any, tmp_path: Path) -> None:
    model, text = ds.load_model("tiny-shakespeare"), tmp_path / "text.txt"
    text.write_text("A film is a film is a film. " * 12)
    lessons = read_lessons(model, "text", text, 16)
    tuned, curve = paper.offline.begun(model).tuned(Course(lessons, lessons, 4, 20, 0), 2e-3)
    assert curve["loss"][-1] < 0.5 * paper.offline.begun(model).read(lessons)["loss"]
    found = paper.table1.at_rest(paper.bench.Bench(), tuned.kept, lessons, 0, {})
    assert found["loss"] == pytest.approx(tuned.read(lessons)["loss"], abs=1e-3)


def test_snippets_are_labelled_by_their_ratings(paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snippets.txt"
    path.write_text(SNIPPETS)
    monkeypatch.setattr(paper.data, "MOST_HELD_OUT", 1)
    files = paper.data.sentences(paper.bench.Bench(snippets=path), 12, 1)
    lines = {line for file in (files.learnt, files.held_out) for line in file.read_text().split("\n")[1:] if line}
    assert lines == {"A joy ,from]\t1", "Dull  long.]\t0"}


def test_runs_are_found_again(paper: Any, tmp_path: Path) -> None:
    sizes = paper.bench.Sizes(8, 2, 5, 4)
    paper.bench.Runs("thing", fresh=False).run({"sigma": 0.1}, sizes, lambda: {"loss": [2.0, 1.0]})
    again = paper.bench.Runs("thing", fresh=False)
    assert again.run({"sigma": 0.1}, sizes, lambda: pytest.fail("computed again"))["loss"] == [2.0, 1.0]
    again.write([{"σ": 0.1}])
    assert again.run({"sigma": 0.2}, sizes, lambda: {"loss": [3.0, 2.0]})["loss"] == [3.0, 2.0]
    assert "0.1" in (tmp_path / "thing.md").read_text()
    assert paper.bench.told([1.0, 2.0, 3.0]) == "2 ± 1" and paper.bench.percent([0.5, 0.5]) == "50.0 ± 0.0"


def test_sizes_that_are_given_have_a_file_of_their_own(paper: Any, tmp_path: Path) -> None:
    """Rows of an experiment's own sizes stay."""
    bench = paper.bench.Bench(given={"steps": 2, "seeds": 1})
    runs = bench.runs("thing")
    runs.run({}, paper.bench.Sizes(8, 2, 2, 4), lambda: {"loss": 1.0})
    runs.write([{"σ": 0.1}])
    assert {path.name for path in tmp_path.iterdir()} == {"paper_thing_steps_2.json", "paper_thing_steps_2.md"}
    assert bench.runs("thing").kept and not paper.bench.Bench(given={"seeds": 1}).runs("thing").kept
