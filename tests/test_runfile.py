"""Run files: what goes in comes out, with units; whatever is wrong with one is a clear line."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import chain, relaxed
from small_models import write_small

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.hdf5 import quoted, unquoted
from dsmachine.emulator.run import Run, operating_point, transient
from dsmachine.emulator.runfile import FORMAT_VERSION, load_run, save_run


@pytest.fixture(scope="module")
def run() -> Run:
    return relaxed()


@pytest.fixture(scope="module")
def valid(run: Run, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Bytes of a run file."""
    path = tmp_path_factory.mktemp("valid") / "run.h5"
    run.save(path, extra={"prompt": "to be", "logits": np.ones((2, 3))})
    return path.read_bytes()


def refused(path: Path) -> str:
    """The one line that `load_run` refuses a file with."""
    with pytest.raises(Error) as problem:
        load_run(path)
    line = str(problem.value)
    assert "\n" not in line and str(path) in line
    return line


# --- what goes in comes out -------------------------------------------------------------------------


def test_a_run_comes_back(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path / "run.h5")
    again = load_run(tmp_path / "run.h5")
    assert list(again.outputs) == list(run.outputs)
    for name, volts in run.outputs.items():
        assert np.array_equal(again.outputs[name], volts) and again.outputs[name].dtype == volts.dtype
        assert np.array_equal(again.logical(name), run.logical(name))
        assert np.allclose(again.full_scale[name], 1 / 3)
    assert run.settling_time is not None and again.settling_time is not None
    assert np.array_equal(again.settling_time, run.settling_time) and again.settled
    assert again.by_array == run.by_array and again.saturated == run.saturated and again.duration == run.duration
    assert again.statistics == run.statistics and again.statistics["precision"] == "float32"
    assert (again.name, again.analysis, again.temperature) == ("chain", "tran", 300.0)
    assert again.layers["a.1"] == "layer 1"
    assert "settled at" in repr(again)


def test_observed_voltages_come_back(run: Run, tmp_path: Path) -> None:
    run.save(tmp_path / "run.h5")
    again = load_run(tmp_path / "run.h5")
    probe, errors = run.observed["Probe"], run.observed["ErrorByLayer"]
    assert np.array_equal(again.observed["Probe"].times("a.0"), probe.times("a.0"))
    assert np.array_equal(again.observed["Probe"].volts("a.2"), probe.volts("a.2"))
    assert again.observed["Probe"].traces()["a.0"].label(3) == "[3]"
    for name, trace in errors.traces().items():
        assert np.array_equal(again.observed["ErrorByLayer"].traces()[name].values, trace.values)
    assert len(again.plot().axes) == 2


def test_what_is_saved_beside_it_comes_back(run: Run, tmp_path: Path) -> None:
    energy = {"total": np.float64(3e-9), "by_part": {"coupling": {"drawn": 1e-9}}}
    extra = {
        "prompt": "“ROMEO” \n\0 ünï",
        "command": ["dsmachine", "anneal"],
        "energy": energy,
        "logits": np.arange(6.0).reshape(2, 3),
        "timer": (np.array([1e-7]), "s"),
        "nothing": None,
        "a/b": {"x": float("nan")},
    }
    run.save(tmp_path / "run.h5", extra=extra)
    again = load_run(tmp_path / "run.h5").extra
    assert list(again) == list(extra)
    assert again["prompt"] == extra["prompt"] and again["command"] == extra["command"] and again["nothing"] is None
    assert again["energy"] == energy and np.isnan(again["a/b"]["x"])
    assert np.array_equal(again["logits"], extra["logits"]) and again["timer"] == [1e-7]


