"""The account of learning one sample: forward anneal, backward anneal, update of the weights (DESIGN §6, §8).

    reset, load    as of an inference; DACs write the targets too, of the positions that have a loss
    anneal         the machine relaxes, until it has settled
    backward       its adjoint relaxes on the same couplings, read transposed, until it has settled; the forward nodes
                   stay driven, as its cells read them
    update         both stay, while control capacitors move (`weight_update.py`)

Nothing is read: the loss stays on the chip. Weights are the forward machine's, so retention, refresh and controller
are counted once, over the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..circuits.adjoint import AdjointCircuit
from ..circuits.losses import LOSSES, WEIGHT
from ..circuits.technology import Technology
from ..emulator.gradients import Gradients
from ..emulator.plan import Plan
from ..emulator.prepare import prepare
from ..emulator.run import Run, transient
from .account import conversions
from .meter import EnergyMeter
from .report import EXCLUDED, STANDING, EnergyReport, Entry
from .weight_update import PART, Update

NOT_COUNTED = (
    "reading the loss and the learnt weights",
    "that the multipliers' gates slow the nodes that drive them",
    "that a refresh of a weight that has moved wants it read first",
)


@dataclass(frozen=True)
class Settled:
    """Seconds after which the forward and the backward machine have."""

    forward: float
    backward: float


@dataclass(frozen=True)
class Anneals:
    """Of one sample: both runs and what watched them; counting: positions that the loss is of, of all."""

    forward: Run
    backward: Run
    ahead: EnergyMeter
    behind: EnergyMeter
    counting: int
    positions: int

    @property
    def settled(self) -> Settled | None:
        """When each has; None where one has not."""
        times = [math.nan if run.settling_time is None else float(run.settling_time[0]) for run in self.runs]
        return Settled(*times) if all(map(math.isfinite, times)) else None

    @property
    def runs(self) -> tuple[Run, Run]:
        return self.forward, self.backward

    @property
    def back(self) -> AdjointCircuit:
        """The machine that annealed backward."""
        assert isinstance(self.backward.circuit, AdjointCircuit)
        return self.backward.circuit


def anneal_both(plan: Plan, inputs: Mapping[str, Any], told: Gradients, technology: Technology) -> Anneals:
    """The first sample's anneals, each from zero until settled to 8 bits, weighed.

    plan, inputs: of the forward machine; told: its gradients at these inputs, which the volts of the backward machine
    are of.
    """
    back = prepare(told.calibrated(technology), precision=plan.backend.precision, device=plan.backend.device)
    held = {name: value[:1] for name, value in told.inputs.items()}
    first = {name: value[:1] for name, value in inputs.items()}
    ahead, behind = (EnergyMeter(technology, read="none") for _ in range(2))
    forward, backward = (
        transient(each, given, accuracy="settling", observers=[meter])
        for each, given, meter in ((plan, first, ahead), (back, held, behind))
    )
    return Anneals(forward, backward, ahead, behind, int(np.count_nonzero(held[WEIGHT])), held[WEIGHT].size)


def step_report(made: Anneals, settled: Settled, update: Update) -> EnergyReport:
    """An account of one sample, its phases those of the module docstring; settled: when each is taken to have."""
    share, driven = made.counting / made.positions, update.seconds if update.driven else 0.0
    rest = settled.backward + driven
    ahead, held = (made.ahead.report(until=end) for end in (settled.forward, settled.forward + rest))
    back, kept = (made.behind.report(until=end) for end in (settled.backward, rest))
    phases = _phases(ahead, back, settled, update, _targets(made, share))
    entries = [
        *_standing(ahead, settled, phases),
        *_own(ahead, {"reset": "reset", "load": "load", "anneal": "anneal"}),
        *_later(ahead, held, {"backward": settled.backward / rest, "update": driven / rest}),
        *_scaled(_own(back, {"load": "load"}), share),
        *_own(back, {"reset": "reset", "anneal": "backward"}),
        *_later(back, kept, {"update": 1.0}),
        *(_drawn(PART, layer, "update", joules, ahead) for layer, joules in update.joules.items()),
    ]
    assumed = [*ahead.assumed, *(f"backward, {said}" for said in back.assumed if said not in ahead.assumed)]
    return replace(
        ahead,
        circuit=f"{ahead.circuit}, learning",
        basis="settling time",
        phases=phases,
        entries=tuple(entries),
        waits={},
        passive=False,
        assumed=(*assumed, *update.assumed),
        excluded=(*EXCLUDED, *NOT_COUNTED),
    )


def _phases(
    ahead: EnergyReport, back: EnergyReport, settled: Settled, update: Update, targets: float
) -> dict[str, float]:
    """Seconds of each; both machines are reset at once."""
    return {
        "reset": max(ahead.phases["reset"], back.phases["reset"]),
        "load": ahead.phases["load"] + targets,
        "anneal": settled.forward,
        "backward": settled.backward,
        "update": update.seconds,
    }


def _targets(made: Anneals, share: float) -> float:
    """Seconds that the DACs take for the targets of a share of the positions."""
    circuit, converter = made.back, made.behind.design.technology.converter
    values = sum(circuit.arrays[name].count for name in LOSSES[circuit.loss].inputs)
    return conversions(round(share * values), converter.dac_count) * converter.dac_time


def _standing(report: EnergyReport, settled: Settled, phases: Mapping[str, float]) -> Iterator[Entry]:
    """What weights cost in each phase by being kept."""
    for entry in report.entries:
        if entry.part in STANDING and entry.phase == "anneal":
            watts = entry.drawn / settled.forward
            for phase, seconds in phases.items():
                yield replace(entry, phase=phase, drawn=watts * seconds)


def _own(report: EnergyReport, names: Mapping[str, str]) -> Iterator[Entry]:
    """What else there is, phases by another name; of phases without one nothing."""
    for entry in report.entries:
        if entry.part not in STANDING and entry.phase in names:
            yield replace(entry, phase=names[entry.phase])


def _later(short: EnergyReport, long: EnergyReport, shares: Mapping[str, float]) -> Iterator[Entry]:
    """What a machine at rest takes from the end of its anneal on."""
    for before, after in zip(_own(short, {"anneal": ""}), _own(long, {"anneal": ""}), strict=True):
        for phase, share in shares.items():
            drawn, heat = after.drawn - before.drawn, after.dissipated - before.dissipated
            yield replace(before, phase=phase, drawn=share * drawn, dissipated=share * heat)


def _scaled(entries: Iterator[Entry], share: float) -> Iterator[Entry]:
    for entry in entries:
        yield replace(entry, drawn=share * entry.drawn, dissipated=share * entry.dissipated)


def _drawn(part: str, layer: str, phase: str, joules: float, like: EnergyReport) -> Entry:
    nothing = np.zeros_like(like.delivered)
    return Entry(part, layer, phase, nothing + joules, nothing)


__all__ = ["Anneals", "Settled", "anneal_both", "step_report"]
