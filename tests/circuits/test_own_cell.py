"""A user's own cell: what it must say, and what it is told where it does not. (`docs/howto/own-cell.md` runs too.)"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dsmachine as ds
from dsmachine.circuits.cells import Term, Transfer, View

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own-cell.md"


@dataclass(frozen=True)
class Bare(Term):
    """v = half of what it reads, and nothing else."""

    name: str
    target: str
    read: str = "u"

    @property
    def sources(self) -> tuple[View, ...]:
        return (View(self.read),)

    def drive(self, x: Any) -> Any:
        return 0.5 * x[self.read]


def circuit_of(cell: Any) -> ds.Circuit:
    circuit = ds.Circuit("own")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,))
    circuit.add(cell)
    return circuit


def on_a_cycle() -> ds.Circuit:
    circuit = circuit_of(Bare("own", "v", "v"))
    circuit.couple("w", "u", "v", 1.0)
    return circuit


def test_the_page_has_every_member() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## What a cell can be asked")[2]
    named = {name for entry in re.findall(r"`([^`]+)`", table) for name in re.findall(r"\w+", entry)}
    members = {name for name, _ in inspect.getmembers(Term) if not name.startswith("_")} - {"lacks"}
    assert {"drive", "noise", "spice", "of_transistors"} < members
    assert members - named == set()


def test_a_law_alone_runs() -> None:
    run = ds.transient(circuit_of(Bare("own", "v")), {"u": [0.1, 0.2]}, duration=20e-9)
    assert run.outputs["v"][0] == pytest.approx([0.05, 0.1], rel=1e-3)


@pytest.mark.parametrize(
    ("member", "ask"),
    [
        ("jvp", lambda c: ds.operating_point(on_a_cycle(), {"u": [0.1, 0.2]})),
        ("noise", lambda c: ds.transient(c, {"u": [0.1, 0.2]}, noise="thermal")),
        ("meter", lambda c: ds.transient(c, {"u": [0.1, 0.2]}, observers=[ds.EnergyMeter("cmos45")])),
        ("spice", lambda c: ds.write_netlist(c, inputs={"u": [0.1, 0.2]})),
    ],
)
def test_what_is_needed_and_not_there_is_named(member: str, ask: Callable[[ds.Circuit], Any]) -> None:
    with pytest.raises(ds.Error) as caught:
        ask(circuit_of(Bare("own", "v")))
    assert f"cell 'own' of class Bare lacks {member}: define it (docs/howto/own-cell.md)" in str(caught.value)


def test_what_is_no_cell_is_refused() -> None:
    class Plain:
        name, target = "own", "v"

    class Undeclared(Bare):
        def __init__(self) -> None:
            pass

    @dataclass(frozen=True)
    class Nameless(Term):
        target: str

    @dataclass(frozen=True)
    class Lawless(Transfer):
        pass

    with pytest.raises(ds.Error, match=r"term is .*Plain.*: derive its class from dsmachine\.circuits\.cells\.Term"):
        circuit_of(Plain())
    with pytest.raises(ds.Error, match="cell of class Nameless lacks name: make it a dataclass"):
        circuit_of(Nameless("v"))
    with pytest.raises(ds.Error, match="cell of class Undeclared lacks name"):
        circuit_of(Undeclared())
    with pytest.raises(ds.Error, match="cell 'own' of class Lawless lacks f, its law"):
        circuit_of(Lawless("own", "v", View("u")))
