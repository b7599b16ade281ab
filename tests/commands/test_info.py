"""``dsmachine info``: what a model's circuit consists of, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import CONFIG, write_small

import dsmachine as ds
from dsmachine.circuits.cells import Product
from dsmachine.commands import main
from dsmachine.describe import depths, describe


@pytest.fixture
def small(tmp_path: Path) -> str:
    return str(write_small(tmp_path / "small"))


def as_json(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["info", *arguments, "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_json_names_every_array_and_term(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = as_json(capfd, small, "--positions", "4")
    arrays = {a["name"]: a for a in found["arrays"]}
    terms = {t["name"]: t for t in found["terms"]}
    for array in arrays.values():
        assert set(array) == {"name", "shape", "cell"}
    for term in terms.values():
        assert set(term) == {"name", "kind", "shape", "from", "to"}
        assert {*term["from"], term["to"]} <= set(arrays)
    assert arrays["embed"] == {"name": "embed", "shape": [4, 8], "cell": "input"}
    assert arrays["h.0.ln_1.root"]["cell"] == "root"
    assert arrays["h.0.ln_1.norm"]["cell"] == "division"
    assert terms["h.0.mlp.c_fc"] == {
        "name": "h.0.mlp.c_fc",
        "kind": "coupling",
        "shape": [32, 8],
        "from": ["h.0.ln_2.norm"],
        "to": "h.0.mlp.pre",
    }
    assert terms["h.0.attn.score"]["kind"] == "product"
    assert terms["h.0.mlp.tanh"]["kind"] == "tanh"


def test_counts_are_those_of_the_circuit(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = as_json(capfd, small, "--positions", "4")
    circuit = ds.map_model(small, positions=4)
    assert found["counts"]["nodes"] == circuit.node_count()
    dense = sum(int(np.prod(t["shape"])) * 4 for t in found["terms"] if t["name"].endswith(("c_fc", "c_attn")))
    assert found["counts"]["couplings"] > dense
    products = [term for term in circuit.terms.values() if isinstance(term, Product)]
    assert found["counts"]["products"] == sum(term.count(circuit) for term in products)
    # Three norms of 8 squares, three products in each of 32 GELUs, causal q·k of width 8.
    assert found["counts"]["products"] > 4 * (3 * 8 + 3 * 32) + 10 * 8


def test_positions_default_to_a_small_circuit(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert as_json(capfd, small)["positions"] == CONFIG.context


def test_options_of_the_mapping(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = as_json(capfd, small, "--input-resistance", "18", "--tokens", "parallel")
    assert (found["input_resistance"], found["tokens"]) == (18.0, "parallel")
    assert main(["info", small, "--tokens", "serial"]) == 2
    assert "tokens 'serial' is not built yet" in capfd.readouterr().err


def test_taylor_is_a_deeper_circuit(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    exact = as_json(capfd, small)
    taylor = as_json(capfd, small, "--softmax", "taylor", "--taylor-order", "2")
    assert taylor["softmax"] == "taylor 2"
    assert taylor["depth"] > exact["depth"]
    assert "softmax" not in taylor["counts"]


def test_text_has_a_row_a_layer(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", small]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for word in ("input", "h.0", "head", "time constants", "scores", "lost bits", "depth"):
        assert word in out
    assert max(len(line) for line in out.splitlines()[1:]) <= 80


def test_depth_counts_a_cycle_once() -> None:
    circuit = ds.Circuit("loop")
    circuit.clamp("input", (2,))
    for name in ("a", "b", "c"):
        circuit.nodes(name, (2,))
    circuit.couple("in", "input", "a", 1.0)
    circuit.couple("ab", "a", "b", 0.5)
    circuit.couple("ba", "b", "a", 0.5)
    circuit.couple("bc", "b", "c", 1.0)
    assert depths(circuit) == {"a": 1, "b": 1, "c": 2}
    assert describe(circuit)["counts"] == {"nodes": 8, "couplings": 8, "products": 0}


def test_doctor_answers_where_scipy_is_missing() -> None:
    """The commands load nothing heavy before they run: whoever lacks a package can still ask what is missing."""
    code = "import sys; sys.modules['scipy'] = None; from dsmachine.commands import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
