"""What the experiments share: sizes, runs that are kept as they finish, means with their deviations."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, origin, save

import dsmachine as ds
from dsmachine.training import Trained

Found = dict[str, Any]
CACHE = RESULTS / ".cache"
POINTS = 16  # of a curve


@dataclass(frozen=True)
class Sizes:
    """positions: tokens side by side; batch: samples a step; steps: of a training; held_out: samples that are asked
    before and after; seeds: chips, orders of the data and noises."""

    positions: int
    batch: int
    steps: int
    held_out: int
    seeds: int = 3


@dataclass(frozen=True)
class Bench:
    """device: of the emulator; snippets: file of rated snippets, None: that in results/.cache; fresh: forget earlier
    runs; given: sizes that are not an experiment's own; workers: processes side by side, where seeds have their own."""

    device: str = "numpy"
    snippets: Path | None = None
    fresh: bool = False
    given: Mapping[str, int] | None = None
    workers: int = 1

    def sizes(self, own: Sizes) -> Sizes:
        return Sizes(**(vars(own) | dict(self.given or {})))

    def runs(self, name: str) -> Runs:
        return Runs(f"paper_{name}", fresh=self.fresh)

    def train(
        self, model: Any, data: Path, held_out: Path, sizes: Sizes, points: int = POINTS, **options: Any
    ) -> Found:
        """One chip's training: loss and accuracy of what is not learnt, before and after, and at points on the way."""
        curve = Curve(max(1, sizes.steps // points))
        found = ds.train(
            model, data, validation=held_out, positions=sizes.positions, batch=sizes.batch, steps=sizes.steps,
            device=self.device, energy=False, told=curve, **options,
        )  # fmt: skip
        return {
            "loss": rounded(found.validation["loss"]), "accuracy": rounded(found.validation["accuracy"]),
            "curve": curve.kept, "rails": found.saturated, "ends": found.at_rails,
        }  # fmt: skip


class Curve:
    """Called after each step: every so often the held-out samples are read."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.kept: dict[str, list[float]] = {"step": [], "loss": [], "accuracy": [], "learnt": []}

    def __call__(self, found: Trained) -> None:
        if found.steps % self.every == 0 and found.course.held_out is not None:
            read = found.read(found.course.held_out)
            self.kept["step"].append(found.steps)
            self.kept["loss"].append(rounded(read["loss"]))
            self.kept["accuracy"].append(rounded(read["accuracy"]))
            self.kept["learnt"].append(rounded(float(np.mean(found.loss[-self.every :]))))


class Runs:
    """Of one experiment, each written as it ends: what is stopped goes on where it was."""

    def __init__(self, name: str, *, fresh: bool) -> None:
        self.name, path = name, RESULTS / f"{name}.json"
        self.kept: list[Found] = json.loads(path.read_text())["runs"] if path.exists() and not fresh else []

    def run(self, key: Found, sizes: Sizes, compute: Callable[[], Found]) -> Found:
        """The run of a key and sizes, kept or computed."""
        key = _whole(key, sizes)
        if (found := self.of(key)) is not None:
            return found
        begun = time.perf_counter()
        run = {"key": key} | compute()
        run["seconds"] = round(time.perf_counter() - begun, 1)
        self.kept.append(run)
        sys.stdout.write(f"{self.name} {key}: {run['seconds']} s\n")
        sys.stdout.flush()
        self.write()
        return run

    def of(self, key: Found) -> Found | None:
        """The run of a whole key that is kept."""
        return next((run for run in self.kept if run["key"] == key), None)

    def each(self, keys: Sequence[Found], sizes: Sizes, compute: Callable[[Found], Found], workers: int) -> list[Found]:
        """The runs of some keys, those that are not kept computed by so many processes at once."""
        missing = [key for key in keys if self.of(_whole(key, sizes)) is None]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            found = {str(key): pool.submit(compute, key) for key in missing}
            return [self.run(key, sizes, lambda key=key: found[str(key)].result()) for key in keys]  # type: ignore[misc]

    def write(self, rows: Sequence[Found] = ()) -> None:
        """The table, and all runs that it is made of. Without rows, the table stays as it is."""
        path = RESULTS / f"{self.name}.json"
        if rows:
            save(self.name, list(rows), runs=self.kept)
        else:
            kept = json.loads(path.read_text()) if path.exists() else {"origin": origin(), "rows": []}
            path.write_text(json.dumps(kept | {"runs": self.kept}) + "\n")


def _whole(key: Found, sizes: Sizes) -> Found:
    """With the sizes that a run depends on."""
    return key | {name: value for name, value in vars(sizes).items() if name != "seeds"}


def told(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation (n − 1)."""
    off = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    spread = f" ± {off if off > 1e-9 else 0:.2g}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}g}{spread}"


def percent(values: Sequence[float]) -> str:
    """Shares in per cent, mean ± standard deviation."""
    found = 100 * np.asarray(values)
    spread = f" ± {np.std(found, ddof=1):.1f}" if len(found) > 1 else ""
    return f"{np.mean(found):.1f}{spread}"


def rounded(value: Any) -> Any:
    return [round(float(v), 5) for v in value] if isinstance(value, list) else round(float(value), 5)
