"""ngspice against the emulator: every kind of cell, tiles, whole blocks, their heat."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cell_circuits import CASES, Case, activations, dense, products, rc, ring, root_and_division
from small_models import PROMPT, write_small

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.waveforms import PiecewiseLinear, Steps
from dsmachine.netlists import crosscheck as module
from dsmachine.netlists.characterize import characterize
from dsmachine.netlists.crosscheck import crosscheck

NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
pytestmark = [pytest.mark.spice, NGSPICE]


@pytest.mark.parametrize("name", CASES)
def test_every_cell_does_in_ngspice_what_it_does_here(name: str) -> None:
    circuit, inputs = CASES[name]()
    found = crosscheck(circuit, inputs=inputs, energy=True, engine="batch")
    assert found.passed, found.by_array
    assert found.nrmse <= 1e-4
    assert found.energy_ratio == pytest.approx(1, abs=1e-3)
    for part, joules in found.heat_spice.items():
        assert found.heat_emulator[part] == pytest.approx(joules, rel=1e-3, abs=1e-19), part
    assert found.netlist is None and found.picture is None
    assert found.options["reltol"] <= 1e-6  # type: ignore[operator]


@pytest.mark.parametrize("build", [activations, root_and_division, products, lambda: dense(input_resistance=300.0)])
def test_a_chip_is_written_with_its_own_devices(build: type[Case]) -> None:
    circuit, inputs = build()
    chip = fabricate(circuit, seed=3, mismatch=0.05, vt_mismatch=0.02, offset=0.02)
    found = crosscheck(chip, inputs=inputs, energy=True, engine="batch")
    assert found.passed
    ideal = crosscheck(circuit, inputs=inputs, energy=True, engine="batch", duration=found.duration)
    ratio = sum(found.heat_spice.values()) / sum(ideal.heat_spice.values())
    assert abs(ratio - 1) > 1e-3


@pytest.mark.parametrize("unit", ["single", "pair", "quad"])
def test_a_tile_of_measured_transistors(unit: Any, tmp_path: Path) -> None:
    """16 × 8 unequal units of what ngspice measured, as polynomials, in a model."""
    model = load_model(write_small(tmp_path / "model"))
    circuit = map_model(model, 4, device_card=characterize(unit))
    chip = fabricate(circuit, threshold_area=3.5e-9, beta_area=1.5e-8)
    inputs = {"embed": model.embed(model.encode(PROMPT))}
    found = crosscheck(chip, select="h.0.mlp.c_fc[0:16,0:8]", inputs=inputs, energy=True, engine="batch")
    assert found.passed, (found.nrmse, found.energy_ratio)


def test_initial_voltages() -> None:
    circuit, inputs = ring()
    found = crosscheck(circuit, inputs=inputs, initial={"s": [0.3, -0.3, 0.2, 0.0, -0.1]}, engine="batch")
    assert found.passed


def waves(circuit: Circuit) -> dict[str, Steps | PiecewiseLinear]:
    tau = circuit.arrays["v"].time_constant
    times = np.linspace(0, 8, 81) * tau
    return {
        "steps": Steps(np.array([0, 2, 5]) * tau, np.array([[0.3], [-0.2], [0.1]])),
        "few lines": PiecewiseLinear(np.array([0, 2, 3]) * tau, np.array([[0.0], [0.3], [-0.1]])),
        "many lines": PiecewiseLinear(times, 0.3 * np.sin(times[:, None] / tau)),
    }


@pytest.mark.parametrize("kind", ["steps", "few lines", "many lines"])
def test_inputs_that_move(kind: str) -> None:
    circuit, _ = rc()
    found = crosscheck(circuit, inputs={"u": waves(circuit)[kind]}, duration=1.5e-8, engine="batch")
    assert found.passed, found.nrmse


def test_both_ways_into_ngspice() -> None:
    circuit, inputs = dense()
    one, other = (crosscheck(circuit, inputs=inputs, engine=engine) for engine in ("pyspice", "batch"))
    assert (one.nrmse, one.points) == (other.nrmse, other.points)
    assert one.version == other.version
    assert one.seconds["parse"] is not None and one.seconds["solve"] is not None


def test_failure_keeps_netlist_log_and_plot(tmp_path: Path) -> None:
    circuit, inputs = dense()
    found = crosscheck(circuit, inputs=inputs, engine="batch", limit=1e-12, folder=tmp_path / "failed")
    assert not found.passed
    for path in (found.netlist, found.log, found.picture):
        assert path is not None and path.parent == tmp_path / "failed" and path.stat().st_size > 100


def test_a_check_tells_what_is_under_way() -> None:
    told: list[tuple[str, float | None]] = []
    circuit, inputs = rc()
    crosscheck(circuit, inputs=inputs, engine="batch", told=lambda what, share: told.append((what, share)))
    assert list(dict.fromkeys(what for what, _ in told)) == ["write the netlist", "ngspice", "emulator"]
    shares = [share for what, share in told if what == "emulator" and share is not None]
    assert shares == sorted(shares) and (shares[0], shares[-1]) == (0.0, 1.0)


def test_disagreement_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One coupling of 48 wrong by 1 % is far beyond the limit."""
    circuit, inputs = dense()
    real = module.run_netlist

    def wrong(text: str, **options: object) -> object:
        line = next(line for line in text.split("\n") if line.startswith("G") and " u.2 0 " in line)
        value = line.split()[-1]
        return real(text.replace(line, line.replace(value, repr(float(value) * 1.01))), **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "run_netlist", wrong)
    found = crosscheck(circuit, inputs=inputs, engine="batch")
    assert not found.passed and found.nrmse > 1e-4


