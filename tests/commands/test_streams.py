"""Where a command's words go: streams that are full, that nobody reads, or that cannot write every letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_models import write_small


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path / "small")


def _process(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dsmachine", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, **options)


def test_no_room_for_stdout(small: Path) -> None:
    with open("/dev/full", "w") as full:
        done = _process(["info", str(small), "--json"], stdout=full)
    assert done.returncode == 2
    assert re.fullmatch(r".*stdout.*no space left.*make room.*\n", done.stderr, re.IGNORECASE), done.stderr


def test_nobody_reads_stdout(small: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _process(["info", str(small), "--json"], stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_terminal_without_utf8(small: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = _process(["info", str(small)], stdout=subprocess.PIPE, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "time constants" in done.stdout