def test_every_dataset_has_its_unit_and_a_checksum(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(valid)
    units: dict[str, str] = {}

    def look(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            units[name] = bytes(item.attrs["units"]).decode()
            assert item.fletcher32 or item.size == 0, name

    with h5py.File(path) as file:
        file.visititems(look)
        assert file.attrs["format_version"] == FORMAT_VERSION
        assert datetime.fromisoformat(file.attrs["written"].decode()).tzinfo is not None
    assert units["outputs/a.0"] == "V" and units["settling_time"] == "s" and units["noise_rms/value"] == "1"
    assert units["observed/Probe/a.0/times"] == "s" and units["observed/ErrorByLayer/a.0/values"] == "1"


def test_versions_and_seeds_are_in_it(tmp_path: Path) -> None:
    chip = fabricate(chain(), seed=7, mismatch=0.01)
    noisy = transient(chip, {"u": np.zeros(4)}, noise=0.01, noise_seed=5, read_window=1e-9)
    noisy.save(tmp_path / "run.h5")
    again = load_run(tmp_path / "run.h5")
    assert (again.statistics["chip_seed"], again.statistics["noise_seed"]) == (7, 5)
    assert again.statistics["mismatch"] == 0.01
    assert again.noise_rms == noisy.noise_rms and again.settling_time is None and not again.settled
    assert again.versions["numpy"] == np.__version__ and {"dsmachine", "python", "h5py"} <= set(again.versions)


def test_the_technology_of_a_mapped_model_is_in_it(tmp_path: Path) -> None:
    """Every number, in SI, overrides included."""
    tech = load_technology(overrides={"node.capacitance": 60e-15})
    model = load_model(str(write_small(tmp_path / "model")))
    found = operating_point(map_model(model, 2, technology=tech), {"embed": model.embed([0, 1])})
    found.save(tmp_path / "run.h5")
    notes = load_run(tmp_path / "run.h5").notes
    assert notes["technology"] == "cmos45" and notes["technology_values"]["node.capacitance"] == 60e-15


def test_an_operating_point_can_be_saved(tmp_path: Path) -> None:
    save_run(operating_point(chain(), {"u": np.ones(4)}), tmp_path / "op.h5")
    assert load_run(tmp_path / "op.h5").analysis == "op"


@given(st.text())
def test_any_name_is_one_link(name: str) -> None:
    link = quoted(name)
    assert unquoted(link) == name
    assert link not in ("", ".", "..") and "/" not in link and "\0" not in link


# --- writing --------------------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_text("mine")
    with pytest.raises(Error, match="already exists: pass overwrite=True"):
        run.save(path)
    assert path.read_text() == "mine"
    run.save(path, overwrite=True)
    assert load_run(path).settled
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_link_keeps_pointing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real.h5").write_text("old")
    (tmp_path / "link.h5").symlink_to("real.h5")
    run.save(tmp_path / "link.h5", overwrite=True)
    assert (tmp_path / "link.h5").is_symlink() and load_run(tmp_path / "real.h5").settled


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("missing/run.h5", "does not exist: create it"),
        ("file/run.h5", "is a file, not a folder"),
        (".", "is a folder: name a file in it"),
        ("/proc/run.h5", "cannot be written"),  # takes no file, even from root
        ("/dev/null", "is not a regular file"),
        ("a\0b.h5", "cannot be written"),
    ],
)
def test_a_path_that_takes_no_file(run: Run, tmp_path: Path, path: str, line: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Error, match=line) as problem:
        run.save(tmp_path / path, overwrite=True)
    assert "\n" not in str(problem.value)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_permission(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Error, match="Permission denied"):
        run.save(tmp_path / "run.h5")


def test_a_value_without_a_form_leaves_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(Error, match="object has no form in a run file"):
        run.save(tmp_path / "run.h5", extra={"thing": object()})
    with pytest.raises(Error, match="'words' holds <U3, not numbers"):
        run.save(tmp_path / "run.h5", extra={"words": np.array(["abc"])})
    assert os.listdir(tmp_path) == []


WRITE = """
import resource, signal, sys
import numpy as np
from runs import relaxed
from dsmachine.circuits.errors import Error
run = relaxed()
{limit}
print("ready", flush=True)
for k in range({times}):
    try:
        run.save(sys.argv[1], overwrite=True, extra={{"k": k, "big": np.random.default_rng(k).random({size})}})
    except Error as problem:
        print(problem)
"""


