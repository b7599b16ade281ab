"""``dsmachine sweep``: what it says and writes, a kill −9 that loses nothing, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from gpt2_folders import SHAPES, config_table
from small_models import write_small

import dsmachine as ds
from dsmachine.commands import main
from dsmachine.sweeps.grammar import parse_vary

QUICK = ["--windows", "2", "--set", "positions=4"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("models") / "small"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dsmachine" / "sweeps.sqlite"


def test_a_sweep_from_the_command_line(
    small: str, tmp_path: Path, own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, picture = tmp_path / "sweep.h5", tmp_path / "sweep.png"
    axes = ["--vary", "mismatch=0:0.2:3", "--vary", "supply.swing=400,500 mV"]
    command = ["sweep", small, *axes, *QUICK, "--chips", "3", "--metric", "perplexity,settling_time,energy"]
    command += ["--limit", "perplexity=12", "--limit", "settling_time=1 µs", "--workers", "1"]
    assert main(["-q", *command, "-o", str(path), "--picture", str(picture), "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    said = json.loads(out)
    assert said["axes"] == {"mismatch": [0, 0.1, 0.2], "supply.swing": [0.4, 0.5]}
    assert len(said["points"]) == 6 and said["limits"] == {"perplexity": 12, "settling_time": 1e-6}
    assert said["computed"] == 2 * 2 * (1 + 3 + 3) and said["from_cache"] == 0
    found = ds.load_sweep(path)
    assert found.of("energy").shape == (3, 2, 3, 1)
    first = said["points"][-1]
    assert first["mismatch"] == 0.2 and first["perplexity"]["mean"] == found.mean("perplexity")[2, 1]
    assert first["perplexity"]["yield"] == found.yield_at("perplexity")[2, 1]
    assert picture.read_bytes().startswith(b"\x89PNG") and own_cache.exists()
    drawn = ["-o", str(path), "--picture", str(picture)]
    assert main([*command, *drawn]) == 0  # the same files, of the same sweep
    shown = capfd.readouterr().out
    for word in ("mismatch", "±", "yield", "nJ", "ns", "0 measurements made, 28 found", str(path)):
        assert word in shown
    other = [word.replace("400,500 mV", "300 mV") for word in command]
    before = picture.read_bytes()
    assert main([*other, *drawn]) == 2 and picture.read_bytes() == before
    assert main([*command, "--picture", str(picture)]) == 2  # nothing says that it is this sweep's
    assert "already exists" in capfd.readouterr().err
    assert main([*[word.replace("0:0.2:3", "0:0.3:4") for word in command], "-o", str(path)]) == 0
    assert ds.load_sweep(path).of("energy").shape == (4, 2, 3, 1)


@pytest.mark.parametrize(
    ("written", "name", "values"),
    [
        ("mismatch=2%,5%", "mismatch", [0.02, 0.05]),
        ("mismatch=0, 2 %, 5 %", "mismatch", [0.0, 0.02, 0.05]),
        ("noise=0,thermal,5%", "noise", [0.0, "thermal", 0.05]),
        ("noise=1%,thermal", "noise", [0.01, "thermal"]),
        ("node.capacitance=40f,49f", "node.capacitance", [40e-15, 49e-15]),
        ("node.capacitance=40,49 fF", "node.capacitance", [40e-15, 49e-15]),
        ("node.capacitance=40,49fF", "node.capacitance", [40e-15, 49e-15]),
        ("node.capacitance=900aF,0.05p", "node.capacitance", [900e-18, 50e-15]),
        ("coupling.width=120n,240n", "coupling.width", [120e-9, 240e-9]),
        ("coupling.width=120 nm,0.24 µm", "coupling.width", [120e-9, 240e-9]),
        ("input_resistance=0,10k,2meg", "input_resistance", [0.0, 1e4, 2e6]),
        ("auto-zero=none,0.1%", "auto-zero", ["none", 0.001]),
        ("mismatch=0:10:3 %", "mismatch", [0.0, 0.05, 0.1]),
        ("read_window=100:400:3:log ns", "read_window", [1e-7, 2e-7, 4e-7]),
    ],
)
def test_values_have_a_unit_each_or_one_after_the_last(written: str, name: str, values: list[float | str]) -> None:
    assert parse_vary(written) == (name, values)


def test_one_chip_has_no_deviation(small: str, capfd: pytest.CaptureFixture[str]) -> None:
    axes = ["--vary", "mismatch=0,0.1", "--vary", "adc_bits=none,6"]
    assert main(["sweep", small, *axes, *QUICK, "--chips", "3", "--workers", "1"]) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines() if " none " in line or " 6 " in line]
    assert [(row[:2], "±" in row) for row in rows] == [
        (["0", "none"], False), (["0", "6"], False), (["0.1", "none"], True), (["0.1", "6"], True),
    ]  # fmt: skip


def test_a_killed_sweep_loses_nothing(
    small: str, tmp_path: Path, own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL in the middle: no file, no process left, and the rerun measures only what was not finished."""
    path = tmp_path / "sweep.h5"
    options = ["--vary", "mismatch=0.01:0.3:10", *QUICK, "--chips", "6", "--workers", "2", "-o", str(path)]
    command = [sys.executable, "-m", "dsmachine", "sweep", small, *options]
    environment = os.environ | {"PYTHONPATH": str(Path(ds.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while kept(own_cache) < 5 and time.monotonic() < until:
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and len(children) == 2
    assert not path.exists()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}/cmdline").exists() for child in children)
    before = kept(own_cache)
    assert 5 <= before < 60
    assert main(["-q", "sweep", small, *options, "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["from_cache"], said["computed"]) == (before, 60 - before)
    alone = ds.sweep(
        small, {"mismatch": np.linspace(0.01, 0.3, 10).round(12)}, chips=6, windows=2, settings={"positions": 4},
        workers=1, cache=tmp_path / "another",
    )  # fmt: skip
    np.testing.assert_array_equal(ds.load_sweep(path).of("perplexity"), alone.of("perplexity"))


def kept(cache: Path) -> int:
    if not cache.exists():
        return 0
    with sqlite3.connect(cache, timeout=30) as database:
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0
        return int(database.execute("SELECT count(*) FROM results").fetchone()[0])


def test_ctrl_c_says_what_is_kept(
    small: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, told: object, **options: object) -> None:
        told(3, 12)  # type: ignore[operator]
        raise KeyboardInterrupt

    monkeypatch.setattr("dsmachine.sweeps.sweep.sweep", stopped)
    assert main(["sweep", small, "--vary", "mismatch=0,0.1"]) == 130
    assert capfd.readouterr().err == (
        "interrupted: 3 of 12 measurements are kept in the cache: the same command goes on\n"
    )


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["sweep", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ("nothing varies",)),
        (["--vary", "mismach=0,1"], ("'mismach'", "did you mean 'mismatch'")),
        (["--vary", "coupling.W=1e-7"], ("'coupling.W'", "did you mean 'coupling.width'")),
        (["--vary", "swng=0.1,0.2"], ("did you mean 'supply.swing'",)),
        (["--vary", "write_verify=0.1,0.2"], ("did you mean 'write-verify'",)),
        (["--vary", "node.foo=1,2"], ("'node.foo'", "did you mean 'node.capacitance' or 'node.")),
        (["--vary", "foo=1,2"], ("'foo' is no parameter of a sweep: use mismatch, ", "docs/sweeps.md")),
        (["--vary", "swing=0.1,0.2"], ("'swing'", "did you mean 'supply.swing'")),
        (["--set", "vt-mismatch=0.1", "--vary", "mismatch=0,0.1"], ("did you mean 'vt_mismatch'",)),
        (["--vary", "mismatch"], ("'mismatch'", "NAME=FROM:TO:COUNT")),
        (["--vary", "mismatch=0:0.3"], ("'mismatch=0:0.3'", "FROM:TO:COUNT")),
        (["--vary", "mismatch=0..0.3"], ("'mismatch=0..0.3'", "FROM:TO:COUNT")),
        (["--vary", "mismatch=0:0.3:x"], ("FROM:TO:COUNT",)),
        (["--vary", "mismatch=0:0.3:1"], ("1 values",)),
        (["--vary", "mismatch=0:0.3:7:cubic"], ("FROM:TO:COUNT",)),
        (["--vary", "mismatch=0:0.3:7:log"], ("equal factors", "above 0")),
        (["--vary", "mismatch=0.1:0.1:3"], ("no extent",)),
        (["--vary", "mismatch=0:0.3:99999999"], ("99999999 values",)),
        (["--vary", "mismatch=0,,1"], ("'mismatch=0,,1'",)),
        (["--vary", "mismatch=0,0.1 parsec"], ("'parsec'",)),
        (["--vary", "mismatch=0.02,5%"], ("has 0.02 beside", "write % behind each: 2%,5%")),
        (["--vary", "mismatch=2%,0.05"], ("has 0.05 beside", "write % behind each: 2%,5%")),
        (["--vary", "mismatch=2,5 %"], ("has 2 beside", "write % behind each: 2%,5%")),
        (["--vary", "input_resistance=0,1000,10k"], ("has 1000 beside a number in k", "write k behind each: 2k,5k")),
        (["--vary", "mismatch=0.1,5m"], ("has 0.1 beside", "write m behind each: 2m,5m")),
        (["--vary", "node.capacitance=40 fF,49"], ("has 49 without a unit", "one behind each, or one after the last")),
        (["--vary", "node.capacitance=40f,49,60f"], ("has 49 beside a number in f", "write f behind each")),
        (["--vary", "node.capacitance=40f,49mV"], ("'mV'", "measured in F")),
        (["--vary", "node.capacitence=40f,49f"], ("'node.capacitence'", "did you mean 'node.capacitance'")),
        (["--vary", "mismatch=0,0.1", "--set", "node.capacitence=49f"], ("did you mean 'node.capacitance'",)),
        (["--vary", "temperature=27,85"], ("temperature is 27.0 K", "200 … 450 K")),
        (["--vary", "temperature=0,27°C"], ("'°C'", "write 273.15 K")),
        (["--vary", "temperature=0,27 °C"], ("'°C'", "write 273.15 K")),
        (["--vary", "vdd=0.9:1.1:3 A"], ("'A'", "measured in V")),
        (["--vary", "mismatch=0,0"], ("'mismatch'", "twice")),
        (["--vary", "mismatch=0,0.1", "--vary", "mismatch=2"], ("--vary", "twice")),
        (["--vary", "mismatch=0,0.1", "--set", "mismatch=1"], ("both varied and set",)),
        (["--vary", "mismatch=0,-0.1"], ("mismatch is -0.1", "standard deviation")),
        (["--vary", "mismatch=1,2,5"], ("mismatch is 1.0", "below 1", "0.02 means 2 %")),
        (["--vary", "mismatch=0,0.1", "--set", "auto-zero=5"], ("auto-zero is 5.0", "below 1")),
        (["--vary", "mismatch=0,much"], ("mismatch is 'much'", "number")),
        (["--vary", "read_window=120,240", "--set", "noise=thermal"], ("read_window is 120.0", "120 ns")),
        (["--vary", "noise=0,2"], ("noise 2.0",)),
        (["--vary", "noise=0,loud"], ("noise is 'loud'", "'thermal'")),
        (["--vary", "weight_bits=4,5.5"], ("weight_bits is 5.5", "whole")),
        (["--vary", "weight_bits=1,4"], ("weight_bits", "2 … 24")),
        (["--vary", "corner=TT,XX"], ("'XX'", "corner")),
        (["--vary", "coupling=buffered,loose"], ("'loose'", "balanced")),
        (["--vary", "softmax=translinear", "--set", "order=3"], ("order 3", "translinear")),
        (["--vary", "positions=4,4000"], ("positions is 4000",)),
        (["--vary", "positions=1,4"], ("positions is 1",)),
        (["--vary", "supply.swing=0,0.5"], ("'supply.swing' is 0.0",)),
        (["--vary", "pelgrom=0,1"], ("pelgrom", "device card")),
        (["--vary", "output_class=AB,C"], ("'C'", "AB")),
        (["--vary", "mismatch=0,0.1", "--metric", "perplexty"], ("'perplexty'", "did you mean 'perplexity'")),
        (["--vary", "mismatch=0,0.1", "--limit", "energy=1"], ("'energy'", "not computed", "compute it too")),
        (["--vary", "mismatch=0,0.1", "--limit", "perplexity"], ("METRIC=NUMBER",)),
        (["--vary", "mismatch=0,0.1", "--limit", "perplexity=low"], ("METRIC=NUMBER",)),
        (["--vary", "mismatch=0,0.1", "--chips", "0"], ("chips is 0",)),
        (["--vary", "mismatch=0,0.1", "--chips", "1000000", "--noise-seeds", "1000000"], ("points", "10,000,000")),
        (["--vary", "mismatch=0,0.1", "--workers", "0"], ("workers is 0",)),
        (["--vary", "mismatch=0,0.1", "--windows", "0"], ("windows is 0",)),
        (["--vary", "mismatch=0,0.1", "--text", "/nowhere.txt"], ("/nowhere.txt", "cannot be read")),
        (["--vary", "mismatch=0,0.1", "--device", "abacus"], ("'abacus'",)),
        (
            ["--vary", "mismatch=0,0.1", "--scheduler", "tcp://x:1", "--workers", "2"],
            ("workers 2 would be ignored", "scheduler is 'tcp://x:1'"),
        ),
        (["--vary", "mismatch=0,0.1", "-o", "/nowhere/sweep.h5"], ("/nowhere",)),
        (["--vary", "mismatch=0,0.1", "--cache", "/nowhere/cache"], ("/nowhere/cache", "cannot be used")),
        (["--vary", "mismatch=0,0.1", "--scheduler", "here"], ("scheduler 'here' is no address", "tcp://HOST:PORT")),
        (["--vary", "mismatch=0,0.1", "--picture", "x.foo"], ("picture x.foo has no known format", "png")),
        (["--vary", "technology=cmos45,cmos99"], ("'cmos99'",)),
        (["--vary", "device_card=/nowhere.h5"], ("/nowhere.h5",)),
    ],
)
def test_what_is_refused(
    options: list[str], words: tuple[str, ...], small: str, own_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = refused(capfd, small, *options)
    for word in words:
        assert word in err
    assert len(err) < 250 and not kept(own_cache)


def test_a_file_of_another_sweep_is_kept(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.h5"
    whole = ["--vary", "mismatch=0,0.1", *QUICK, "--chips", "2", "--workers", "1", "-o", str(path)]
    assert main(["-q", "sweep", small, *whole]) == 0
    capfd.readouterr()
    content = path.read_bytes()
    given = tmp_path / "given.txt"
    given.write_text("abcdefghijkl" * 5)
    for changed, why in (
        (["--vary", "mismatch=0,0.2"], "(mismatch: 0.1 there, 0, 0.2 here)"),
        (["--vary", "offset=0,0.1"], "(axes: mismatch there, offset here)"),
        (["--vary", "mismatch=0,0.1", "--chips", "1"], "(chip: 1 there, 0 here)"),
        (["--vary", "mismatch=0,0.1", "--set", "offset=0.1"], "(offset: its default there, 0.1 here)"),
        (["--vary", "mismatch=0,0.1", "--metric", "energy"], "(metrics: perplexity there, energy here)"),
        (["--vary", "mismatch=0,0.1", "--windows", "3"], "(windows: 2 there, 3 here)"),
        (["--vary", "mismatch=0,0.1", "--text", str(given)], "(text: calibration text there, given here)"),
    ):
        err = refused(capfd, small, *QUICK, "--chips", "2", *changed, "-o", str(path))
        assert "is of another sweep" in err and why in err and "--overwrite" in err
    assert path.read_bytes() == content
    assert main(["-q", "sweep", small, *whole, "--limit", "perplexity=9"]) == 0
    capfd.readouterr()
    content = path.read_bytes()
    for changed, why in ((["--limit", "perplexity=8"], "9 there, 8 here"), ([], "9 there, none here")):
        err = refused(capfd, small, *whole, *changed)
        assert f"is of another sweep (limit of perplexity: {why})" in err and path.read_bytes() == content
    other = tmp_path / "run.h5"
    with h5py.File(other, "w") as file:
        file["x"] = 1
    assert "is HDF5 but not a sweep" in refused(capfd, small, "--vary", "mismatch=0,0.1", "-o", str(other))
    assert main(["-q", "sweep", small, "--vary", "offset=0,0.1", *whole[2:], "--overwrite"]) == 0
    assert ds.load_sweep(path).dimensions[0] == "offset"
    assert main(["-q", "sweep", small, "--vary", "offset=0,0.1", *whole[2:], "--set", "mismatch=0"]) == 0


def test_somebody_elses_database_is_not_written_to(
    small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other, text = tmp_path / "other.sqlite", tmp_path / "text"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    text.write_text("no database\n" * 100)
    before = other.read_bytes()
    assert "is a database of something else" in refused(capfd, small, "--vary", "mismatch=0,0.1", "--cache", str(other))
    assert "cannot be used (file is not" in refused(capfd, small, "--vary", "mismatch=0,0.1", "--cache", str(text))
    assert other.read_bytes() == before


def test_an_empty_text_is_named(small: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert f"text {empty} is empty" in refused(capfd, small, "--vary", "mismatch=0,0.1", "--text", str(empty))


def test_a_model_that_is_not_there_is_not_swept(capfd: pytest.CaptureFixture[str]) -> None:
    assert "'nope'" in refused(capfd, "nope", "--vary", "mismatch=0,0.1")


def test_a_classifier_is_not_swept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, config = tmp_path / "classifier", replace(SHAPES[0], labels=2)
    write_small(folder, config=config)
    table = config_table(config) | {"architectures": ["GPT2ForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(table | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert "tells 2 classes apart and writes no text" in refused(capfd, str(folder), "--vary", "mismatch=0,0.1")
