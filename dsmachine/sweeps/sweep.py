"""`sweep`: a model over a grid of parameters, chips and noise seeds."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..circuits import checks
from ..circuits.checkpoints import Model, as_model
from ..circuits.errors import Error
from ..circuits.words import counted
from ..emulator.backend import Backend
from ..emulator.runfile import versions
from .bench import Bench, Job, tasks, text_tokens
from .cache import Cache
from .file import check_output, save_sweep
from .grid import Grid, checked_limits
from .metrics import METRICS, analyses, metric
from .parameters import defaults
from .result import Swept, empty
from .workers import Outcome, devices_here, measured_by_processes, measured_here

log = logging.getLogger(__name__)
POSITIONS, WINDOWS, CHIPS = 32, 4, 8
Told = Callable[[int, int], None]
Place = tuple[int, ...]


def sweep(
    model: Model | str | os.PathLike[str],
    vary: Mapping[str, Any],
    *,
    chips: int | Sequence[int] = CHIPS,
    noise_seeds: int | Sequence[int] = 1,
    metrics: str | Sequence[str] = ("perplexity",),
    limits: Mapping[str, float] | None = None,
    settings: Mapping[str, Any] | None = None,
    text: str | None = None,
    windows: int = WINDOWS,
    output: str | Path | None = None,
    overwrite: bool = False,
    cache: str | Path | None = None,
    workers: int | None = None,
    device: str | None = None,
    scheduler: str | None = None,
    told: Told = lambda done, total: None,
) -> Swept:
    """Measure a model on every point of a grid, on every chip, under every noise seed.

        found = ds.sweep("tiny-shakespeare", {"mismatch": [0, 0.1]}, chips=4, limits={"perplexity": 9.0})
        found.of("perplexity")      # (2, 4, 1): mismatch, chip, noise_seed

    vary: {parameter: values}, an axis each, in this order. settings: {parameter: value} that stay. Parameters are
    `sweeps.parameters`: options of `map_model`, `fabricate` and `transient` by their names, "write-verify" and
    "auto-zero" (trims), and each number of the technology ("supply.swing"), in SI.
    chips, noise_seeds: how many, from seed 0 on, or the seeds. metrics: names in `sweeps.metrics`.
    limits: {metric: limit}, in SI, for the yield.
    text: what is read, in `windows` windows of `positions` tokens (32, a parameter); None: the calibration text, which
    a bundled model was trained on.
    output: write the result there (HDF5; xarray opens it). A file of a part of this sweep is replaced.
    cache: file that keeps every measurement by its content; None: the user's. What is there is not computed again, so
    a killed sweep goes on where it was, and a larger grid costs what is new in it.
    workers: processes (default: a core each, or a GPU each where there are any). device: "numpy", "cupy", "cupy:1".
    scheduler: "tcp://…" of a Dask cluster to measure on instead (extra `distributed`).
    told: called with (measurements there, all).

    Points that cannot be measured are nan; `failed` says why, and a warning. Raises Error for what is wrong with the
    question, before any work is done, and if no point at all can be measured.
    """
    names = _named(metrics)
    loaded = as_model(model)
    loaded.check_speaks()
    grid = Grid.of(vary, chips, noise_seeds, {} if settings is None else settings)
    if "positions" not in grid.axes:
        grid = Grid(grid.axes, grid.chips, grid.noise_seeds, {"positions": _positions(loaded), **grid.settings})
    bench = Bench(loaded, text_tokens(loaded, text, windows), windows)
    about = {
        "fingerprints": bench.fingerprints, "text": "calibration text" if text is None else "given", "windows": windows,
        "versions": versions(),
    }  # fmt: skip
    found = Swept(grid, empty(grid, names), checked_limits(limits, names), loaded.name, about)
    if output is not None:
        check_output(output, found, overwrite=overwrite)
    _check_points(bench, grid)
    _check_where(workers, device, scheduler)
    work = _Work(found, Cache(cache), told)
    todo = work.begin(bench)
    for each in _measured(bench, todo, workers, device, scheduler):
        work.take(each)
    work.end()
    if output is not None:
        save_sweep(found, output, overwrite=True)
    return found


def _named(metrics: str | Sequence[str]) -> list[str]:
    names = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    if not names:
        raise Error(f"no metric: use one of {', '.join(METRICS)}")
    return list(dict.fromkeys(metric(name).name for name in names))


def _positions(model: Model) -> int:
    return min(POSITIONS, model.config.context)


def _check_points(bench: Bench, grid: Grid) -> None:
    """Before any work: parameters that exclude each other, or are out of range."""
    for _, point in grid.points():
        bench.check(defaults(point))


def _check_where(workers: int | None, device: str | None, scheduler: str | None) -> None:
    """Raises Error for processes and devices that are not to be had."""
    if workers is not None:
        checks.whole("workers", workers, 1, 1024)
        checks.one_of_both("workers", workers, "scheduler", scheduler)
    if scheduler is not None and "://" not in checks.text("scheduler", scheduler):
        raise Error(f"scheduler {scheduler!r} is no address: write it as tcp://HOST:PORT")
    if device is not None:
        where = Backend(device)
        _ = where.xp if scheduler is None else None  # a cluster's GPUs are its own


def _measured(
    bench: Bench, jobs: Sequence[Job], workers: int | None, device: str | None, scheduler: str | None
) -> Iterator[Outcome]:
    """By the cluster, by processes, or here where one would do."""
    if not jobs:
        return iter(())
    if scheduler is not None:
        from .cluster import measured_by_cluster

        return measured_by_cluster(bench, jobs, device or "numpy", scheduler)
    devices = devices_here(device)
    if workers is not None:
        devices = (devices * workers)[:workers]
    work = tasks(jobs, len(devices))
    if len(devices) == 1 or len(work) == 1:
        return measured_here(bench, work, devices[0])
    return measured_by_processes(bench, work, devices)


class _Work:
    """What is still to be measured, and where it goes."""

    def __init__(self, found: Swept, cache: Cache, told: Told) -> None:
        self.found, self.cache, self.told = found, cache, told
        self._places: dict[str, list[Place]] = {}
        self._failed: Counter[str] = Counter()
        self._lost = 0
        self._saturated: dict[Place, float] = {}
        self._warned: set[str] = set()

    def begin(self, bench: Bench) -> list[Job]:
        """Fill in what is known; the jobs that are not, chips of one machine after another."""
        jobs: dict[str, Job] = {}
        for analysis in analyses(self.found.values):
            for key, (job, places) in self.found.grid.jobs(bench, analysis).items():
                jobs[key], self._places[key] = job, places
        for key, values in self.cache.found(jobs).items():
            if self._fill(jobs[key], values):
                self.found.known += 1
        todo = [job for key, job in jobs.items() if key in self._places]
        self.total = len(jobs)
        self.told(self.found.known, self.total)
        first = {job.machine: k for k, job in reversed(list(enumerate(todo)))}
        return sorted(todo, key=lambda job: first[job.machine])

    def take(self, said: Outcome) -> None:
        """Keep an outcome, before anything else is waited for."""
        for line in said.warnings:
            if line not in self._warned:
                self._warned.add(line)
                log.warning("%s", line)
        if said.found is None:
            self._failed[said.error] += len(self._places.pop(said.job.key))
            self._lost += 1
        else:
            self.cache.put(said.job.key, said.found)
            self._fill(said.job, said.found)
        self.found.computed += 1
        self.told(self.found.known + self.found.computed, self.total)

    def end(self) -> None:
        """Say what could not be measured, and what was read on rails. Raises Error if nothing could be measured."""
        self.found.failed = self._failed.most_common()
        if self._lost and self._lost == self.total:
            raise Error(f"no point could be measured: {self.found.failed[0][0]}")
        for error, count in self.found.failed:
            log.warning("%s no value: %s", counted(count, "point", "have"), error)
        if self._saturated:
            worst, share = max(self._saturated.items(), key=lambda each: each[1])
            log.warning(
                "nodes are on their rails, so values are lost, at %d of %s, most at %s (%.2g %% of nodes): raise "
                "supply.headroom; the metric saturated tells of each", len(self._saturated),
                counted(math.prod(self.found.grid.shape), "point"), self.found.grid.said(worst), 100 * share,
            )  # fmt: skip

    def _fill(self, job: Job, values: Mapping[str, float]) -> bool:
        """Put metrics where they belong; False if a metric is not among them (a newer one)."""
        wanted = [name for name in self.found.values if METRICS[name].analysis == job.analysis]
        if any(name not in values for name in wanted):
            return False
        saturated = values.get("saturated", 0.0)
        for place in self._places.pop(job.key):
            if saturated > 0:
                self._saturated[place] = saturated
            for name in wanted:
                self.found.values[name][place] = values[name]
        return True


__all__ = ["sweep"]
