"""What it costs to let weights pass by, beside weights that stay on the GPU.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --cases gpt2-medium --windows 1 4 16

Seconds of an adaptive run (accuracy="settling", tolerance 1e-3, until settled to 8 bits) with resident weights and with
streamed ones, by the length of a window in usual ones (16 of the longest time constant); passes: how often all weights
were copied, the operating point included; copy_s: what one pass takes by itself. Weights are random, of the family's
shape (see machines.py).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from common import save, waiting
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.emulator.plan import Plan

Array = Any
CHOICES: dict[str, Any] = {"accuracy": "settling", "tolerance": 1e-3}


def finished(task: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds until the GPU is done, result)."""
    wait = waiting("cupy")
    begun = time.perf_counter()
    result = task()
    wait()
    return time.perf_counter() - begun, result


def adaptive(plan: Plan, inputs: dict[str, Array], repeats: int) -> tuple[float, ds.Run]:
    """(median seconds, last run) of adaptive runs after a first one."""
    seconds = []
    for _ in range(repeats + 1):
        plan.taken.clear()
        each, run = finished(lambda: ds.transient(plan, inputs, **CHOICES))
        seconds.append(each)
    return statistics.median(seconds[1:]), run


def about(run: ds.Run) -> dict[str, Any]:
    assert run.settling_time is not None
    return {
        **{key: run.statistics[key] for key in ("elements", "rejected")},
        "settled_ns": float(run.settling_time.max()) * 1e9,
        "end_ns": float(run.duration) * 1e9,
    }


def streamed(circuit: Circuit, inputs: dict[str, Array], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    plan = ds.prepare(circuit, device="cupy:0")
    seconds, run = adaptive(plan, inputs, options.repeats)
    yield {"weights": "resident", "wall_s": seconds, **about(run)}
    del plan
    plan = ds.prepare(circuit, device="cupy:0", stream=True)
    assert plan.store
    host, device = plan.store.nbytes
    for window in options.windows:
        other = replace(plan, stretch=window)
        seconds, run = adaptive(other, inputs, options.repeats)
        before = plan.store.loads
        ds.transient(other, inputs, **CHOICES)
        passes = (plan.store.loads - before) / plan.store.blocks
        copied = statistics.median(finished(lambda: list(plan.visited()))[0] for _ in range(3))
        yield {
            "weights": "streamed", "window": window, "wall_s": seconds, "passes": passes, "copy_s": copied,
            "GB": host / 1e9, "GB on device": device / 1e9, "GB/s": host / copied / 1e9, **about(run),
        }  # fmt: skip


def device() -> str:
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=["gpt2", "gpt2-medium"], choices=list(SHAPES))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--windows", type=int, nargs="*", default=[1, 2, 4, 8, 16], help="powers of two")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="streaming", help="of the result files")
    options = parser.parse_args()
    rows = []
    for name in options.cases:
        circuit, embedded = random_machine(SHAPES[name], options.tokens, options.vocabulary)
        inputs = {"embed": np.stack([np.roll(embedded, k, axis=0) for k in range(options.batch)])}
        for row in streamed(circuit, inputs, options):
            rows.append({"case": name, "tokens": f"{options.batch} x {options.tokens}"} | row | {"device": device()})
            print(rows[-1], flush=True)
            save(options.name, rows)


if __name__ == "__main__":
    main()
