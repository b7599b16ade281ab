"""Netlists as text: they run as they stand, whatever arrays and terms are called, and refuse what is not there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cell_circuits import CASES, dense, ring, softmax

from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.netlists.allowed import check_netlist
from dsmachine.netlists.crosscheck import crosscheck
from dsmachine.netlists.names import node_names
from dsmachine.netlists.writer import write_netlist

NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")

HOSTILE = [
    "x\n.control\nshell touch pwned\n.endc\n*",
    "x\r\n.include /etc/passwd\r\n",
    ".include /etc/passwd",
    ".control",
    "*# shell touch pwned",
    "*ng_script",
    "$(touch pwned)",
    "`touch pwned`",
    "a;b $ comment",
    "a b",
    "a,b",
    "a(b)",
    "a{1+1}",
    "a=1",
    "a'b\"c",
    "+ continued",
    "0",
    "gnd",
    "time",
    "temper",
    "all",
    "...",
    "πρᾶξις",
    "\u2028.control",
    "\x0b.control\x00\x1b[31m",
    "node1",
    "product",
    "x.0:x",
    "V(y)",
    "long" * 500,
    "1e3",
    "a\\\nb",
]


def hostile(name: str) -> tuple[Circuit, dict[str, list[float]]]:
    """Two arrays and two terms, all called `name` or nearly."""
    circuit = Circuit(name)
    circuit.clamp(name + "u", (2,))
    circuit.nodes(name, (2,), layer=name)
    circuit.couple(name, name + "u", name, np.array([[1.0, -0.5], [0.3, 0.8]]))
    circuit.bias(name + "b", name, 0.05)
    return circuit, {name + "u": [0.2, -0.1]}


@pytest.mark.spice
@NGSPICE
@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_does_anything_but_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    circuit, inputs = hostile(name)
    netlist = write_netlist(circuit, inputs=inputs, energy=True)
    check_netlist(netlist.text)
    assert netlist.text.isascii()
    cards = re.findall(r"^\s*(\.\w+)", netlist.text, re.M)
    assert set(cards) <= {".subckt", ".ends", ".options", ".tran", ".save", ".print", ".end"}
    assert not re.search(r"^\s*(\*#|\*ng_script)", netlist.text, re.M)
    assert crosscheck(circuit, inputs=inputs, energy=True, engine="batch").passed
    assert list(tmp_path.iterdir()) == []


def test_arrays_that_would_share_a_node_are_told_apart() -> None:
    circuit = Circuit("alike")
    for name in ("act", "Act", "ACT", "a ct", "a,ct", "act.1", "ACT_2"):
        circuit.nodes(name, (2,))
    circuit.nodes("act.1.0", (), rail=None)
    circuit.nodes("Act.", (2, 2))
    names = [node for nodes in node_names(circuit).values() for node in nodes.reshape(-1)]
    assert len(set(names)) == len(names) == sum(node.count for node in circuit.arrays.values())
    assert all(re.fullmatch(r"[a-z][a-z0-9_.]*\.\d+", name) for name in names)
    assert node_names(circuit)["act"].tolist() == ["act.0", "act.1"]


@pytest.mark.spice
@NGSPICE
@pytest.mark.parametrize("name", ["coupling", "softmax", "root and division"])
def test_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    circuit, inputs = CASES[name]()
    written = write_netlist(circuit, tmp_path / "part.cir", inputs=inputs)
    assert written.path == tmp_path / "part.cir" and written.path.read_text() == written.text
    done = subprocess.run(["ngspice", "-n", "-b", "part.cir"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    table = [line.split() for line in done.stdout.splitlines() if re.match(r"\d+\t", line)]
    assert len(table) > 100
    assert [p.name for p in tmp_path.iterdir()] == ["part.cir"]


def test_text_is_readable() -> None:
    circuit, inputs = softmax()
    text = str(write_netlist(circuit, inputs=inputs))
    title, *lines = text.split("\n")
    assert title == "dsmachine: circuit softmax"
    assert "*   score[i,j,k] of shape (2, 4, 4) = node score.i.j.k" in lines
    assert "* softmax (softmax): score -> prob" in lines
    sections = [line[7:] for line in lines if line.startswith("* ---- ")]
    assert sections == ["cells", "inputs", "node units", "terms", "analysis"]
    assert max(map(len, lines)) < 400


def test_nodes_that_do_not_exist_are_not_written() -> None:
    circuit, inputs = softmax()
    text = str(write_netlist(circuit, inputs=inputs))
    assert " score.1.3.2" in text and " score.1.2.3" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "device"}, "needs transistors"),
        ({"level": "tran"}, "level 'tran' is unknown"),
        ({"dialect": "xyce"}, "dialect 'xyce' is unknown: use 'ngspice'"),
        ({"duration": 0.0}, "duration is 0.0: it must be positive"),
        ({"position": 2}, "position 2 without a tile"),
        ({"inputs": {}}, "input 'u' of 'ring' has no value"),
        ({"inputs": {"u": np.zeros((2, 5))}}, "batch of 2"),
        ({"inputs": {"u": np.zeros(5), "w": 0}}, "input 'w' is not a clamped array"),
    ],
)
def test_what_cannot_be_written_says_so(options: dict[str, object], said: str) -> None:
    circuit, inputs = ring()
    with pytest.raises(Error, match=re.escape(said)) as caught:
        write_netlist(circuit, **({"inputs": inputs} | options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_path_that_cannot_be_written_is_refused_before_work(tmp_path: Path) -> None:
    circuit, inputs = dense()
    taken = tmp_path / "taken.cir"
    taken.write_text("mine")
    with pytest.raises(Error, match="already exists"):
        write_netlist(circuit, taken, inputs=inputs)
    assert taken.read_text() == "mine"
    with pytest.raises(Error, match="does not exist"):
        write_netlist(circuit, tmp_path / "nowhere" / "x.cir", inputs=inputs)
    write_netlist(circuit, taken, inputs=inputs, overwrite=True)
    assert taken.read_text().startswith("dsmachine")


def test_a_circuit_without_free_nodes_is_refused() -> None:
    circuit = Circuit("still")
    circuit.clamp("u", (2,))
    with pytest.raises(Error, match="no free nodes"):
        write_netlist(circuit, inputs={"u": [0, 0]})
