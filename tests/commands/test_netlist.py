"""``dsmachine netlist`` and ``crosscheck``: a part of a model in SPICE, and whether ngspice agrees."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.commands import main
from dsmachine.commands._part import default_prompt

TILE = ["--tile", "h.0.mlp.c_fc[0:4,0:8]"]
spice = pytest.mark.skipif(
    shutil.which("ngspice") is None or importlib.util.find_spec("PySpice") is None,
    reason="needs ngspice and PySpice",
)


@pytest.fixture
def small(tmp_path: Path) -> str:
    return str(write_small(tmp_path / "small"))


def as_json(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    out, err = capfd.readouterr()
    assert err == ""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def test_netlist_of_a_tile(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.cir"
    found = as_json(capfd, "netlist", small, *TILE, "--position", "2", "-o", str(path))
    assert set(found) >= {"output", "title", "prompt", "arrays", "terms", "nodes", "duration_s", "options", "bytes"}
    assert found["nodes"] == 4
    assert found["arrays"] == ["h.0.mlp.pre"]
    assert found["bytes"] == path.stat().st_size
    assert ".tran" in path.read_text()
    assert main(["netlist", small, *TILE, "-o", str(path), "--overwrite", "--prompt", PROMPT]) == 0
    out, _ = capfd.readouterr()
    assert repr(PROMPT) in out and f"ngspice -b {path}" in out


@spice
@pytest.mark.spice
def test_netlist_runs_as_it_stands(small: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cir"
    assert main(["netlist", small, "--block", "h.0.ln_1", "--prompt", "ab", "-o", str(path)]) == 0
    done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "h.0.ln_1.norm" in path.read_text()


@spice
@pytest.mark.spice
@pytest.mark.parametrize("engine", ["pyspice", "batch"])
def test_crosscheck_passes(engine: str, small: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = as_json(capfd, "crosscheck", small, *TILE, "--engine", engine, "--energy", "--prompt", PROMPT)
    assert found["passed"] is True
    assert found["nrmse"] <= found["limit"] == 1e-4
    assert found["energy_ratio"] == pytest.approx(1, abs=1e-3)
    assert (found["engine"], found["nodes"]) == (engine, 4)
    assert found["options"]["reltol"] <= 1e-6
    assert found["netlist"] is None


@spice
@pytest.mark.spice
def test_crosscheck_that_fails_exits_1_and_keeps_everything(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    arguments = ["crosscheck", small, *TILE, "--prompt", PROMPT, "--limit", "1e-12", "-o", str(folder)]
    assert as_json(capfd, *arguments, code=1)["passed"] is False
    assert {path.name for path in folder.iterdir()} == {"netlist.cir", "ngspice.log", "crosscheck.png"}
    assert main([*arguments, "--overwrite"]) == 1
    out, _ = capfd.readouterr()
    assert "DISAGREES" in out and str(folder) in out


def test_default_prompt_reaches_the_position(small: str) -> None:
    model = ds.load_model(small)
    assert len(model.tokenize(default_prompt(model, 3))) == 3
    assert len(model.tokenize(default_prompt(model, 99))) == model.config.context


@spice
def test_level_device(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A tile of transistors behind conveyors of transistors runs, and agrees to a few percent: feedback bends."""
    card = str(tmp_path / "pair.h5")
    assert main(["characterize", "-o", card]) == 0
    capfd.readouterr()
    device = ["--level", "device", "--device-card", card, "--conveyor", "AB"]
    path = tmp_path / "tile.cir"
    assert main(["netlist", small, *TILE, "--prompt", PROMPT, *device, "-o", str(path)]) == 0
    capfd.readouterr()
    text = path.read_text()
    assert "Vvdd vdd 0 1" in text and ".subckt conveyor_ab y x z w" in text and ".model nfet nmos" in text
    done = as_json(capfd, "crosscheck", small, *TILE, *device, "--limit", "0.05")
    assert done["passed"] and done["nrmse"] > 1e-5
    chip = ["--level", "device", "--device-card", card, "--pelgrom", "--chip-seed", "3", "--trim", "write-verify=0.005"]
    assert main(["netlist", small, *TILE, "--prompt", PROMPT, *chip, "-o", str(path), "--overwrite"]) == 0
    capfd.readouterr()
    assert "pair_120n_1000n_erring" in path.read_text()
    assert as_json(capfd, "crosscheck", small, *TILE, *chip, "--limit", "0.05")["passed"]
    assert main(["netlist", small, *TILE, "--trim", "write-verify=0.005", "-o", str(tmp_path / "no.cir")]) == 2
    assert "--trim and --chip-seed are of transistors that differ: add --pelgrom" in capfd.readouterr().err
    assert main(["netlist", small, *TILE, "--pelgrom", "-o", str(tmp_path / "no.cir")]) == 2
    assert "there is no device card" in capfd.readouterr().err
    assert not (tmp_path / "no.cir").exists()
    assert main(["netlist", small, *TILE, "--conveyor", "A", "-o", str(tmp_path / "no.cir")]) == 2
    assert "--conveyor A is of --level device" in capfd.readouterr().err


def test_a_conveyor_of_no_class_is_refused_at_any_level(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for level in ("behavioural", "device"):
        options = ["--conveyor", "C", "--level", level, "-o", str(tmp_path / "no.cir")]
        assert main(["netlist", small, *TILE, *options]) == 2
        assert "--conveyor 'C' is unknown: use ideal, A, AB" in capfd.readouterr().err
