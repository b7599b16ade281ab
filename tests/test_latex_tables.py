"""LaTeX of the report: balanced, escaped, every row as wide as its columns; and compiled where there is a compiler."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dsmachine.energy.published import published
from dsmachine.energy.rows import EMULATED, Inputs, Row
from dsmachine.energy.systems import learners_of_shapes, load_baseline, machines_of_shapes
from dsmachine.energy.tables import rows
from dsmachine.tables_report import as_latex, layouts

NASTY = r"a_b & 100% of {x}^2 #1 $5 ~ \end{table} µΩτΣ²±−°×·– é 中"


def report() -> str:
    """All tables, and a run whose name is made to break them."""
    paper = published()
    machines, learners = (
        {name: found[shape] for name, shape in paper.shapes.items()}
        for found in (machines_of_shapes(), learners_of_shapes())
    )
    made = rows(["2", "3", "4", "7"], Inputs(paper.models, machines, [], load_baseline(), learners))
    made.append(Row("7", NASTY, NASTY, "", "time to first token", "s", 1e-6, EMULATED, (NASTY, "two\nlines")))
    return as_latex(layouts(made))


@pytest.fixture(scope="module")
def latex() -> str:
    return report()


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)&", line)) + 1


def test_environments_and_braces_are_balanced(latex: str) -> None:
    open_ones: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", latex):
        if kind == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert not open_ones
    for line in latex.splitlines():
        bare = re.sub(r"\\[{}]", "", line)
        opened = bare.count("{") - bare.count("}")
        assert opened == (1 if r"\begin{tabular}" in line else -1 if r"\end{tabular}" in line else 0), line


def test_rows_are_as_wide_as_their_columns(latex: str) -> None:
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", latex, re.S)
    assert len(tables) == latex.count(r"\begin{table}") >= 8
    for columns, body in tables:
        lines = [line for line in body.splitlines() if not re.fullmatch(r"\\(top|mid|bottom)rule", line)]
        assert len(lines) > 1 and all(line.endswith(r" \\") for line in lines)
        assert {cells(line) for line in lines} == {len(columns)}


def test_characters_are_escaped(latex: str) -> None:
    assert latex.isascii()
    text = re.sub(r"^%.*$", "", latex, flags=re.M)
    assert not re.search(r"(?<!\\)[#%~]", text)
    outside = re.sub(r"\$[^$]*\$", "", text.replace(r"\$", ""))
    assert not re.search(r"(?<!\\)[_^$]", outside)
    assert r"a\_b \& 100\% of \{x\}\textasciicircum{}2 \#1 \$5 \textasciitilde{}" in text
    assert text.count("?") == 2 * text.count(r"a\_b")  # letters of other alphabets: none of our own


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_it_compiles(latex: str, tmp_path: Path) -> None:
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "report.tex").write_text(f"{head}\n{latex}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
