"""Progress on stderr, a bar on a terminal and lines in a log: an annealing model's stages, and within the transient how
much of it has settled; a training's steps."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ._common import messages_console

if TYPE_CHECKING:
    from ..emulator.observers import Element
    from ..emulator.plan import Plan
    from ..training import Trained

Array = Any


class PlainProgress(Progress):
    """Progress for a log: a line on stderr every `seconds`, later each minute; none for what is over before.

    A thread writes them, as a bar's does: what a line says stands for as long as a stage tells nothing.
    """

    seconds, longest = 10.0, 60.0

    def __init__(self) -> None:
        super().__init__(disable=True)
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        """Begin to count the time."""
        self._began = time.monotonic()
        self._writer.start()

    def stop(self) -> None:
        """No line comes after this."""
        self._over.set()
        self._writer.join()

    def line(self, seconds: float) -> str:
        """What there is to say after so long: the time, what goes on, and how much of it is done where that is known.

        >>> bar = PlainProgress()
        >>> _ = bar.add_task("anneal  12 ns", total=4, completed=1)
        >>> bar.line(75.2)
        '0:01:15  25%  anneal  12 ns'
        """
        shown = [task for task in self.tasks if task.visible]
        said = [("" if task.total is None else f"{task.percentage:.0f}%  ") + task.description for task in shown]
        return "  ".join([str(timedelta(seconds=int(seconds))), *said])

    def _write(self) -> None:
        wait = self.seconds
        while not self._over.wait(wait):
            elapsed = time.monotonic() - self._began
            with contextlib.suppress(OSError):  # the log is full or gone: the work is not
                sys.stderr.write(f"{self.line(elapsed)}\n")
            wait = min(max(self.seconds, elapsed / 10), self.longest)


def progress() -> Progress:
    """Progress on stderr: a bar on a terminal, lines elsewhere, nothing under ``-q``."""
    console = messages_console()
    loud = logging.getLogger("dsmachine").isEnabledFor(logging.WARNING)
    if loud and (not console.is_terminal or console.is_dumb_terminal):
        return PlainProgress()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not loud,
        redirect_stdout=False,
    )


class StageProgress:
    """One line a stage; called with its name as it begins."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self._task = bar.add_task("", total=None, visible=False)

    def __call__(self, name: str) -> None:
        self.bar.remove_task(self._task)  # `reset` keeps a total, at which a stage without one would stand still
        self._task = self.bar.add_task(name, total=None)

    def done(self, what: str, share: float | None) -> None:
        """Which share of a stage is done (None: not known); the stage begins with its first."""
        if what != self.bar.tasks[0].description:
            self(what)
        if share is not None:
            self.bar.update(self._task, total=1.0, completed=share)

    def reached(self, time: float, share: float | None) -> None:
        """Within a stage: simulated seconds, and the share of arrays that have settled (None: not asked)."""
        stage = self.bar.tasks[0].description.split("  ")[0]
        total = None if share is None else 1.0
        self.bar.update(self._task, description=f"{stage}  {time * 1e9:.0f} ns", total=total, completed=share)


class SettledShare:
    """Observer: tells `stage` the time reached and, unless noisy, the share of arrays within 2⁻ᵇ of their full scale
    of the operating point."""

    keeps = ("_time",)

    def __init__(self, stage: StageProgress, bits: float | None) -> None:
        self.stage, self.bits = stage, bits
        self._target: Mapping[str, Array] = {}
        self._per: dict[str, Array] = {}
        self._inside: dict[str, bool] = {}
        self._time = 0.0

    def aim(self, target: Mapping[str, Array]) -> None:
        self._target = target

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._per = {stage.name: stage.per_full_scale for stage in plan.stages}
        self._inside = dict.fromkeys(self._per, False)

    def element(self, element: Element) -> None:
        if self.bits is None:
            self.stage.reached(element.start, None)
            return
        for name in element.initial:
            off = abs(element.values[name][-1] - self._target[name]) * self._per[name]
            self._inside[name] = bool((off <= 2.0**-self.bits).all())
        self.stage.reached(self._time, self.share)

    def window(self, time: float) -> None:
        self._time = time
        self.stage.reached(time, None if self.bits is None else self.share)

    @property
    def share(self) -> float:
        """Share of arrays that have settled."""
        return sum(self._inside.values()) / max(len(self._inside), 1)


@contextlib.contextmanager
def stage_progress() -> Iterator[StageProgress]:
    """A live line on stderr, gone at the end."""
    with progress() as bar:
        yield StageProgress(bar)


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[Trained], None]]:
    """A live bar on stderr with loss, accuracy and joules; to be called after each step."""
    from ..circuits.units import engineering

    with progress() as bar:
        task = bar.add_task("train", total=None)

        def told(found: Trained) -> None:
            spent = "" if found.energy is None else f"  {engineering(found.energy, 'J')}"
            said = f"step {found.steps}  loss {found.loss[-1]:.3f}  accuracy {found.accuracy[-1]:.0%}{spent}"
            bar.update(task, description=said, completed=found.steps, total=found.course.total)

        yield told
