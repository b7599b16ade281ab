"""The grid of a sweep: axes × chips × noise seeds, and the jobs that fill it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.errors import Error, shown
from ..circuits.units import engineering
from .bench import Bench, Job
from .metrics import METRICS
from .parameters import PARAMETERS, settings_of, values_of

MOST_POINTS = 10**7
CHIP, NOISE_SEED = "chip", "noise_seed"


@dataclass(frozen=True)
class Grid:
    """axes: values of each varied parameter, in order; chips, noise_seeds: their seeds; settings: what else differs
    from the defaults."""

    axes: Mapping[str, list[Any]]
    chips: tuple[int, ...]
    noise_seeds: tuple[int, ...]
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls, vary: Mapping[str, Any], chips: int | Sequence[int], noise_seeds: int | Sequence[int], settings: Any
    ) -> Grid:
        """Checked by name and kind. Raises Error for unknown parameters, empty axes and what is both varied and set."""
        for what, given in (("vary", vary), ("settings", settings)):
            if not isinstance(given, Mapping):
                raise Error(f"{what} is {shown(given)}: give {{parameter: {'values' if what == 'vary' else 'value'}}}")
        axes = {name: values_of(name, given) for name, given in vary.items()}
        fixed = settings_of(settings)
        for name in axes:
            if name in fixed:
                raise Error(f"{name!r} is both varied and set: do one of both")
        grid = cls(axes, _seeds("chips", chips), _seeds("noise_seeds", noise_seeds), fixed)
        if np.prod([float(n) for n in grid.shape]) > MOST_POINTS:
            raise Error(
                f"the grid has {' × '.join(map(str, grid.shape))} points: {MOST_POINTS:,} is the most: take fewer"
            )
        return grid

    @property
    def dimensions(self) -> dict[str, list[Any]]:
        """Values along every dimension of a result."""
        return {**self.axes, CHIP: list(self.chips), NOISE_SEED: list(self.noise_seeds)}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a result."""
        return tuple(len(values) for values in self.dimensions.values())

    def said(self, place: Sequence[int]) -> str:
        """A place of a result in words: "mismatch 0.1, input_resistance 10 kΩ, chip 0"."""
        varied = [(name, values[k]) for k, (name, values) in zip(place, self.dimensions.items(), strict=True)
                  if name in self.axes or len(values) > 1]  # fmt: skip
        return ", ".join(f"{name} {_said(value, unit_of(name))}" for name, value in varied)

    def points(self) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
        """(index, parameters) of each point, of all chips and seeds."""
        for index in np.ndindex(*(len(values) for values in self.axes.values())):
            varied = {name: values[k] for (name, values), k in zip(self.axes.items(), index, strict=True)}
            yield index, {**self.settings, **varied}

    def jobs(self, bench: Bench, analysis: str) -> dict[str, tuple[Job, list[tuple[int, ...]]]]:
        """Each different job by its key, with the places of the grid that it fills."""
        found: dict[str, tuple[Job, list[tuple[int, ...]]]] = {}
        for index, point in self.points():
            for (i, chip), (j, seed) in itertools.product(enumerate(self.chips), enumerate(self.noise_seeds)):
                job = bench.job(analysis, point, chip, seed)
                found.setdefault(job.key, (job, []))[1].append((*index, i, j))
        return found


def _seeds(what: str, given: Any) -> tuple[int, ...]:
    """So many seeds from 0 on, or these."""
    if isinstance(given, list | tuple | range | np.ndarray):
        seeds = tuple(checks.seed(f"{what}[{k}]", seed) for k, seed in enumerate(given))
        if not seeds or len(set(seeds)) < len(seeds):
            raise Error(f"{what} is {shown(given)}: give a count, or different seeds")
        return seeds
    return tuple(range(checks.whole(what, given, 1, 10**6)))


def checked_limits(limits: Mapping[str, Any] | None, metrics: Sequence[str]) -> dict[str, float]:
    """Limits by metric. Raises Error for one on a metric that is not computed."""
    found = {}
    if not isinstance(limits, Mapping | None):
        raise Error(f"limits is {shown(limits)}: give {{metric: limit}}")
    for name, limit in (limits or {}).items():
        if name not in metrics:
            fix = "compute it too" if name in METRICS else f"use one of {', '.join(metrics)}"
            raise Error(f"limit on {shown(name)}, which is not computed (these are: {', '.join(metrics)}): {fix}")
        found[name] = checks.number(f"limit of {name}", limit, f"give a number, in {METRICS[name].unit}")
    return found


def _said(value: Any, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return f"{value:g}" if unit == "1" else engineering(value, unit)


def unit_of(name: str) -> str:
    """SI unit of a dimension."""
    return PARAMETERS[name].unit if name in PARAMETERS else "1"
