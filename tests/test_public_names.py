"""What `import dsmachine as ds` offers, by the machine that a user builds with it by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gpt2_folders import SHAPES, write_folder

import dsmachine as ds

RING = """
import numpy as np
import dsmachine as ds

J = 0.5 * np.roll(np.eye(3), 1, axis=0)
ring = ds.Circuit("ring")
ring.clamp("input", (3,))
ring.nodes("s", (3,))
ring.couple("h", "input", "s", 1.0)
ring.couple("J", "s", "s", J)
probe = ds.Probe(["s"])
run = ds.transient(ring, {"input": [0.07, 0.0, 0.0]}, tolerance=1e-6, observers=[probe])
"""


def test_three_nodes_with_a_cycle_in_ten_lines() -> None:
    lines = [line for line in RING.splitlines() if line and "import" not in line]
    assert len(lines) <= 10
    found: dict[str, object] = {}
    exec(RING, found)
    run, probe = found["run"], found["probe"]
    assert isinstance(probe, ds.Probe)
    settled = np.linalg.solve(np.eye(3) - np.asarray(found["J"]), [0.07, 0, 0])
    np.testing.assert_allclose(probe.volts("s")[-1, 0], settled, atol=2e-4)
    assert run.settled  # type: ignore[attr-defined]


def test_every_name_is_there_and_listed() -> None:
    for name in ds.__all__:
        assert getattr(ds, name) is not None
        assert name in dir(ds)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        ds.nope  # noqa: B018


def test_importing_is_cheap() -> None:
    """Neither SciPy nor the file formats are loaded before something needs them."""
    code = "import sys, dsmachine; print([m for m in ('numpy', 'scipy', 'h5py', 'tokenizers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_map_model_takes_a_name_a_folder_or_a_model(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "small", SHAPES[0])
    (folder / "calibration.txt").write_text("abcdefghijkl" * 3)
    circuits = [ds.map_model(m, positions=3) for m in (folder, str(folder), ds.load_model(folder))]
    assert {circuit.name for circuit in circuits} == {"small"}
    with pytest.raises(ds.Error, match="'nope' is neither a folder, a GGUF file nor a known name"):
        ds.map_model("nope", positions=3)


def test_a_technology_has_corners_temperature_and_supply() -> None:
    tech = ds.load_technology("cmos45", corner="SS", temperature=350.0, vdd=1.0)
    assert (tech.corner, tech.temperature, tech.supply.vdd) == ("SS", 350.0, 1.0)


def test_the_error_of_each_layer_and_its_picture() -> None:
    found: dict[str, object] = {}
    exec(RING.replace("ds.Probe(", "ds.ErrorByLayer() #"), found)
    assert ds.plots.plot_settling(found["run"]).axes
