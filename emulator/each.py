"""The same task for many machines, one at a time on each of several devices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from ..circuits.errors import Error, shown
from .backend import Backend

Machine = TypeVar("Machine")
Result = TypeVar("Result")


def each(
    machines: Iterable[Machine], task: Callable[[Machine, str], Result], *, devices: Sequence[str] = ("numpy",)
) -> list[Result]:
    """task(machine, device) of every machine; results in the order of the machines.

    A batch of chips over two GPUs, each fabricated when a device is free for it:

        chips = (ds.fabricate(circuit, seed=seed, mismatch=0.01) for seed in range(8))
        runs = ds.each(chips, lambda chip, device: ds.transient(chip, inputs, device=device),
                       devices=["cupy:0", "cupy:1"])

    machines: chips, circuits or whatever the task takes; taken one by one. devices: names as in `prepare`; one that is
    named twice does two tasks at a time. Each has a thread of its own: nothing is copied from process to process, and
    threads wait for each other only while Python itself works, which is what short runs on a GPU mostly do.

    Raises Error that names the first machine whose task fails; those that have begun are finished, no others begun.
    """
    if isinstance(devices, str) or not isinstance(devices, Iterable):
        raise Error(f"devices is {shown(devices)}: give a list, such as ['numpy']")
    if not isinstance(machines, Iterable):
        raise Error(f"machines is {shown(machines)}: give a list of chips, circuits or whatever the task takes")
    backends = [Backend(device) for device in devices]
    if not backends:
        raise Error("devices is empty: give at least one, such as 'numpy'")
    for backend in backends:
        _ = backend.xp  # it is there
    line, results, failures = _Line(machines), dict[int, Result](), dict[int, Exception]()

    def work(backend: Backend) -> None:
        with backend.here():
            for number, machine in line:
                try:
                    results[number] = task(machine, backend.device)
                except Exception as problem:
                    failures[number] = problem
                    line.stop()

    with ThreadPoolExecutor(len(backends), thread_name_prefix="dsmachine") as threads:
        try:
            for future in [threads.submit(work, backend) for backend in backends]:
                future.result()
        finally:
            line.stop()
    if failures:
        number = min(failures)
        raise Error(f"machine {number} of the batch: {failures[number]}") from failures[number]
    return [results[number] for number in sorted(results)]


class _Line(Generic[Machine]):
    """Machines by number, one to whoever asks next; none after `stop`."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._machines, self._lock, self._open = enumerate(machines), threading.Lock(), True

    def __iter__(self) -> Iterator[tuple[int, Machine]]:
        return self

    def __next__(self) -> tuple[int, Machine]:
        with self._lock:
            if not self._open:
                raise StopIteration
            return next(self._machines)

    def stop(self) -> None:
        self._open = False
