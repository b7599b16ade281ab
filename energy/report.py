"""EnergyReport: joules of a run, by part, layer and phase.

*Drawn* is what the supply delivers, *dissipated* what becomes heat in couplings, products, feedback and reset. They are
different questions (a class-B driver at VDD draws more than its coupling dissipates) and are never added.

Whoever tabulates runs takes `rows()` (part, layer, phase, joules) and `stages()` (stage, basis, seconds).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.errors import Error, shown
from ..circuits.units import engineering

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
APART = ("refresh", "controller")  # what keeps and steers, beside the circuits that compute
STANDING = ("retention", "refresh", "controller")  # a constant power of the weights, whatever the machine does
EXCLUDED = (
    "programming of the weights (once: see programming)",
    "nodes and drivers while the machine is reset, loaded and read (switched off; outputs are sampled and held)",
    "what a conveyor's input resistance dissipates, and buffers that charge wires",
    "the wire from a node to the tiles of its row after the first",
    "clocks, clock feedthrough, IR drop, supply noise, ageing",
)


@dataclass(frozen=True)
class Entry:
    """One line of the account: joules of each sample, (batch,)."""

    part: str
    layer: str
    phase: str
    drawn: Array
    dissipated: Array


@dataclass(frozen=True, repr=False)
class EnergyReport:
    """What one run cost, for each sample of the batch (arrays are (batch,)), in joules and seconds. `print` it for all.

    entries: the account. duration: seconds annealed until the machine is read; basis: what that time is (the timer's,
    the oracle's, the end of the run). phases: seconds of reset, load, anneal and read. waits: seconds annealed on each
    basis that is known ("oracle time", "timer time"). tokens: positions the run answered, or rows of a circuit
    by hand; each: what one of them is called, "token", "row", or "" where a circuit has none.
    delivered: what drivers and ideal sources handed to couplings and products at their own voltages.
    stored_before, stored_after: ½CV² on the free nodes. weights: programmed values held.
    programming, programming_time: joules and seconds to write all weights once, not in the total. assumed: what was
    taken for granted, excluded: what is not counted at all, in words.
    read: of how many of them outputs are converted.
    passive: whether nothing but passive couplings drives the nodes, so that `imbalance` must vanish.
    """

    circuit: str
    technology: str
    duration: float
    basis: str
    phases: Mapping[str, float]
    tokens: int
    entries: tuple[Entry, ...]
    delivered: Array
    stored_before: Array
    stored_after: Array
    weights: int
    programming: float
    programming_time: float
    passive: bool
    waits: Mapping[str, float] = field(default_factory=dict)
    read: int = 1
    each: str = "token"
    assumed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = EXCLUDED

    @property
    def total(self) -> Array:
        """Drawn from the supply [J], (batch,)."""
        return sum((e.drawn for e in self.entries), start=np.zeros_like(self.delivered))

    @property
    def dissipated(self) -> Array:
        """Turned into heat in elements [J], (batch,)."""
        return sum((e.dissipated for e in self.entries), start=np.zeros_like(self.delivered))

    @property
    def per_token(self) -> Array:
        """Drawn from the supply for each token [J], (batch,)."""
        return self.total / self.tokens

    @property
    def latency(self) -> float:
        """Seconds from reset to the last output read."""
        return float(sum(self.phases.values()))

    @property
    def power(self) -> Array:
        """Mean power drawn from the supply while it anneals [W], (batch,)."""
        joules = sum((e.drawn for e in self.entries if e.phase == "anneal"), start=np.zeros_like(self.delivered))
        return joules / self.duration if self.duration else joules

    @property
    def imbalance(self) -> Array | None:
        """|delivered − dissipated − Δ½CV²| / delivered of a passive circuit, (batch,); None for others."""
        if not self.passive:
            return None
        heat = self.by("phase")["anneal"][1]
        miss = abs(self.delivered - heat - (self.stored_after - self.stored_before))
        return miss / np.maximum(abs(self.delivered), np.finfo(float).tiny)

    def by(self, key: str) -> dict[str, tuple[Array, Array]]:
        """{name: (drawn, dissipated)} summed by "part", "layer" or "phase", (batch,) each."""
        if key not in ("part", "layer", "phase"):
            raise Error(f"joules by {shown(key)} are unknown: use 'part', 'layer' or 'phase'")
        table: dict[str, tuple[Array, Array]] = {}
        for entry in self.entries:
            drawn, dissipated = table.get(getattr(entry, key), (0.0, 0.0))
            table[getattr(entry, key)] = (drawn + entry.drawn, dissipated + entry.dissipated)
        return table

    def without(self, *parts: str) -> EnergyReport:
        """The same run as if these parts cost nothing: `without("refresh")`."""
        return replace(self, entries=tuple(e for e in self.entries if e.part not in parts))

    def stages(self) -> list[dict[str, Any]]:
        """Latency as plain rows {stage, basis, seconds}, in order: reset, load, anneal, read.

        The anneal has one row for each basis that is known; other stages have none ("").
        """
        anneals = self.waits or {self.basis: self.duration}
        return [
            {"stage": stage, "basis": basis, "seconds": float(seconds)}
            for stage, own in self.phases.items()
            for basis, seconds in (anneals if stage == "anneal" else {"": own}).items()
        ]

    def rows(self) -> list[dict[str, Any]]:
        """The account as plain rows {part, layer, phase, drawn_j, dissipated_j}, mean over samples."""
        return [
            {
                "part": e.part,
                "layer": e.layer,
                "phase": e.phase,
                "drawn_j": float(np.mean(e.drawn)),
                "dissipated_j": float(np.mean(e.dissipated)),
            }
            for e in self.entries
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, mean over samples: totals, tables by part, layer and phase, what is excluded."""
        return {
            "total": float(np.mean(self.total)),
            "dissipated": float(np.mean(self.dissipated)),
            "delivered": float(np.mean(self.delivered)),
            "per_token": float(np.mean(self.per_token)),
            "power_w": float(np.mean(self.power)),
            "duration_s": float(self.duration),
            "until": self.basis,
            "latency_s": self.latency,
            "tokens": self.tokens,
            "positions_read": self.read,
            "without_refresh": float(np.mean(self.without("refresh").total)),
            "programming": float(self.programming),
            "programming_s": float(self.programming_time),
            "stages": self.stages(),
            "by_part": dict(self._means("part")),
            "by_layer": dict(self._means("layer")),
            "by_phase": {name: cost | {"seconds": self.phases[name]} for name, cost in self._phase_means()},
            "assumed": list(self.assumed),
            "excluded": list(self.excluded),
        }

    def _means(self, key: str) -> Iterator[tuple[str, dict[str, float]]]:
        for name, (drawn, dissipated) in self.by(key).items():
            yield name, {"drawn": float(np.mean(drawn)), "dissipated": float(np.mean(dissipated))}

    def _phase_means(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Joules of every phase, in order, those without any too."""
        found = dict(self._means("phase"))
        for name in self.phases:
            yield name, found.get(name, {"drawn": 0.0, "dissipated": 0.0})

    def plot(self) -> Figure:
        """Joules by part; see `plotting.plot_energy`."""
        from .plotting import plot_energy

        return plot_energy(self)

    def __repr__(self) -> str:
        total = float(np.mean(self.total))
        spent = f"{engineering(total, 'J')} in {engineering(self.duration, 's')}"
        return f"{type(self).__name__}({self.circuit!r}, {spent}{self._of_each(total)})"

    def _of_each(self, joules: float) -> str:
        """The joules of each token or row, where there are such."""
        return f", {engineering(joules / self.tokens, 'J')} a {self.each}" if self.each else ""

    def __str__(self) -> str:
        total, power = float(np.mean(self.total)), float(np.mean(self.power))
        lines = [
            f"{self.circuit} on {self.technology}: {engineering(total, 'J')} drawn from the supply, "
            f"{engineering(float(np.mean(self.dissipated)), 'J')} dissipated in elements",
            f"read after {engineering(self.duration, 's')} ({self.basis}), {engineering(power, 'W')}"
            + (f"{self._of_each(total)} ({self.tokens})" if self.each else ""),
            f"{'part':<16}{'drawn':>12}{'share':>8}{'dissipated':>12}",
        ]
        for name, cost in sorted(self._means("part"), key=lambda item: -item[1]["drawn"]):
            if not any(cost.values()):
                continue
            share = cost["drawn"] / total if total else 0.0
            drawn, heat = (engineering(cost[k], "J") for k in ("drawn", "dissipated"))
            lines.append(f"{name:<16}{drawn:>12}{share:>8.1%}{heat:>12}")
        lines.append(f"{'phase':<16}{'drawn':>12}{'time':>8}{'dissipated':>12}")
        for name, cost in self._phase_means():
            drawn, heat = (engineering(cost[k], "J") for k in ("drawn", "dissipated"))
            lines.append(f"{name:<16}{drawn:>12}{engineering(self.phases[name], 's'):>8}{heat:>12}")
        bare = float(np.mean(self.without("refresh").total))
        lines.append(
            f"without refresh {engineering(bare, 'J')}{self._of_each(bare)}; programming "
            f"{engineering(self.programming, 'J')} and {engineering(self.programming_time, 's')}, once"
        )
        return "\n".join([*lines, "taken: " + "; ".join(self.assumed), "not counted: " + "; ".join(self.excluded)])
