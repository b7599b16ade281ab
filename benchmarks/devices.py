"""What it costs to let weights pass by, and what several GPUs gain: one machine over them, and a batch of chips.

    python benchmarks/devices.py                              # all that the GPUs here allow
    python benchmarks/devices.py --cases gpt2-medium --tasks stream --windows 1 4 16

stream: seconds of an adaptive run (accuracy="settling", tolerance 1e-3, until settled to 8 bits) with resident weights
and with streamed ones, by the length of a window in usual ones (16 of the longest time constant); passes: how often all
weights were copied, the operating point included; copy_s: what one pass takes by itself. pipeline: the same run, the
machine's layers over 1, 2 and 4 GPUs, whose windows grow. chips: seconds that so many chips take over 1, 2 and 4 GPUs,
each prepared, run adaptively once and with three more inputs, the first of which records it. Weights are random, of the
family's shape (see machines.py).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from common import save
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.emulator.plan import Plan

Array = Any
CHOICES: dict[str, Any] = {"accuracy": "settling", "tolerance": 1e-3}


def here() -> int:
    """How many GPUs there are."""
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def finished(task: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds until all GPUs are done, result)."""
    import cupy

    begun = time.perf_counter()
    result = task()
    for number in range(here()):
        cupy.cuda.Device(number).synchronize()
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


def pipelined(circuit: Circuit, inputs: dict[str, Array], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for count in (count for count in (1, 2, 4) if count <= here()):
        plan = ds.prepare(circuit, device=[f"cupy:{number}" for number in range(count)])
        seconds, run = adaptive(plan, inputs, options.repeats)
        yield {"GPUs": count, "layers": [len(part.groups) for part in plan.parts], "wall_s": seconds, **about(run)}


def chips(circuit: Circuit, inputs: dict[str, Array], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    made = [ds.fabricate(circuit, seed=seed, mismatch=0.01) for seed in range(options.chips)]
    others = [{name: np.roll(value, k, axis=-2) for name, value in inputs.items()} for k in range(1, 4)]

    def task(chip: Any, device: str) -> float:
        plan = ds.prepare(chip, device=device)
        runs = [ds.transient(plan, given, **CHOICES) for given in (inputs, *others)]
        return float(np.max([run.settling_time for run in runs]))

    for count in (count for count in (1, 2, 4) if count <= here()):
        devices = [f"cupy:{number}" for number in range(count)]
        ds.each(made[:count], task, devices=devices)  # kernels are compiled
        seconds, settled = finished(lambda devices=devices: ds.each(made, task, devices=devices))
        yield {"GPUs": count, "chips": len(made), "wall_s": seconds, "settled_ns": max(settled) * 1e9}


TASKS = {"stream": streamed, "pipeline": pipelined, "chips": chips}


def device() -> str:
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=["gpt2", "gpt2-medium"], choices=list(SHAPES))
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--windows", type=int, nargs="*", default=[1, 2, 4, 8, 16], help="powers of two")
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="devices", help="of the result files")
    options = parser.parse_args()
    rows = []
    for name in options.cases:
        circuit, embedded = random_machine(SHAPES[name], options.tokens, options.vocabulary)
        inputs = {"embed": np.stack([np.roll(embedded, k, axis=0) for k in range(options.batch)])}
        for task in options.tasks:
            for row in TASKS[task](circuit, inputs, options):
                rows.append({"case": name, "tokens": f"{options.batch} x {options.tokens}", "task": task} | row)
                rows[-1]["device"] = device()
                print(rows[-1], flush=True)
                save(options.name, rows)


if __name__ == "__main__":
    main()