def test_rejected_netlist_is_kept(tmp_path: Path) -> None:
    circuit, inputs = dense()
    with pytest.raises(Error, match=r"(?s)netlist kept: .*netlist\.cir"):
        crosscheck(circuit, inputs=inputs, engine="batch", options={"nonsense": 1}, folder=tmp_path)
    assert (tmp_path / "netlist.cir").is_file()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A block of width 8, 4 positions, random weights."""
    model = load_model(str(write_small(tmp_path_factory.mktemp("model"))))
    tokens = model.encode(PROMPT)
    return map_model(model, len(tokens)), {"embed": model.embed(tokens)}


def test_block_of_a_small_model(small: Case) -> None:
    circuit, inputs = small
    found = crosscheck(circuit, select="h.0", inputs=inputs, energy=True, engine="batch")
    assert found.passed, found.by_array
    assert set(found.by_array) >= {"h.0.ln_1.norm", "h.0.attn.prob", "h.0.mlp.act", "h.0.resid"}
    assert found.nrmse <= 1e-4 and found.energy_ratio == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "select",
    ["h.0.mlp.c_fc[0:8,0:8]", "h.0.attn.c_proj[2:6,0:4]", "h.0.resid.skip[0:8,0:8]", "h.0.ln_1.root.squares[0:1,0:8]",
     "h.0.attn.prob[0:4,0:4]", "h.0.mlp.tanh[0:4,0:4]", "ln_f.norm.signal[1:5,1:5]"],
)  # fmt: skip
def test_tiles_of_every_kind_of_term(small: Case, select: str) -> None:
    circuit, inputs = small
    found = crosscheck(circuit, select=select, inputs=inputs, energy=True, engine="batch")
    assert found.passed, (found.by_array, found.heat_emulator, found.heat_spice)


@pytest.mark.slow
def test_block_of_the_bundled_model() -> None:
    model = load_model("tiny-shakespeare")
    tokens = model.encode("To b")
    found = crosscheck(map_model(model, len(tokens)), select="h.0", inputs={"embed": model.embed(tokens)}, energy=True)
    assert found.passed, found.by_array
    assert found.nrmse <= 1e-4 and found.energy_ratio == pytest.approx(1, abs=1e-3)
    assert found.engine == "pyspice"
