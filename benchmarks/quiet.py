"""How much could be saved by skipping layers that are quiet? An upper bound, counted in a run that skips nothing.

    python benchmarks/quiet.py     # threads: OPENBLAS_NUM_THREADS=1

A group in a window is quiet if none of its arrays leaves where it was solved last, ended before that window, by more
than tolerance / groups of full scale, rms over its nodes. Whatever tells quiet layers from their inputs, change times
gain, and from |C dv/dt|/g, skips fewer windows: what it lets through still moves as far. Moves add up until the
group is solved again, so one that creeps is not quiet for long. *waiting*: quiet elements of a group that still wakes
up; *resting*: those after it last moved. Only these may be skipped, and each group is solved once more at the end.
Shares are of elements, and of multiplications at their points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from common import save
from machines import gpt2_like, random_machine, trained_machine

import dsmachine as ds
from dsmachine.emulator.observers import Element
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.share import FIRST

Array = Any
WIDTHS, LAYERS, TOKENS, VOCABULARY = (64, 128), 12, 32, 256
CASES = [("waveform", 1e-3), ("waveform", 1e-4), ("settling", 1e-3)]


@dataclass
class Visit:
    """A group in a window: elements taken, and whether it was quiet."""

    elements: int = 0
    quiet: bool = True


@dataclass
class Quiet:
    """Observer: the visits of each group (by the name of its first array), window by window."""

    share: float
    visits: dict[str, list[Visit]] = field(default_factory=dict)

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self.visits = {group.stages[0].name: [Visit()] for group in plan.groups}
        self._solved = {name: value.copy() for name, value in start.items()}
        self._now = dict(start)

    def element(self, element: Element) -> None:
        visit = self.visits[element.group.stages[0].name][-1]
        visit.elements += element.count
        for stage in element.group.stages:
            moved = (element.values[stage.name] - self._solved[stage.name]) * stage.per_full_scale
            rms = np.sqrt((moved.reshape(len(moved), -1) ** 2).mean(axis=1).max())
            visit.quiet = visit.quiet and bool(rms <= self.share)
            self._now[stage.name] = element.values[stage.name][-1].copy()
        if element.ends and not visit.quiet:
            self._solved |= {stage.name: self._now[stage.name] for stage in element.group.stages}

    def window(self, time: float) -> None:
        for visits in self.visits.values():
            visits.append(Visit())

    def counted(self) -> dict[str, tuple[int, int, int]]:
        """(all, waiting, resting) elements of each group; one of the resting is kept for the end."""
        found = {}
        for name, visits in self.visits.items():
            awake = max((k for k, visit in enumerate(visits) if not visit.quiet), default=-1)
            waiting = sum(v.elements for v in visits[: awake + 1] if v.quiet)
            resting = max(0, sum(v.elements for v in visits[awake + 1 :]) - 1)
            found[name] = (sum(v.elements for v in visits), waiting, resting)
        return found


def measured(label: str, circuit: Any, embedded: Array) -> list[dict[str, Any]]:
    plan = replace(ds.prepare(circuit), first=FIRST)  # the shorter windows are, the more there is to skip
    costs = {
        group.stages[0].name: sum(circuit.terms[t.name].count(circuit) for s in group.stages for t in s.terms)
        for group in plan.groups
    }
    rows = []
    for accuracy, tolerance in CASES:
        quiet = Quiet(tolerance / len(plan.groups))
        run = ds.transient(plan, {"embed": embedded}, accuracy=accuracy, tolerance=tolerance, observers=[quiet])
        counts = np.array(list(quiet.counted().values()), float)
        work = counts * np.array([[costs[name]] for name in quiet.visits], float)
        rows.append(
            {
                "machine": label,
                "accuracy": accuracy,
                "tolerance": tolerance,
                "windows": len(next(iter(quiet.visits.values()))) - 1,
                "elements": int(run.statistics["elements"]),
                "waiting": counts[:, 1].sum() / counts[:, 0].sum(),
                "resting": counts[:, 2].sum() / counts[:, 0].sum(),
                "resting, of multiplications": work[:, 2].sum() / work[:, 0].sum(),
            }
        )
    return rows


def main() -> None:
    rows = measured("tiny-shakespeare", *trained_machine("tiny-shakespeare"))
    for width in WIDTHS:
        machine = random_machine(gpt2_like(LAYERS, width, 4), TOKENS, VOCABULARY)
        rows += measured(f"{LAYERS} x {width}, random", *machine)
    save("quiet", rows)


if __name__ == "__main__":
    main()
