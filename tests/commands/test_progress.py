"""Progress where stderr is no terminal: lines, few, and none of a short run; bars where it is one."""

from __future__ import annotations

import io
import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from small_models import PROMPT, write_small

from dsmachine.commands import _progress, main
from dsmachine.commands._progress import PlainProgress, progress, stage_progress

LINE = re.compile(r"\d+:\d\d:\d\d(  \d+%)?(  \S.*)?")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_small(tmp_path_factory.mktemp("models") / "small"))


def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines as if a run took a thousand times as long."""
    monkeypatch.setattr(PlainProgress, "seconds", 0.01)
    monkeypatch.setattr(PlainProgress, "longest", 0.01)


def wait_for(done: Callable[[], bool]) -> None:
    """What comes soon, however long the machine stands still before."""
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_log_has_lines_and_stdout_the_result(
    small: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    often(monkeypatch)
    assert main(["anneal", small, "--prompt", PROMPT, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["prompt"] == PROMPT
    lines = err.splitlines()
    assert lines and all(LINE.fullmatch(line) for line in lines), lines
    assert any(re.search(r"%  anneal  \d+ ns$", line) for line in lines)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sweep", "--vary", "mismatch=0,0.1", "--chips", "2", "--set", "positions=4", "--workers", "1"], r"measured"),
        (["train", "--data", "text.txt", "--steps", "8", "--batch", "1"], r"step \d+  loss"),
    ],
)
def test_sweeps_and_trainings(
    command: list[str], said: str, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    often(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "text.txt").write_text("abcde" * 26)
    monkeypatch.chdir(tmp_path)
    assert main([command[0], small, *command[1:]]) == 0
    out, err = capfd.readouterr()
    assert out and not any(LINE.fullmatch(line) for line in out.splitlines())
    assert any(re.search(rf"\d%  {said}", line) for line in err.splitlines()), err


def test_a_short_run_and_a_quiet_one_say_nothing(
    small: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PlainProgress, "seconds", 600.0)
    assert main(["anneal", small, "--prompt", PROMPT]) == 0
    assert capfd.readouterr().err == ""
    often(monkeypatch)
    assert main(["-q", "anneal", small, "--prompt", PROMPT]) == 0
    assert capfd.readouterr().err == ""


class Clock:
    """In place of the time, and of the event that a writer waits for: half an hour that takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now >= 2800

    def set(self) -> None: ...


def test_lines_are_few(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Each 10 s at first, then each tenth of what has passed, then each minute."""
    clock, bar = Clock(), PlainProgress()
    bar.add_task("wait", total=None)
    monkeypatch.setattr(_progress, "time", clock)
    monkeypatch.setattr(bar, "_over", clock)
    bar.start()
    bar.stop()
    lines = capfd.readouterr().err.splitlines()
    assert lines[:3] == ["0:00:10  wait", "0:00:20  wait", "0:00:30  wait"]
    assert lines[-1].endswith("  wait") and len(lines) < 60
    at = [60 * int(line[2:4]) + int(line[5:7]) for line in lines]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert gaps[:9] == [10] * 9 and gaps[-10:] == [60] * 10


def test_no_line_comes_after_the_end(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    often(monkeypatch)
    with stage_progress() as stage:
        stage("wait")
        wait_for(lambda: "wait" in capfd.readouterr().err)
    capfd.readouterr()
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_a_log_that_is_full_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        tried = 0

        def write(self, text: str) -> int:
            Full.tried += 1
            raise OSError(28, "No space left on device")

    often(monkeypatch)
    monkeypatch.setattr("sys.stderr", Full())
    with stage_progress() as stage:
        stage("wait")
        wait_for(lambda: Full.tried > 1)


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, kind in ((True, Progress), (False, PlainProgress)):
        console = Console(file=io.StringIO(), force_terminal=terminal, _environ={"TERM": "xterm"})
        monkeypatch.setattr(_progress, "messages_console", lambda console=console: console)
        assert type(progress()) is kind
