"""Measurements on a Dask cluster (extra `distributed`): what local processes do, on its workers.

The bench is a task of the graph, not data on one worker, so a worker that is lost takes nothing along that cannot be
made again; its jobs go to the others.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from ..circuits.errors import Error
from .bench import Bench, Job, Laboratory, Task, tasks
from .workers import Outcome, outcomes

PATIENCE = 20  # seconds in which a scheduler must answer


def measured_by_cluster(bench: Bench, jobs: Sequence[Job], device: str, scheduler: str) -> Iterator[Outcome]:
    """As each is finished. Raises Error for a scheduler that does not answer, and without Dask."""
    try:
        import distributed
    except ImportError:
        raise Error("scheduler needs Dask, which is not here: pip install 'dsmachine[distributed]'") from None
    with _client(distributed, scheduler) as client:
        laboratory = client.submit(_laboratory, pickle.dumps(bench), device, pure=False)
        work = tasks(jobs, sum(client.ncores().values()))
        futures = [client.submit(_measure, laboratory, task, pure=False) for task in work]
        of = {future.key: task for future, task in zip(futures, work, strict=True)}
        done = distributed.as_completed(futures, loop=client.loop)
        del futures
        for future in done:
            yield from _said(distributed, future, of[future.key])
            future.release()


def _client(distributed: Any, scheduler: str) -> Any:
    try:
        return distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise Error(f"scheduler {scheduler!r} does not answer ({reason}): check that it runs there") from None


def _laboratory(bench: bytes, device: str) -> Laboratory:
    return Laboratory(pickle.loads(bench), device)


def _measure(laboratory: Laboratory, task: Task) -> list[Outcome]:
    return outcomes(laboratory, task)


def _said(distributed: Any, future: Any, task: Task) -> list[Outcome]:
    """Outcomes; jobs whose workers died again and again have none."""
    problem = future.exception() if future.status == "error" else None
    if isinstance(problem, distributed.KilledWorker):
        error = "workers that measured it died again and again, of too little memory?"
        return [Outcome(job, None, error) for job in task]
    said: list[Outcome] = future.result()
    return said
