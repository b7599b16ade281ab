"""Windows of one length against such as begin with an element and grow with the time since the start.

    python benchmarks/windows.py     # threads: OPENBLAS_NUM_THREADS=1

Elements until settled + blocks rejected, strict NRMSE, and how far off the settling time is; against the same machine
in float64 at a tolerance of 1e-6. A run ends with the window in which it settles, so one run's cost says as much of
where its last window happens to end as of its elements: elements are averaged over ends from 0.75 to 1.25 of the time
when the machine settles. *rows*: elements solved at once; 4 in windows of up to 32 time constants is what a GPU does.
Growth: length of a window over the time since the start, at most 16 or 32 of the longest time constants; 0: all are so
long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from common import free_arrays, nrmse, save
from machines import gpt2_like, random_machine, trained_machine

import dsmachine as ds
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.duration import longest_time_constant
from dsmachine.emulator.inputs import checked_inputs, starting_values
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.operating_point import settle
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.request import Request
from dsmachine.emulator.settling import SettlingWatch
from dsmachine.emulator.transient import March
from dsmachine.emulator.windows import WINDOW, windows

Array = Any
GROWTHS = (0.0, 0.5, 1.0)
CASES = [("waveform", 1e-3), ("waveform", 3e-4), ("settling", 1e-3)]
ENDS = np.linspace(0.75, 1.25, 101)


@dataclass(frozen=True)
class InRows(Backend):
    """A processor that solves elements in a GPU's rows."""

    longer = 1

    def block(self, values: int) -> int:
        return 4


@dataclass
class Case:
    """A machine and what it does: probed until it settles."""

    plan: Plan
    inputs: dict[str, Array]
    tight: Probe
    settled: float

    @classmethod
    def of(cls, circuit: Any, embedded: Array) -> Case:
        inputs = {"embed": embedded}
        end = float(ds.transient(circuit, inputs, tolerance=1e-3).settling_time.max())
        tight = Probe(free_arrays(circuit), times=np.linspace(0, end, 121))
        run = ds.transient(circuit, inputs, precision="float64", tolerance=1e-6, duration=1.01 * end, observers=[tight])
        return cls(ds.prepare(circuit), inputs, tight, float(run.settling_time.max()))

    def relaxed(self, rows: int, growth: float, request: Request) -> dict[str, Any]:
        """Elements and blocks rejected until a window's end is past the end, means over ends; errors."""
        plan = replace(self.plan, solvers={})
        plan = replace(plan, backend=InRows()) if rows > 1 else plan
        values = checked_inputs(plan.circuit, plan.backend, self.inputs)
        target, probe = dict(values), Probe(self.tight.index, times=self.tight.sample_times)
        settle(plan, target)
        watch = SettlingWatch(plan, target, 8)
        march = March(
            plan, values, starting_values(plan.circuit, plan.backend, None, 0), points=request.collocation_points,
            tolerance=request.local_tolerance, first_element=request.first_element, growing=growth > 0,
            observers=[probe, watch],
        )  # fmt: skip
        tau, found = longest_time_constant(plan), []
        longest, stop = WINDOW * march.stretch * tau, 1e3 * self.settled
        for begin, length in windows(stop, longest, np.zeros(0), march.first * tau, growth):
            march.window(begin, length)
            found.append((begin + length, march.counts.elements, march.counts.rejected))
            if begin + length >= ENDS[-1] * self.settled:
                break
        reached, *counts = np.array(found).T
        which = np.searchsorted(reached, ENDS * self.settled * (1 - 1e-9))
        elements, rejected = (float(count[which].mean()) for count in counts)
        off = float(watch.time.max()) / self.settled - 1
        error = nrmse(plan.circuit, probe, self.tight, float(self.tight.sample_times[-1]))[0]
        return {"elements": elements, "rejected": rejected, "nrmse": error, "settling time off": off}


def measured(label: str, circuit: Any, embedded: Array) -> list[dict[str, Any]]:
    case, rows = Case.of(circuit, embedded), []
    for accuracy, tolerance in CASES:
        for count in (1, 4):
            for growth in GROWTHS:
                with case.plan.backend.arithmetic():
                    found = case.relaxed(count, growth, Request(accuracy=accuracy, tolerance=tolerance))
                about = {"machine": label, "accuracy": accuracy, "tolerance": tolerance, "rows": count}
                rows.append(about | {"growth": growth} | found)
                print(rows[-1], flush=True)
    return rows


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Elements over those in windows of one length, geometric means over machines and tolerances."""
    found = []
    for accuracy in ("waveform", "settling"):
        for count in (1, 4):
            each = {g: [r["elements"] for r in rows if (r["accuracy"], r["rows"], r["growth"]) == (accuracy, count, g)]
                    for g in GROWTHS}  # fmt: skip
            for growth in GROWTHS[1:]:
                ratio = math.exp(float(np.mean(np.log(each[growth]) - np.log(each[0.0]))))
                found.append({"machine": "all, over growth 0", "accuracy": accuracy, "rows": count, "growth": growth,
                              "elements": ratio})  # fmt: skip
    return found


def main() -> None:
    opt = {"family": "opt", "activation": "relu"}
    llama = {"family": "llama", "activation": "silu", "tied": False, "inner": 172}
    rows = measured("tiny-shakespeare", *trained_machine("tiny-shakespeare"))
    for family, layers, variant in (("GPT-2", 12, {}), ("OPT", 8, opt), ("Llama", 4, llama)):
        sizes = gpt2_like(layers, 64, 4, **variant)
        rows += measured(f"{family}, {layers} x 64, random", *random_machine(sizes, 32, 256))
    save("windows", [*rows, *means(rows)])


if __name__ == "__main__":
    main()
