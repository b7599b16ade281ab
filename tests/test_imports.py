"""Imports run one way: dsmachine → energy, netlists → emulator → circuits."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsmachine as ds
from dsmachine.circuits.errors import Error

ROOT = Path(__file__).resolve().parents[1]
BELOW = {
    "circuits": set[str](),
    "emulator": {"circuits"},
    "energy": {"circuits", "emulator"},
    "netlists": {"circuits", "emulator"},
}


def _files(folder: str) -> list[Path]:
    """Python files of a root folder, those behind the links in ``dsmachine/`` left out."""
    home = ROOT / folder
    return sorted(f for f in home.rglob("*.py") if f.resolve().is_relative_to(home.resolve()))


def _imported(source: str, package: list[str]) -> Iterator[list[str]]:
    """Yield the absolute dotted name of everything that ``source`` imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = node.module.split(".") if node.module else []
            yield from ([*base, *module, alias.name] for alias in node.names)


def _wrong_imports(source: str, package: list[str]) -> list[str]:
    """Imports in ``source``, a module of ``package``, that run against the rule."""
    wrong = []
    for name in _imported(source, package):
        if name[0] in BELOW:  # a second copy of our own folder
            wrong.append(name)
        elif name[0] == "dsmachine" and len(package) > 1 and package[1] in BELOW:
            target = name[1] if len(name) > 1 else "dsmachine"
            if target != package[1] and target not in BELOW[package[1]]:
                wrong.append(name)
    return [".".join(name) for name in wrong]


@pytest.mark.parametrize("folder", [*BELOW, "dsmachine"])
def test_imports_run_one_way(folder: str) -> None:
    files = _files(folder)
    assert files
    for file in files:
        parts = list(file.relative_to(ROOT).parent.parts)
        package = parts if folder == "dsmachine" else ["dsmachine", *parts]
        wrong = _wrong_imports(file.read_text(encoding="utf-8"), package)
        assert not wrong, f"{file.relative_to(ROOT)} may not import {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("source", "package", "wrong"),
    [
        ("from ..emulator import run", "dsmachine.circuits", True),
        ("from ...energy.meter import Meter", "dsmachine.circuits.cells", True),
        ("from .. import Error", "dsmachine.emulator", True),
        ("import dsmachine.netlists", "dsmachine.energy", True),
        ("def f():\n    from .. import energy", "dsmachine.emulator", True),
        ("from circuits import chip", "dsmachine.commands", True),
        ("from ..circuits import chip", "dsmachine.emulator", False),
        ("from ..circuit import Circuit", "dsmachine.circuits.cells", False),
        ("from ..emulator.run import Run\nimport numpy", "dsmachine.netlists", False),
        ("from .. import Error\nfrom ..energy import meter", "dsmachine.commands", False),
    ],
)
def test_the_rule_sees_each_way_to_write_an_import(source: str, package: str, wrong: bool) -> None:
    assert bool(_wrong_imports(source, package.split("."))) is wrong


@pytest.mark.parametrize("folder", BELOW)
def test_a_second_name_is_refused(folder: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and f"import dsmachine.{folder}" in last


@pytest.mark.parametrize("folder", BELOW)
def test_links_are_links(folder: str) -> None:
    """A copy in place of a link (a checkout without link support) would go stale unseen."""
    assert (ROOT / "dsmachine" / folder).resolve() == ROOT / folder


def test_public_names() -> None:
    assert ds.Error is Error
    for name in ds.__all__:
        assert hasattr(ds, name)
