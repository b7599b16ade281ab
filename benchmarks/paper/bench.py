"""What the experiments share: sizes, runs that are kept as they finish, means with their deviations."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
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
    runs; given: sizes that are not an experiment's own."""

    device: str = "numpy"
    snippets: Path | None = None
    fresh: bool = False
    given: Mapping[str, int] | None = None

    def sizes(self, own: Sizes) -> Sizes:
        return Sizes(**(vars(own) | dict(self.given or {})))

    def runs(self, name: str) -> Runs:
        """Those of sizes that are given are in a file of their own, named after these."""
        sizes = "".join(f"_{size}_{value}" for size, value in (self.given or {}).items() if size != "seeds")
        return Runs(f"paper_{name}{sizes}", fresh=self.fresh)

    def train(
        self, model: Any, data: Path, held_out: Path, sizes: Sizes, points: int = POINTS, **options: Any
    ) -> Found:
        """One chip's training: loss and accuracy of what is not learnt, before and after, and at points on the way. Its
        rate is that of programmed values, as control capacitors have it, unless said otherwise."""
        curve = Curve(max(1, sizes.steps // points))
        found = ds.train(
            model, data, validation=held_out, positions=sizes.positions, batch=sizes.batch, steps=sizes.steps,
            device=self.device, energy=False, told=curve, **({"lr_of": "chip"} | options),
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
        if (kept := self.of(key, sizes)) is not None:
            return kept
        begun = time.perf_counter()
        found = compute()
        return self.keep(_whole(key, sizes), found | {"seconds": round(time.perf_counter() - begun, 1)})

    def of(self, key: Found, sizes: Sizes) -> Found | None:
        """The run of a key and sizes that is kept."""
        return next((run for run in self.kept if run["key"] == _whole(key, sizes)), None)

    def beside(
        self, sizes: Sizes, seeds: Sequence[int], together: int, work: Callable[[int], Iterator[tuple[Found, Found]]]
    ) -> None:
        """A process a seed, forked from here, so many at once, which yields runs and their keys; each is kept as it
        comes."""
        waiting, left, fork = [], list(seeds), get_context("fork")
        while waiting or left:
            while left and len(waiting) < together:
                receiver, sender = fork.Pipe(duplex=False)
                fork.Process(target=_sent, args=(work, left.pop(0), sender)).start()
                sender.close()  # so that its end is seen here
                waiting.append(receiver)
            for receiver in wait(waiting):
                assert isinstance(receiver, Connection)
                try:
                    key, found = receiver.recv()
                except EOFError:
                    waiting.remove(receiver)
                else:
                    self.keep(_whole(key, sizes), found)

    def keep(self, key: Found, found: Found) -> Found:
        """A run of a whole key, written at once."""
        run = {"key": key} | found
        self.kept.append(run)
        sys.stdout.write(f"{self.name} {key}: {run['seconds']} s\n")
        sys.stdout.flush()
        self.write()
        return run

    def write(self, rows: Sequence[Found] = ()) -> None:
        """The table, and all runs that it is made of. Without rows, the table stays as it is."""
        path = RESULTS / f"{self.name}.json"
        if rows:
            save(self.name, list(rows), runs=self.kept)
        else:
            kept = json.loads(path.read_text()) if path.exists() else {"origin": origin(), "rows": []}
            path.write_text(json.dumps(kept | {"runs": self.kept}) + "\n")


def _sent(work: Callable[[int], Iterator[tuple[Found, Found]]], seed: int, sender: Connection) -> None:
    for told in work(seed):
        sender.send(told)


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
