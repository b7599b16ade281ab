"""A process of `workers.py`: `python -m dsmachine.sweeps.worker FD`. It measures what comes through the socket."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection

from .bench import Laboratory, Task
from .workers import outcomes


class Kept(logging.Handler):
    """Warnings, for whoever runs the sweep."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(record.getMessage())


def end_with(parent: int) -> None:
    """Whoever runs the sweep may be killed in the middle of a job."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main(number: int) -> None:
    """Until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that runs the sweep
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    log, kept = logging.getLogger("dsmachine"), Kept()
    log.addHandler(kept)
    log.propagate = False
    line = Connection(number)
    laboratory = Laboratory(*line.recv())
    while True:
        task: Task = line.recv()
        first, *others = outcomes(laboratory, task)
        line.send([replace(first, warnings=tuple(kept.lines)), *others])
        kept.lines.clear()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except (EOFError, OSError):
        sys.exit(0)
