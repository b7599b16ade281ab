"""Local processes that measure, one a core, or one a GPU where there are any.

Each is a Python of its own (`worker.py`) at the end of a socket: it ends when the socket closes, so nobody is left
behind by a killed sweep. A worker that dies is replaced and its job is given out again.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ..circuits.errors import Error
from .bench import Bench, Job, Laboratory, Task

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
STDERR = 2  # stdout is the result's
DEATHS = 3  # of workers on one job, after which it is given up
GIVEN_UP = f"{DEATHS} processes that measured it died, of too little memory? use fewer workers"


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its metrics, or why there are none; warnings it gave."""

    job: Job
    found: dict[str, float] | None
    error: str = ""
    warnings: tuple[str, ...] = ()


def devices_here(device: str | None) -> list[str]:
    """One for each process: the GPUs if there are any, else "numpy" once a core that this process may use."""
    if device is None or device == "cupy":
        gpus = _gpus()
        if gpus or device == "cupy":
            return [f"cupy:{k}" for k in range(gpus)] or ["cupy"]
    return ["numpy"] * len(os.sched_getaffinity(0)) if device in (None, "numpy") else [str(device)]


def _gpus() -> int:
    try:
        import cupy
    except ImportError:
        return 0
    return int(cupy.cuda.runtime.getDeviceCount()) if cupy.cuda.is_available() else 0


def outcomes(laboratory: Laboratory, task: Task) -> list[Outcome]:
    """Measure; what a user can put right is told, not raised. Where one of several jobs fails, each is done alone."""
    try:
        return [Outcome(job, found) for job, found in zip(task, laboratory.measure(task), strict=True)]
    except Error as error:
        if len(task) == 1:
            return [Outcome(task[0], None, str(error))]
        return [each for job in task for each in outcomes(laboratory, (job,))]


def measured_here(bench: Bench, work: Iterable[Task], device: str) -> Iterator[Outcome]:
    """One after another, in this process."""
    laboratory = Laboratory(bench, device)
    for task in work:
        yield from outcomes(laboratory, task)


def measured_by_processes(bench: Bench, work: Iterable[Task], devices: list[str]) -> Iterator[Outcome]:
    """As each is finished, by one process for each of the devices."""
    queue = _Queue(work)
    workers = [_Worker(bench, device) for device in devices[: len(queue)]]
    try:
        for worker in workers:
            worker.greet()
            worker.give(queue.next_for(worker))
        while busy := [worker for worker in workers if worker.task]:
            ready = wait([worker.line for worker in busy])
            for worker in busy:
                if worker.line not in ready:
                    continue
                task, said = worker.task, worker.take()
                if not said:
                    worker.restart()
                    said = queue.returned(task)
                yield from said
                worker.give(queue.next_for(worker))
    finally:
        for worker in workers:
            worker.stop()


class _Queue:
    """Tasks in groups of one chip each; a worker stays with its group, and helps with the longest when none is left."""

    def __init__(self, work: Iterable[Task]) -> None:
        groups: dict[Any, deque[Task]] = {}
        for task in work:
            groups.setdefault(task[0].machine, deque()).append(task)
        self._groups = deque(groups.values())
        self._of: dict[int, deque[Task]] = {}
        self._deaths: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._groups))

    def next_for(self, worker: _Worker) -> Task:
        own = self._of.get(id(worker))
        if not own:
            own = self._groups.popleft() if self._groups else max(self._of.values(), key=len, default=deque())
            self._of[id(worker)] = own
        return own.popleft() if own else ()

    def returned(self, task: Task) -> list[Outcome]:
        """A task whose worker died: it is given out again, job by job, until one has cost too many."""
        given_up = []
        for job in task:
            self._deaths[job.key] = self._deaths.get(job.key, 0) + 1
            if self._deaths[job.key] < DEATHS:
                self._groups.append(deque([(job,)]))
            else:
                given_up.append(Outcome(job, None, GIVEN_UP))
        return given_up


@dataclass
class _Worker:
    """A process and the task it has, () if none."""

    bench: Bench
    device: str
    task: Task = ()
    line: Connection = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "dsmachine.sweeps.worker", str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=STDERR
            )
        self.line = Connection(ours.detach())

    def greet(self) -> None:
        """Hand over the bench; waits until the process has come up, so all are started first."""
        with suppress(OSError):  # if it is dead already, `take` will say so
            self.line.send((self.bench, self.device))

    def give(self, task: Task) -> None:
        self.task = task
        if task:
            with suppress(OSError):
                self.line.send(task)

    def take(self) -> list[Outcome]:
        """What it says, nothing if it died."""
        self.task = ()
        try:
            said: list[Outcome] = self.line.recv()
        except (EOFError, OSError):
            return []
        return said

    def restart(self) -> None:
        self.stop()
        self._start()
        self.greet()

    def stop(self) -> None:
        self.line.close()
        self.process.terminate()
        self.process.wait()
