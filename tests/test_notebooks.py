"""Notebooks are committed with what they show, and run from top to bottom, small.

A cell whose metadata have `small`, lines of code, is followed by them here: fewer steps, shorter texts.
"""

import base64
import shutil
from pathlib import Path
from typing import Any

import matplotlib.font_manager  # noqa: F401  makes the list of fonts, which a kernel would tell on stderr
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MOST_BYTES = 600_000
MOST_BYTES_OF_A_PICTURE = 100_000
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path: Path) -> Any:
    """A notebook of the format's version 4; raises if it is not valid."""
    notebook = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def outputs(notebook: Any) -> list[Any]:
    """What all code cells show, in order."""
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook: Any) -> list[bytes]:
    """The figures it shows, PNG."""
    shown = (output.get("data", {}).get("image/png") for output in outputs(notebook))
    return [base64.b64decode(picture) for picture in shown if picture]


def shrunk(notebook: Any) -> Any:
    """A notebook without what it showed, of the size that is run here."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
        cells.append(cell)
        if "small" in cell.metadata:
            cells.append(nbformat.v4.new_code_cell("\n".join(cell.metadata["small"])))
    notebook.cells = cells
    return notebook


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@each
def test_committed_with_its_outputs(path: Path) -> None:
    notebook = load(path)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run all cells in order before committing"
    assert pictures(notebook)
    assert all(len(picture) <= MOST_BYTES_OF_A_PICTURE for picture in pictures(notebook))
    assert all(o.output_type != "error" and o.get("name") != "stderr" for o in outputs(notebook))
    text = path.read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    for place in ("/home/", "/tmp/", "/root/", "/Users/", f"{Path(__file__).parents[1]}/"):
        assert place not in text, "a path of somebody's machine"


@each
@pytest.mark.slow
def test_runs(path: Path, tmp_path: Path) -> None:
    if shutil.which("ngspice") is None and any("ngspice" in cell.source for cell in load(path).cells):
        pytest.skip("NGSPICE IS MISSING: apt-get install ngspice")
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    committed, fresh = load(path), shrunk(load(copy))
    client = NotebookClient(fresh, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises on the first cell that does
    assert len(pictures(fresh)) == len(pictures(committed))
    assert not [o for o in outputs(fresh) if o.get("name") == "stderr"]
