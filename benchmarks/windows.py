"""Windows of one length against such as begin short and grow: elements until settled, averaged over when that is.

    python benchmarks/windows.py     # threads: OPENBLAS_NUM_THREADS=1

A run ends with the window in which it settles, so one run's cost says as much of where its last window happens to end
as of its elements. Elements are therefore averaged over ends from 0.75 to 1.25 of the time when the machine settles.
Rejected blocks are counted beside. `first`: share of the longest window with which windows begin.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from common import save
from settling_by_layer import gpt2_like, random_machine, trained_machine

import dsmachine as ds
from dsmachine.emulator.duration import longest_time_constant
from dsmachine.emulator.inputs import checked_inputs, starting_values
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.request import Request
from dsmachine.emulator.transient import WINDOW, March, windows

Array = Any
SHARES = (1.0, 0.5, 0.25, 0.125)
CASES = [("waveform", 1e-3), ("waveform", 3e-4), ("settling", 1e-3)]
ENDS = np.linspace(0.75, 1.25, 101)


def costs(plan: Plan, inputs: dict[str, Array], settled: float, **choices: Any) -> tuple[float, float]:
    """(elements, blocks rejected) until a window's end is past the end, mean over ends."""
    request = Request(**choices)
    start = starting_values(plan.circuit, plan.backend, None, 0)
    values = checked_inputs(plan.circuit, plan.backend, inputs)
    points, tolerance = request.collocation_points, request.local_tolerance
    march = March(
        plan, values, start, points=points, tolerance=tolerance, first_element=request.first_element, observers=[]
    )
    longest = WINDOW * march.stretch * longest_time_constant(plan)
    found = []
    for begin, length in windows(100 * longest, longest, np.zeros(0), plan.first):
        march.window(begin, length)
        found.append((begin + length, march.counts.elements, march.counts.rejected))
        if begin + length >= ENDS[-1] * settled:
            break
    reached, *counts = np.array(found).T
    which = np.searchsorted(reached, ENDS * settled * (1 - 1e-9))
    elements, rejected = (float(count[which].mean()) for count in counts)
    return elements, rejected


def measured(label: str, circuit: Any, embedded: Array) -> list[dict[str, Any]]:
    plan, inputs, rows = ds.prepare(circuit), {"embed": embedded}, []
    run = ds.transient(plan, inputs, tolerance=1e-3)
    assert run.settling_time is not None
    for accuracy, tolerance in CASES:
        row: dict[str, Any] = {"machine": label, "accuracy": accuracy, "tolerance": tolerance}
        for first in SHARES:
            with plan.backend.arithmetic():
                elements, rejected = costs(
                    replace(plan, first=first), inputs, float(run.settling_time.max()), accuracy=accuracy,
                    tolerance=tolerance,
                )  # fmt: skip
            row[f"first {first:g}"] = f"{elements:.1f} + {rejected:.1f}"
            row[f"elements, {first:g}"] = elements
        rows.append(row)
    return rows


def main() -> None:
    opt = {"family": "opt", "activation": "relu"}
    llama = {"family": "llama", "activation": "silu", "tied": False, "inner": 172}
    rows = measured("tiny-shakespeare", *trained_machine("tiny-shakespeare"))
    for family, layers, variant in (("GPT-2", 12, {}), ("OPT", 8, opt), ("Llama", 4, llama)):
        sizes = gpt2_like(layers, 64, 4, **variant)
        rows += measured(f"{family}, {layers} x 64, random", *random_machine(sizes, 32, 256))
    means = {}
    for first in SHARES[1:]:
        ratios = [row[f"elements, {first:g}"] / row[f"elements, {SHARES[0]:g}"] for row in rows]
        means[f"first {first:g}"] = f"{math.exp(np.log(ratios).mean()):.3f}"
    table = [{key: value for key, value in row.items() if not key.startswith("elements")} for row in rows]
    save("windows", [*table, {"machine": "elements, geometric mean", f"first {SHARES[0]:g}": "1", **means}])


if __name__ == "__main__":
    main()
