"""The frame of the command line: one-line errors, exit codes, one JSON object, safe outputs."""

import ctypes
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.commands import _common, doctor, main
from dsmachine.emulator.files import check_target, written_whole


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the command ``doctor`` run into ``error``."""

    def examine() -> list[doctor.Part]:
        raise error

    monkeypatch.setattr(doctor, "examine", examine)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dsmachine {ds.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert "doctor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nope"], "nope"),
        (["--nope"], "--nope"),
        (["doctor", "--nope"], "--nope"),
        (["doctor", "extra"], "extra"),
        (["-q", "-v", "doctor"], "-q and -v"),
    ],
)
def test_usage_error_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], named: str) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert named in err
    assert "--help" in err
    assert err.endswith("\n") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "m", "--data", "x", "--lr", "5m"], "'--lr': '5m' is no plain number: write one such as 0.001"),
        (["train", "m", "--data", "x", "--clip=1%"], "'--clip': '1%' is no plain number: write one such as 0.001"),
        (["train", "m", "--data", "x", "--steps", "5k"], "'--steps': '5k' is no whole number: write one such as 8"),
        (["anneal", "m", "--settle-bits", "x"], "'--settle-bits': 'x' is no plain number: write one such as 8"),
        (["place", "m", "--tokens", "1.5"], "'--tokens': '1.5' is no whole number: write one such as 8"),
    ],
)
def test_what_is_no_number_is_told_one(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(arguments) == 2
    help_of = f"see 'dsmachine {arguments[0]} --help'"
    assert capsys.readouterr().err == f"error: Invalid value for {said}: {help_of}\n"


def test_error_is_one_line_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(monkeypatch, ds.Error("tensor 'σ\x1b[31m'\nis NaN: retrain"))
    assert main(["doctor", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: tensor 'σ\\x1b[31m' is NaN: retrain\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError, match="bug"):
        main(["doctor"])


def test_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _raising(monkeypatch, KeyboardInterrupt())
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_process_exit_code_and_streams() -> None:
    done = subprocess.run([sys.executable, "-m", "dsmachine", "doctor", "--nope"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_json_alone_on_stdout(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Not even a C library that prints can join the object on stdout."""

    def examine() -> list[doctor.Part]:
        print("from python")
        os.write(1, b"from the system\n")
        ctypes.CDLL(None).puts(b"from C")
        return [doctor.Part("numpy", "everything", True)]

    monkeypatch.setattr(doctor, "examine", examine)
    assert main(["doctor", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["parts"][0]["name"] == "numpy"
    assert all(f"from {who}" in err for who in ("python", "the system", "C"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], ["warning"]),
        (["-v"], ["warning", "info"]),
        (["-vv"], ["warning", "info", "debug"]),
        (["-q"], []),
    ],
)
def test_verbosity(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: list[str],
) -> None:
    def examine() -> list[doctor.Part]:
        logger = logging.getLogger("dsmachine.somewhere")
        for level in (logging.WARNING, logging.INFO, logging.DEBUG):
            logger.log(level, "x")
        return []

    monkeypatch.setattr(doctor, "examine", examine)
    assert main([*options, "doctor", "--json"]) == 0
    assert capsys.readouterr().err == "".join(f"{level}: x\n" for level in said)


def test_a_warning_is_said_once_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def examine() -> list[doctor.Part]:
        for text in ("x", "y", "x"):
            logging.getLogger("dsmachine.somewhere").warning(text)
        return []

    monkeypatch.setattr(doctor, "examine", examine)
    for _ in range(2):
        assert main(["doctor", "--json"]) == 0
        assert capsys.readouterr().err == "warning: x\nwarning: y\n"


class _Colour(Enum):
    RED = "red"


@dataclass
class _Pair:
    a: Any
    b: Any


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(np.nan), None),
        (float("-inf"), None),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        ({1: (np.int8(2), {"s"})}, {"1": [2, ["s"]]}),
        (Path("a/b"), "a/b"),
        (_Colour.RED, "red"),
        (_Pair(np.inf, None), {"a": None, "b": None}),
    ],
)
def test_to_plain(value: Any, plain: Any) -> None:
    assert _common.to_plain(value) == plain
    json.dumps(_common.to_plain(value), allow_nan=False)


def test_no_half_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match="object"):
        _common.write_json({"good": 1, "bad": object()})
    assert capsys.readouterr().out == ""


def test_output_file_is_refused_before_work(tmp_path: Path) -> None:
    old = tmp_path / "run.h5"
    old.write_text("old")
    for path, reason in [
        (old, "already exists"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "run.h5", "does not exist"),
        (old / "run.h5", "is a file, not a folder"),
        (Path("/dev/null"), "not a regular file"),
        (tmp_path / ("x" * 300), "cannot be written"),
        (Path("/proc/run.h5"), "cannot be written"),  # where not even root may
    ]:
        with pytest.raises(ds.Error, match=reason) as caught:
            check_target(path)
        assert str(path) in str(caught.value)
    assert check_target(old, overwrite=True) == old
    assert check_target(tmp_path / "new.h5").name == "new.h5"
    assert os.listdir(tmp_path) == ["run.h5"]


def test_output_folder(tmp_path: Path) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "x").touch()
    file.touch()
    for path, reason in [
        (full, "not empty"),
        (file, "not a folder"),
        (tmp_path / "none" / "demo", "does not exist"),
        (Path("/proc/demo"), "cannot be written"),
    ]:
        with pytest.raises(ds.Error, match=reason):
            _common.check_output_folder(path, overwrite=False)
    assert _common.check_output_folder(full, overwrite=True) == full
    assert _common.check_output_folder(tmp_path / "new", overwrite=False).name == "new"


def test_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    with written_whole(path) as part:
        part.write_text("first")
        assert part.suffix == ".txt"
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), written_whole(path, overwrite=True) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["run.txt"]
