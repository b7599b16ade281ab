"""`noise`: how far every node strays from the operating point, and joint samples of it (see `fluctuation.py`)."""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits import checks
from ..circuits.chip import Chip
from ..circuits.circuit import Circuit
from ..circuits.errors import Error, shown
from ..circuits.named import Named, meant
from ..circuits.words import counted
from .fluctuation import Fluctuation
from .operating_point import solve_operating_point
from .plan import Plan, Stage
from .prepare import planned
from .request import checked_noise
from .volts import Volts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
log = logging.getLogger(__name__)
MOST_ROWS = 32  # complex rows of a sweep; more gain nothing
MOST_VALUES = 2**26  # numbers that a sweep holds of its largest array


@dataclass(repr=False)
class Fluctuations:
    """What `noise` found. B operating points, one for each input.

    outputs: operating point of each free array [V], (B, *shape).
    variance: of each node around it, as a share of its full scale, squared, (B, *shape). standard_error: of one node's
        variance, relative, by array.
    rms: by array, share of full scale, over nodes that exist and points; rms_error: its standard error, relative.
    deviations: samples of the recorded arrays' deviation [V], (samples·B, *shape), row s·B + b around point b. One
        row of all arrays together is one joint sample.
    saturated: nodes beyond their rail's linear part at the operating point, by array.
    statistics: how it was computed.
    """

    circuit: Circuit
    outputs: Mapping[str, Array]
    variance: dict[str, Array] = field(default_factory=dict)
    standard_error: dict[str, float] = field(default_factory=dict)
    rms: dict[str, float] = field(default_factory=dict)
    rms_error: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, Array] = field(default_factory=dict)
    saturated: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("variance", "standard_error", "rms", "rms_error"):
            setattr(self, name, Named(getattr(self, name), f"free array of circuit {self.circuit.name!r}"))

    @property
    def worst(self) -> str:
        """The array of the largest rms."""
        return max(self.rms, key=lambda name: self.rms[name])

    def logical_samples(self, name: str) -> Array:
        """Operating point plus deviation of a recorded array in logical units, (samples·B, *shape)."""
        if name not in self.deviations:
            raise Error(f"array {name!r} has no samples: pass record=[{name!r}] to noise")
        off, rest = self.deviations[name], self.outputs[name]
        return (off + np.concatenate([rest] * (len(off) // len(rest)))) / self.circuit.units(name)

    def plot(self) -> Figure:
        """σ by array; see `pictures.plot_fluctuations`."""
        from .pictures import plot_fluctuations

        return plot_fluctuations(self)

    def __repr__(self) -> str:
        worst = self.worst
        return f"{type(self).__name__}({self.circuit.name!r}, worst {worst!r}: {self.rms[worst]:.3g} of full scale)"


def noise(
    machine: Circuit | Chip | Plan,
    inputs: Mapping[str, Any] | None = None,
    *,
    noise: str | float = "thermal",
    noise_seed: int = 0,
    frequencies: int = 16,
    samples: int = 16,
    record: Sequence[str] | None = None,
    precision: str | None = None,
    device: str | None = None,
) -> Fluctuations:
    """Stationary fluctuation around the operating point: τ dδ/dt = J δ − λδ + noise, filtered by every lag it passes.

    Linear: the mean of δ is 0. Where the circuit bends, noise also displaces the mean, in the order of its power; what
    a reading is worth, such as a perplexity, wants `transient(noise=…)`.

    machine: or what `prepare` made of it. inputs: clamped arrays, logical units, (*shape) or (batch, *shape): one
    operating point each.
    noise: "thermal" (4kTΣG at the circuit's temperature) or σ (every node's own stationary noise, share of its full
        scale), as in `transient`.
    frequencies (F): angles that one sample sums over; more for circuits of very different time constants or great
        depth: of a lag at r times `pole_hz` a sample has (1 − q)/(1 + q) … (1 + q)/(1 − q) times its variance,
        q = ((1 − r)/(1 + r))^F. samples: joint samples of all arrays, in pairs. The work is F·samples sweeps, errors
        fall with its root. noise_seed: a key.
    record: arrays whose samples are kept; default: the circuit's output.

    Raises Error for circuits with cycles: `transient(noise=…)` samples those.
    """
    _checked(noise, noise_seed, frequencies, samples)
    plan = planned(machine, precision, device)
    if not plan.resident:
        raise Error(f"{plan.circuit.name!r} is prepared for several devices or to stream: noise wants it all on one")
    with plan.backend.arithmetic():
        return _analysed(plan, {} if inputs is None else inputs, noise, noise_seed, frequencies, samples, record)


def _analysed(
    plan: Plan,
    inputs: Mapping[str, Any],
    noise: str | float,
    noise_seed: int,
    frequencies: int,
    samples: int,
    record: Sequence[str] | None,
) -> Fluctuations:
    begun = clock.perf_counter()
    kept = _recorded(plan, record)
    saturated: dict[str, int] = {}
    x = solve_operating_point(plan, inputs, saturated=saturated)
    pairs = (samples + 1) // 2
    source = Fluctuation(plan, x, noise, seed=noise_seed, frequencies=frequencies, pairs=pairs)
    tally = _Tally(plan, len(next(iter(x.values()))), frequencies, pairs, kept)
    rows = _rows_a_sweep(plan)
    for point in range(tally.batch):
        for first in range(0, frequencies * pairs, rows):
            chunk = range(first, min(first + rows, frequencies * pairs))
            for stage, moved in source.sweep(point, chunk):
                tally.add(stage, point, chunk, moved)
    found = Fluctuations(plan.circuit, Volts(plan, x), saturated=saturated)
    tally.fill(found, samples)
    wall = clock.perf_counter() - begun
    found.statistics = {
        "engine": f"{plan.backend.device} noise at the operating point", "precision": plan.backend.precision,
        "noise": noise, "noise_seed": noise_seed, "frequencies": frequencies, "samples": samples,
        "pole_hz": source.pole / math.tau,
    } | plan.fabrication | {"wall_s": wall}  # fmt: skip
    log.info("%r took %.3g s: %s", found, wall, counted(frequencies * pairs * tally.batch, "sweep"))
    return found


def _checked(noise: str | float, seed: int, frequencies: int, samples: int) -> None:
    checked_noise(noise, seed)
    if noise == "off":
        raise Error("noise='off' leaves nothing to analyse: use 'thermal' or σ, or ds.operating_point")
    checks.whole("frequencies", frequencies, 1, 10**6)
    checks.whole("samples", samples, 4, 10**6)


def _recorded(plan: Plan, record: Sequence[str] | None) -> list[str]:
    free = [stage.name for stage in plan.stages]
    if record is None:
        return [plan.circuit.output] if plan.circuit.output in free else []
    if isinstance(record, str) or not isinstance(record, Iterable):
        raise Error(f"record is {shown(record)}: give a list of arrays, such as {free[:2]}")
    for name in record:
        if not checks.among(name, free):
            raise Error(f"record names {shown(name)}, no free array of {plan.circuit.name!r}: {meant(name, free)}")
    return list(record)


def _rows_a_sweep(plan: Plan) -> int:
    largest = max(int(np.prod(stage.node.shape)) for stage in plan.stages)
    return max(1, min(MOST_ROWS, MOST_VALUES // (2 * largest)))


class _Tally:
    """Sums over rows. A row's |δ|²/2 is exponentially distributed, so Σ (|δ|²/2)²/2 estimates the sum's variance."""

    def __init__(self, plan: Plan, batch: int, frequencies: int, pairs: int, kept: list[str]) -> None:
        self.plan, self.batch, self.frequencies, self.pairs = plan, batch, frequencies, pairs
        stages, xp = plan.stages, plan.backend.xp
        self.variance = {s.name: xp.zeros((batch, *s.node.shape), plan.backend.dtype) for s in stages}
        self.fourth = {s.name: 0.0 for s in stages}
        self.of_pair = {s.name: np.zeros((batch, pairs)) for s in stages}
        shapes = {s.name: s.node.shape for s in stages}
        self.samples = {n: xp.zeros((pairs, 2, batch, *shapes[n]), plan.backend.dtype) for n in kept}

    def add(self, stage: Stage, point: int, rows: range, moved: Array) -> None:
        """moved: (2, rows, *shape) of the sweep."""
        name, pair = stage.name, np.asarray(rows) // self.frequencies
        if name in self.samples:
            for k, p in enumerate(pair):
                self.samples[name][p, :, point] += moved[:, k]
        off = moved * stage.per_full_scale
        power = (off[0] * off[0] + off[1] * off[1]) / 2
        self.variance[name][point] += power.sum(axis=0)
        flat = power.reshape(len(power), -1)
        np.add.at(self.of_pair[name][point], pair, self.plan.backend.host(flat.sum(axis=1)))
        self.fourth[name] += float((flat * flat).sum()) / 2

    def fill(self, found: Fluctuations, samples: int) -> None:
        host = self.plan.backend.host
        for stage in self.plan.stages:
            name, sums = stage.name, host(self.variance[stage.name])
            mean = self.of_pair[name].sum(axis=0) / max(1, self.plan.circuit.arrays[name].count * self.batch)
            spread = float(mean.std(ddof=1)) / math.sqrt(self.pairs)
            found.variance[name] = sums / self.pairs
            found.rms[name] = math.sqrt(float(mean.mean()))
            found.rms_error[name] = _ratio(spread, 2 * float(mean.mean()))
            squares = float((sums.astype(float) ** 2).sum())
            found.standard_error[name] = math.sqrt(_ratio(self.fourth[name], squares))
        for name, kept in self.samples.items():
            rows = host(kept).reshape(-1, *found.outputs[name].shape)[:samples]
            volts = rows * self.plan.circuit.units(name)
            found.deviations[name] = volts.reshape(-1, *volts.shape[2:])


def _ratio(part: float, whole: float) -> float:
    """part / whole; 0 of an array that has no nodes."""
    return part / whole if whole else 0.0
