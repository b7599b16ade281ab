"""What a sweep measures: named numbers in one table. A new metric is one function and one line.

Two analyses serve them all. *read*: where the machine rests on each window of the text, or with noise one reading at
the end of a noisy window. *anneal*: the noiseless machine from zero until it has settled, weighed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.errors import Error, shown
from ..circuits.quantities import hint
from ..circuits.reference import loss
from ..energy.meter import EnergyReport
from ..tasks import argmax_agreement, logit_error
from .parameters import ANNEAL, READ

Array = Any


@dataclass(frozen=True)
class Reading:
    """tokens (B, P); logits, reference (B, P, V) as read and as the digital reference has them; saturated, nodes: on
    their rail at the operating point, of so many."""

    tokens: Array
    logits: Array
    reference: Array
    saturated: int
    nodes: int


@dataclass(frozen=True)
class Relaxed:
    """times [s] (B,): of settling, nan where a window did not; report: until the last of them (None without it)."""

    times: Array
    report: EnergyReport | None


@dataclass(frozen=True)
class Metric:
    """of: what an analysis found → number; fewer: whether less of it is better, so a limit is the most of it."""

    name: str
    analysis: str
    of: Callable[[Any], float]
    unit: str
    meaning: str
    fewer: bool = True


def mean_loss(read: Reading) -> float:
    """Nats a token: mean over windows of each token after its first."""
    return float(np.mean([loss(z, ids) for z, ids in zip(read.logits, read.tokens, strict=True)]))


def next_tokens_right(read: Reading) -> float:
    """Share of tokens after the first that are the likeliest."""
    return float((read.logits[:, :-1].argmax(-1) == read.tokens[:, 1:]).mean())


def worst_logit_error(read: Reading) -> float:
    """Of the worst position of all windows."""
    return max(logit_error(z, r) for z, r in zip(read.logits, read.reference, strict=True))


def agreement(read: Reading) -> float:
    """Share of positions with a clear margin whose likeliest token is the reference's; nan without any."""
    width = read.logits.shape[-1]
    share = argmax_agreement(read.logits.reshape(-1, width), read.reference.reshape(-1, width))["share"]
    return np.nan if share is None else float(share)


def _joules(of: Callable[[EnergyReport], Any]) -> Callable[[Relaxed], float]:
    return lambda found: np.nan if found.report is None else float(np.mean(of(found.report)))


_TABLE = (
    Metric("perplexity", READ, lambda r: float(np.exp(mean_loss(r))), "1", "perplexity of the text"),
    Metric("loss", READ, mean_loss, "nat", "loss a token"),
    Metric("accuracy", READ, next_tokens_right, "1", "share of next tokens told right", fewer=False),
    Metric("logit_error", READ, worst_logit_error, "1", "logit error of the worst position"),
    Metric("agreement", READ, agreement, "1", "share of clear positions that agree with the reference", fewer=False),
    Metric("saturated", READ, lambda r: r.saturated / r.nodes, "1", "share of nodes on their rail"),
    Metric("settling_time", ANNEAL, lambda a: float(a.times.max()), "s", "settling time of the slowest window"),
    Metric("energy", ANNEAL, _joules(lambda r: r.total), "J", "energy drawn a prompt"),
    Metric("energy_per_token", ANNEAL, _joules(lambda r: r.per_token), "J", "energy drawn a token"),
    Metric("dissipated", ANNEAL, _joules(lambda r: r.dissipated), "J", "energy dissipated a prompt"),
    Metric("power", ANNEAL, _joules(lambda r: r.power), "W", "mean power drawn while it anneals"),
    Metric("latency", ANNEAL, _joules(lambda r: r.latency), "s", "time from reset to the last output"),
)
METRICS = {each.name: each for each in _TABLE}


def metric(name: Any) -> Metric:
    """A metric by its name. Raises Error, with what may have been meant."""
    if checks.among(name, METRICS):
        return METRICS[str(name)]
    raise Error(f"metric {shown(name)} is unknown: use {', '.join(METRICS)}{hint(str(name), list(METRICS))}")


def of_analysis(analysis: str, found: Reading | Relaxed) -> dict[str, float]:
    """All metrics of one analysis: they cost nothing beside it."""
    return {each.name: each.of(found) for each in METRICS.values() if each.analysis == analysis}


def analyses(names: Iterable[str]) -> list[str]:
    """Which analyses metrics need."""
    return list(dict.fromkeys(metric(name).analysis for name in names))
