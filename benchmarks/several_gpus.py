"""Several GPUs: a batch of chips, one at a time on each, and one machine shared by them, some layers each.

    python benchmarks/several_gpus.py --cases gpt2 --vocabulary 50257
    python benchmarks/several_gpus.py --cases llama2-7b --chips 4 --vocabulary 32000
    python benchmarks/several_gpus.py --cases gpt2 --layers 2 --chips 2 --devices numpy numpy    # processors stand in

chips: each is fabricated (an offset of its own at every node), moved to its device, but for what the chip before it has
left there, and annealed once from rest until settled to 8 bits, accuracy="settling", no recorded run; seconds from the
first to the last, and medians of the parts. shared: one machine that is there already, annealed the same way, median of
--repeats. times: as many times as fast as one device of the same run. apart: largest difference of the logits from
those of one device, as a share of the largest; of a shared machine both runs take windows of the same length. Weights
are random (machines.py).
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from common import save, timed, waiting
from gpu import alone
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.emulator.backend import Backend

Array = Any
Row = dict[str, Any]
ANNEAL: dict[str, Any] = {"accuracy": "settling", "tolerance": 1e-3}


def counts(devices: Sequence[str]) -> list[int]:
    """1, 2, 4, … devices, as many as there are."""
    return [1 << k for k in range(len(devices).bit_length())]


def found() -> list[str]:
    import cupy

    return [f"cupy:{number}" for number in range(cupy.cuda.runtime.getDeviceCount())]


def one_chip(circuit: Circuit, inputs: Row, offset: float, seed: int, device: str, plans: dict[str, Any]) -> Row:
    """A chip from its making to its logits: seconds of each part. plans: the latest on each device."""
    with Backend(device).here():
        wait = waiting(device.partition(":")[0])
        begun = time.perf_counter()
        chip = ds.fabricate(circuit, seed=seed, offset=offset)
        made = time.perf_counter()
        plans[device] = ds.prepare(chip, device=device, like=plans.get(device))
        wait()
        moved = time.perf_counter()
        run = ds.transient(plans[device], inputs, **ANNEAL)
        wait()
        done = time.perf_counter()
    return {
        "fabricated_s": made - begun, "moved_s": moved - made, "annealed_s": done - moved,
        "logits": run.outputs["logits"], "settled": run.settled,
    }  # fmt: skip


def apart(ours: Array, theirs: Array) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def batches(circuit: Circuit, inputs: Row, options: argparse.Namespace) -> Iterator[Row]:
    """A row for each number of devices."""
    one_chip(circuit, inputs, options.offset, 0, options.devices[0], {})  # kernels are compiled
    alone: list[Row] = []
    first = 0.0
    for count in counts(options.devices):
        begun, plans = time.perf_counter(), dict[str, Any]()

        def make(seed: int, device: str, plans: dict[str, Any] = plans) -> Row:
            return one_chip(circuit, inputs, options.offset, seed, device, plans)

        chips = ds.each(range(options.chips), make, devices=options.devices[:count])
        wall = time.perf_counter() - begun
        alone, first = alone or chips, first or wall
        yield {
            "what": "chips", "chips": options.chips, "devices": count, "wall_s": wall, "times": first / wall,
            **{part: statistics.median(chip[part] for chip in chips) for part in chips[0] if part.endswith("_s")},
            "apart": max(apart(chip["logits"], other["logits"]) for chip, other in zip(chips, alone, strict=True)),
            "settled": all(chip["settled"] for chip in chips),
        }  # fmt: skip


def shared(circuit: Circuit, inputs: Row, options: argparse.Namespace) -> Iterator[Row]:
    """A row for each number of devices; where there are several, one is told apart that takes the same windows."""
    wait, first, usual = waiting(options.devices[0].partition(":")[0]), 0.0, None
    for count in counts(options.devices):
        plan = ds.prepare(circuit, device=options.devices[:count] if count > 1 else options.devices[0])
        if count == 1:
            usual = plan

        def anneal(plan: Any = plan) -> ds.Run:
            plan.taken.clear()
            run = ds.transient(plan, inputs, **ANNEAL)
            wait()
            return run

        anneal()
        wall, run = timed(anneal, options.repeats)
        first = first or wall
        alike = replace(usual, first=plan.first, growth=plan.growth, taken={}, graphs={})
        same = ds.transient(alike, inputs, **ANNEAL)
        yield {
            "what": "shared", "devices": count, "wall_s": wall, "times": first / wall,
            "apart": apart(run.outputs["logits"], same.outputs["logits"]), "settled": run.settled,
            "elements": run.statistics["elements"], "settled_ns": float(run.settling_time.max()) * 1e9,
        }  # fmt: skip
        del plan, alike
        gc.collect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=["gpt2"], choices=list(SHAPES))
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--layers", type=int, help="(default: all of the shape)")
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--offset", type=float, default=0.001, help="σ at every node, share of full scale")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--devices", nargs="*", help="(default: all GPUs)")
    parser.add_argument("--name", default="several_gpus", help="of the result files")
    options = parser.parse_args()
    options.devices = options.devices or found()
    rows: list[Row] = []
    for case in options.cases:
        circuit, embedded = random_machine(SHAPES[case], options.tokens, options.vocabulary, layers=options.layers)
        layers = len({node.layer for node in circuit.arrays.values()} - {"head", ""})
        about = {"case": case, "layers": layers, "tokens": options.tokens, "vocabulary": options.vocabulary}
        with alone():
            for row in chain(*(measure(circuit, {"embed": embedded}, options) for measure in (batches, shared))):
                rows.append(about | row | {"device": options.devices[0].partition(":")[0]})
                print(rows[-1], flush=True)
                save(options.name, rows)


if __name__ == "__main__":
    main()
