"""``dsmachine info``: what a model's circuit consists of, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_cards import square_pair
from rich.table import Table
from small_models import CONFIG, write_small

import dsmachine as ds
from dsmachine.circuits.cells import Product
from dsmachine.circuits.reference import forward
from dsmachine.commands import main
from dsmachine.commands._common import print_table, results_console
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
    serial = as_json(capfd, small, "--tokens", "serial")
    assert serial["tokens"] == "serial" and serial["counts"]["couplings"] < found["counts"]["couplings"]
    assert main(["info", small, "--tokens", "both"]) == 2
    assert "tokens 'both' is unknown" in capfd.readouterr().err


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
    rows = ("parameters", "counts", "time constants", "scores", "lost bits", "depth")
    for word in ("input", "h.0", "head", "mlp.act", *rows):
        assert word in out
    assert max(len(line) for line in out.splitlines()[1:]) <= 80


def test_units_parameters_and_scores(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = as_json(capfd, small, "--positions", "4")
    circuit, model = ds.map_model(small, positions=4), ds.load_model(small)
    assert found["parameters"] == sum(model.tensors[name].size for name in model.tensors)
    units = np.concatenate([circuit.units(n).reshape(-1) for n in circuit.arrays if n.endswith("mlp.act")])
    assert found["unit_v"]["mlp.act"] == {"least": pytest.approx(units.min()), "most": pytest.approx(units.max())}
    assert {"embed", "attn.score", "logits"} <= set(found["unit_v"])
    # What a forward pass of the calibration text sees, beside the swing at n·kT/q volts a nat.
    ids = np.asarray(model.tokenize(model.calibration_text))
    rows = np.lib.stride_tricks.sliding_window_view(ids, 4)
    most = max(float(np.abs(forward(model, rows)[f"h.{k}.attn.score"]).max()) for k in range(model.config.layers))
    score = found["score_nats"]
    assert 0.9 * most <= score["calibrated"] <= most * (1 + 1e-5)
    nat = ds.load_technology("cmos45").softmax.slope_factor * circuit.thermal_voltage
    assert score["reach"] == pytest.approx(0.5 / nat)


def test_scores_beyond_the_cell_are_said_as_they_are(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    free, held = (as_json(capfd, small, *more)["score_nats"] for more in ((), ("--softmax-clamp", "0.01")))
    assert held["calibrated"] == free["calibrated"] > held["reach"] == pytest.approx(0.01)


def test_numbers_are_never_cut(capfd: pytest.CaptureFixture[str]) -> None:
    table = Table("a" * 30, "b" * 70)
    table.add_row("1" * 30, "2" * 70)
    print_table(results_console(), table)
    assert "2" * 70 in capfd.readouterr().out


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


def test_a_device_card_a_training_and_a_sweep(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    card, learnt, swept = (str(tmp_path / name) for name in ("card.h5", "learnt.h5", "swept.h5"))
    ds.save_device(square_pair(), card)
    (tmp_path / "text.txt").write_text("abcdefgh" * 20)
    quick = ["--data", str(tmp_path / "text.txt"), "--positions", "4", "--batch", "2", "--steps", "2", "--no-energy"]
    assert main(["-q", "train", small, *quick, "-o", learnt]) == 0
    axes = ["--vary", "mismatch=0,0.1", "--chips", "2", "--windows", "1", "--set", "positions=4", "--workers", "1"]
    assert main(["-q", "sweep", small, *axes, "-o", swept]) == 0
    capfd.readouterr()
    said = {}
    for path in (card, learnt, swept):
        assert main(["info", path]) == 0
        said[path] = capfd.readouterr().out
    assert "a device card" in said[card] and "factors" in said[card]
    assert "a training of small" in said[learnt] and "2 steps" in said[learnt] and "nat" in said[learnt]
    assert "a sweep of small" in said[swept] and "mismatch 2 × chip 2" in said[swept]
    assert as_json(capfd, card)["unit"] == "pair"
    assert len(as_json(capfd, learnt)["loss"]) == 2
    assert as_json(capfd, swept)["chips"] == [0, 1]
    for options in (
        ["--positions", "3"], ["--set", "vdd=0.9"], ["--softmax-clamp", "9"], ["--activation", "taylor"],
        ["--tokens", "serial"], ["--coupling", "passive"], ["--allow-unstable"], ["--technology", "nonsense"],
        ["--input-resistance", "18"], ["--activation", "tanh-pair"],
    ):  # fmt: skip
        assert main(["info", learnt, *options]) == 2
        assert f"{options[0]} would be ignored: {learnt} is no model" in capfd.readouterr().err


def test_doctor_answers_where_scipy_is_missing() -> None:
    """The commands load nothing heavy before they run: whoever lacks a package can still ask what is missing."""
    code = "import sys; sys.modules['scipy'] = None; from dsmachine.commands import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
