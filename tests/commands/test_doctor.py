"""``dsmachine doctor`` says what is there and gives one command for what is not."""

import ctypes
import importlib.metadata
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from dsmachine.commands import doctor, main
from dsmachine.energy.torch_device import REQUIRED


def _parts(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {part["name"]: part for part in found["parts"]}


def test_versions_are_those_installed(capsys: pytest.CaptureFixture[str]) -> None:
    parts = _parts(capsys)
    assert parts["numpy"]["version"] == np.__version__
    assert parts["h5py"]["version"] == importlib.metadata.version("h5py")
    assert parts["python"]["found"] is True
    assert "thread" in str(parts["BLAS"]["detail"])
    for name in ("PySpice", "ngspice", "libngspice", "CuPy", "torch", "transformers"):
        assert name in parts


def test_blas_threads_are_those_of_this_process() -> None:
    code = "from dsmachine.commands import doctor; print(doctor._blas_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("1", "None")


def test_missing_package_has_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    part = doctor._package("no-such-package", "a test", "no-such-package>=1")
    assert not part.found
    assert part.fix == f"{sys.executable} -m pip install 'no-such-package>=1'"


def test_missing_ngspice_gives_the_apt_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    parts = _parts(capsys)
    for name in ("ngspice", "libngspice"):
        assert parts[name]["found"] is False
        assert str(parts[name]["fix"]).endswith("apt-get install -y ngspice libngspice0-dev")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.count("apt-get install") == 1
    assert "# ngspice, libngspice" in out


def test_wheel_follows_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_cupy_version", lambda: None)
    for driver, wheel in [(12, "cupy-cuda12x"), (13, "cupy-cuda13x")]:
        monkeypatch.setattr(doctor, "_cuda_of_driver", lambda driver=driver: driver)
        (part,) = doctor._cupy()
        assert wheel in str(part.fix)
    monkeypatch.setattr(doctor, "_cuda_of_driver", lambda: None)
    (part,) = doctor._cupy()
    assert part.fix is None


@pytest.mark.spice
@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_ngspice_is_found_and_loads(capsys: pytest.CaptureFixture[str]) -> None:
    parts = _parts(capsys)
    assert parts["ngspice"]["found"] is True
    assert int(str(parts["ngspice"]["version"]).split(".")[0]) >= 30
    try:
        ctypes.CDLL("libngspice.so")
    except OSError:
        assert parts["libngspice"]["found"] is False
    else:
        assert parts["libngspice"]["found"] is True


def test_the_baseline_asks_for_what_doctor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    fixes = {part.name: part.fix for part in doctor.examine()}
    assert all(f"'{wanted}'" in fixes[name] for name, wanted in REQUIRED.items())
