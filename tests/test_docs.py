"""Documentation is true: marked blocks run as printed, commands and options exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import printed
import pytest

import dsmachine as ds
from dsmachine.commands import main

ROOT = printed.ROOT
names = {page: str(page.relative_to(ROOT)) for page in printed.PAGES}
RUNNING = [page for page in printed.PAGES if printed.marked(page) and page.name != "README.md"]
EQUATION = re.compile(r"^    \S.* [=≈] ", re.M)
NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
each = pytest.mark.parametrize("page", printed.PAGES, ids=names.values())


def spice(page: Path) -> list[pytest.MarkDecorator]:
    """Pages whose blocks need ngspice say so in their marks."""
    return [pytest.mark.spice, NGSPICE] if "this, with ngspice" in page.read_text(encoding="utf-8") else []


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(p, id=names[p], marks=spice(p)) for p in RUNNING])
def test_marked_blocks_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shared: dict[str, Any] = {}
    for language, text in printed.marked(page):
        if language == "python":
            exec(compile(text, str(page), "exec"), shared)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                assert words[0] in {"dsmachine", "ngspice"}, line
                code = main(["-q", *words[1:]]) if words[0] == "dsmachine" else subprocess.run(words).returncode
                assert code == 0, line


def test_every_how_to_and_the_tutorial_run() -> None:
    """All but the GPU's, which has none here."""
    wanted = {ROOT / "docs" / "tutorial.md", *(ROOT / "docs" / "howto").glob("*.md")}
    assert wanted - set(RUNNING) == {ROOT / "docs" / "howto" / "gpu.md"}


@each
def test_commands_and_options_exist(page: Path) -> None:
    found = [(" ".join(words), printed.wrong(words)) for words in printed.commands(page)]
    assert [pair for pair in found if pair[1]] == []


def test_a_wrong_command_is_found() -> None:
    assert printed.wrong(["dsmachine", "aneal", "gpt2"]) == "no command 'aneal'"
    assert printed.wrong(["dsmachine", "anneal", "gpt2", "--promt", "x"]) == "anneal has no --promt"
    assert printed.wrong(["dsmachine", "anneal", "gpt2", "--prompt=x", "-o", "run.h5"]) is None
    assert printed.wrong(["python", "benchmarks/none.py"]) == "no file 'benchmarks/none.py'"
    assert printed.wrong(["python", "benchmarks/gpu.py", "--casse", "gpt2"]) == "benchmarks/gpu.py has no --casse"


@each
def test_links_lead_somewhere(page: Path) -> None:
    links = printed.LINKED.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"^ +- (\S+\.md)$", nav, re.M))


def test_every_table_of_results_is_listed() -> None:
    listed = set(re.findall(r"benchmarks/results/(\w+)\.md", (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")))
    assert listed == {table.stem for table in (ROOT / "benchmarks/results").glob("*.md")}


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: dsmachine\.(\w+)$", text, re.M)
    assert sorted(shown) == sorted(set(ds.__all__) - {"__version__"})


def test_the_physics_page_has_every_equation() -> None:
    """Of cells: each file whose docstring has an equation is linked."""
    page = ROOT / "docs" / "physics.md"
    linked = {(page.parent / link).resolve() for link in printed.LINKED.findall(page.read_text(encoding="utf-8"))}
    with_equations = {file for file in (ROOT / "circuits" / "cells").rglob("*.py") if EQUATION.search(docstring(file))}
    assert {str(file.relative_to(ROOT)) for file in with_equations - linked} == set()


def docstring(file: Path) -> str:
    """The module's own."""
    return file.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {ds.__version__}\n" in text
