"""`Swept`: what a sweep found, as arrays with named axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.errors import Error, shown
from ..circuits.quantities import hint
from .grid import Grid
from .metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any


@dataclass(repr=False)
class Swept:
    """values: by metric, (…each axis, chips, noise seeds), SI, nan where there is none; `grid.dimensions` labels them.

    limits: by metric, of the yield. model: its name; about: what else it is of (fingerprint, text, versions).
    failed: why points have no value, (message, how many). computed, known: measurements made, and found in the cache.
    """

    grid: Grid
    values: dict[str, Array]
    limits: dict[str, float]
    model: str
    about: dict[str, Any]
    failed: list[tuple[str, int]] = field(default_factory=list)
    computed: int = 0
    known: int = 0

    @property
    def axes(self) -> Mapping[str, list[Any]]:
        """Values of what was varied."""
        return self.grid.axes

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of all axes of `values`."""
        return tuple(self.grid.dimensions)

    def of(self, metric: str) -> Array:
        """Values of one metric. Raises Error for one that was not computed."""
        if metric not in self.values:
            names = list(self.values)
            raise Error(f"{shown(metric)} was not computed: use one of {', '.join(names)}{hint(str(metric), names)}")
        return self.values[metric]

    def mean(self, metric: str) -> Array:
        """Over chips and noise seeds that have a value; (…each axis)."""
        return _over_chips(self.of(metric), 1, lambda x: x.mean())

    def deviation(self, metric: str) -> Array:
        """Standard deviation over chips and noise seeds, of the sample (n − 1); nan of fewer than two values."""
        return _over_chips(self.of(metric), 2, lambda x: x.std(ddof=1))

    def yield_at(self, metric: str, limit: float | None = None) -> Array:
        """Share of chips × noise seeds within a limit, the sweep's own by default: at most it, or at least it where
        more is better. What has no value is not within."""
        limit = self.limits.get(metric) if limit is None else limit
        if limit is None:
            raise Error(f"{metric!r} has no limit: give one")
        values = self.of(metric)
        within = values <= limit if METRICS[metric].fewer else values >= limit
        return within.mean(axis=(-2, -1))

    @property
    def missing(self) -> dict[str, int]:
        """Points without a value, by metric."""
        return {name: int(np.isnan(values).sum()) for name, values in self.values.items()}

    def rows(self) -> list[dict[str, Any]]:
        """One a point of the axes: its values, and mean, deviation and yield of every metric."""
        found = []
        columns = {name: (self.mean(name), self.deviation(name)) for name in self.values}
        yields = {name: self.yield_at(name) for name in self.limits}
        for index, _ in self.grid.points():
            row: dict[str, Any] = {name: values[k] for (name, values), k in zip(self.axes.items(), index, strict=True)}
            for name, (mean, deviation) in columns.items():
                row[name] = {"mean": float(mean[index]), "deviation": float(deviation[index])}
                if name in yields:
                    row[name]["yield"] = float(yields[name][index])
            found.append(row)
        return found

    def summary(self) -> dict[str, Any]:
        """What the command line prints with --json."""
        return {
            "model": self.model,
            "axes": dict(self.axes),
            "chips": list(self.grid.chips),
            "noise_seeds": list(self.grid.noise_seeds),
            "settings": dict(self.grid.settings),
            "units": {name: METRICS[name].unit for name in self.values},
            "limits": self.limits,
            "points": self.rows(),
            "missing": self.missing,
            "failed": [{"error": error, "points": count} for error, count in self.failed],
            "computed": self.computed,
            "from_cache": self.known,
            "text": self.about["text"],
        }

    def plot(self, metric: str | None = None, **options: Any) -> Figure:
        """Means, deviations and yield of a metric, by default the first; see `plots.plot_sweep`."""
        from .plots import plot_sweep

        return plot_sweep(self, next(iter(self.values)) if metric is None else metric, **options)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write an HDF5 file that xarray, netCDF4 and `load_sweep` open."""
        from .file import save_sweep

        save_sweep(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        axes = " × ".join(f"{name} {len(values)}" for name, values in self.grid.dimensions.items())
        lost = sum(self.missing.values())
        return f"Swept({self.model}: {', '.join(self.values)} over {axes}{f', {lost} missing' if lost else ''})"


def _over_chips(values: Array, least: int, of: Any) -> Array:
    """A number of the values that there are along the last two axes; nan of fewer than `least`."""
    flat = values.reshape(-1, values.shape[-2] * values.shape[-1])
    there = [row[~np.isnan(row)] for row in flat]
    return np.array([of(row) if len(row) >= least else np.nan for row in there]).reshape(values.shape[:-2])


def empty(grid: Grid, metrics: Sequence[str]) -> dict[str, Array]:
    """Arrays without any value yet."""
    return {name: np.full(grid.shape, np.nan) for name in metrics}


__all__ = ["Swept"]