def _writer(path: Path, limit: str = "", times: int = 1, size: int = 100_000) -> "subprocess.Popen[str]":
    code = WRITE.format(limit=limit, times=times, size=size)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip


def test_a_killed_process_leaves_a_valid_file(run: Run, tmp_path: Path) -> None:
    """Killed while it rewrites a file over and over: whatever stands there is whole."""
    path = tmp_path / "run.h5"
    run.save(path, extra={"k": -1})
    process = _writer(path, times=10**6, size=400_000)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        process.send_signal(signal.SIGSTOP)  # held still, so that what is seen is still so when it is killed
        time.sleep(0.01)
        if any(name.startswith(".part-") for name in os.listdir(tmp_path)):
            break
        process.send_signal(signal.SIGCONT)
        time.sleep(0.003)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert load_run(path).extra["k"] >= -1
    assert any(name.startswith(".part-") for name in os.listdir(tmp_path)), "killed too late to show anything"


def test_a_full_disk_is_one_line_and_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run.save(path)
    limit = (
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"
    )
    process = _writer(path, limit=limit)
    out, err = process.communicate(timeout=60)
    lines = out.splitlines()
    assert lines[0] == "ready" and len(lines) == 2 and "cannot be written" in lines[1]
    assert err == "" and process.returncode >= 0
    assert os.listdir(tmp_path) == ["run.h5"] and load_run(path).settled


# --- reading what is not a good run file --------------------------------------------------------------


def test_files_that_are_no_run(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.h5")
    assert "is a folder" in refused(tmp_path)
    text, empty, other = (tmp_path / name for name in ("text.h5", "empty.h5", "other.h5"))
    text.write_text("not a run, a letter to a friend")
    assert "is not HDF5" in refused(text)
    empty.write_bytes(b"")
    assert "is empty" in refused(empty)
    with h5py.File(other, "w") as file:
        file["x"] = 1
    assert "is HDF5 but not a run" in refused(other)


def test_a_newer_file(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(valid)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 9
    assert refused(path).endswith(f"is format 9, this dsmachine reads up to {FORMAT_VERSION}: upgrade dsmachine")


def test_a_file_may_hold_more_than_we_know(valid: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(valid)
    with h5py.File(path, "r+") as file:
        file["note of my own"] = "kept"
    assert load_run(path).settled


@pytest.mark.parametrize("what", ["missing", "a group", "a link elsewhere", "an enormous claim", "objects"])
def test_a_file_made_to_deceive(valid: bytes, tmp_path: Path, what: str) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(valid)
    with h5py.File(path, "r+") as file:
        del file["duration"]
        if what == "a group":
            file.create_group("duration")
        elif what == "a link elsewhere":
            file["duration"] = h5py.ExternalLink("/etc/passwd", "x")
        elif what == "an enormous claim":
            file.create_dataset("duration", shape=(10**12,), dtype="f8", chunks=(10**6,))
        elif what == "objects":
            file["duration"] = "text of any length"
    assert "is truncated or damaged" in refused(path)


damage = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@damage
@given(st.data())
def test_mutated_bytes_only_raise_error(valid: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """Or change nothing that is read: then the numbers are the saved ones."""
    bytes_ = bytearray(valid)
    places = data.draw(st.lists(st.integers(0, len(valid) - 1), min_size=1, max_size=20))
    for place in places:
        bytes_[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.h5"
    path.write_bytes(bytes_)
    try:
        again = load_run(path)
    except Error as problem:
        assert "\n" not in str(problem)
    else:
        path.write_bytes(valid)
        good = load_run(path)
        assert all(np.array_equal(again.outputs[n], v) for n, v in good.outputs.items())
        assert again.extra["prompt"] == good.extra["prompt"] and again.statistics == good.statistics


@damage
@given(st.data())
def test_truncated_bytes_raise_error(valid: bytes, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "truncated.h5"
    path.write_bytes(valid[: data.draw(st.integers(0, len(valid) - 1))])
    refused(path)
