"""Joules and seconds of the five models of the paper's tables, by part, from machines of random weights of their shape.

    python benchmarks/energy_by_shape.py                  # 10 minutes, 5 GB; threads: OPENBLAS_NUM_THREADS=1
    python benchmarks/energy_by_shape.py --depth --tokens 8       # the law of depth against the whole machine, GPT-2
    python benchmarks/energy_by_shape.py --device cupy --whole --tokens 128 --texts 4 --models gpt2 gpt2-medium opt-1.3b
    python benchmarks/energy_by_shape.py --device cupy --whole --tokens 128 --models opt-2.7b llama2-7b  # 80 GB or more

Rows are put beside those that the result file has; `dsmachine report` reads it. Weights are random (σ 0.02, residual
projections 0.02/sqrt(2 L); `machines.py`), the vocabulary is whole, inputs are random tokens. Read after the
p99 of the texts' settling times to 8 bits. Where not all layers are built, joules follow `energy/depth.py`, and the
time at which the whole depth is read is the one measured on a GPU (`gpu.json`) or a straight line through the
settling times of the later half of the layers.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from common import RESULTS, keep, origin, save, settled_by_layer
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.depth import joules_of_depth, settling_of_depth
from dsmachine.energy.report import APART

Array = Any
NAME, BITS = "energy_by_shape", 8
BUILT = {"gpt2": 12, "gpt2-medium": 24, "opt-1.3b": 8, "opt-2.7b": 6, "llama2-7b": 2}  # where 5 or 12 GB have to do
CHOICES: dict[str, Any] = {"accuracy": "settling", "tolerance": 1e-3, "settle_bits": BITS}


def annealed(circuit: Circuit, embedded: Array, options: argparse.Namespace) -> tuple[ds.Run, ds.EnergyMeter]:
    """A run from zero until all texts have settled, and its meter."""
    texts = np.stack([np.roll(embedded, k, axis=0) for k in range(options.texts)])
    meter = ds.EnergyMeter()
    plan = ds.prepare(circuit, device=options.device, precision="float32")
    run = ds.transient(plan, {"embed": texts}, observers=[meter], **CHOICES)
    assert run.settled and run.settling_time is not None
    return run, meter


def read_after(name: str, circuit: Circuit, run: ds.Run, built: int) -> tuple[float, str]:
    """(seconds after which the whole model's machine is read, how they are known)."""
    assert run.settling_time is not None
    layers = SHAPES[name].layers
    if built == layers:
        return float(np.quantile(run.settling_time, 0.99)), f"settled in this run to {BITS} bits"
    for row in json.loads((RESULTS / "gpu.json").read_text())["rows"]:
        alike = row["kind"] == "S" and row.get("settle_bits", BITS) == BITS
        if alike and row["case"] == name and row["layers"] == layers:
            return row["settled_ns"] * 1e-9, _known(row)
    line = settling_of_depth(settled_by_layer(circuit, run), layers)
    return line, "a line through the settling times of the layers built"


def _known(row: dict[str, Any]) -> str:
    return f"settled with all layers and {row['tokens']} tokens on a GPU, at commit {row['commit']} (gpu.json)"


def total(joules: dict[str, dict[str, float]], apart: Sequence[str] = ()) -> float:
    """Of all phases, and all parts but some."""
    return sum(sum(phases.values()) for part, phases in joules.items() if part not in apart)


def measured(name: str, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """(row of the result file, its account by phase and part)."""
    shape = SHAPES[name]
    built = shape.layers if options.whole else min(BUILT[name], shape.layers)
    circuit, embedded = random_machine(shape, options.tokens, shape.vocabulary, layers=built)
    run, meter = annealed(circuit, embedded, options)
    seconds, known = read_after(name, circuit, run, built)
    report = meter.report(until=seconds, basis=known)
    joules = joules_of_depth(report, shape.layers)
    account = {"phases_s": dict(report.phases), "joules": joules}
    account |= {"assumed": list(report.assumed), "excluded": list(report.excluded)}
    row = {
        "model": name,
        "layers": shape.layers,
        "built": built,
        "tokens": options.tokens,
        "texts": options.texts,
        "vocabulary": shape.vocabulary,
        "read_after_s": seconds,
        "known": known,
        "latency_s": report.latency,
        "joules": total(joules),
        "joules of the circuits": total(joules, APART),
        "saturated": sum(run.saturated.values()),
        "wall_s": run.statistics["wall_s"],
        "device": options.device,
        "commit": origin()["commit"],
    }
    return row, account


def law_of_depth(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Joules and settling time of GPT-2's twelve layers from those of its first ones, over what the twelve take."""
    shape, rows, whole = SHAPES["gpt2"], [], {}
    for built in (12, 8, 6, 4):
        circuit, embedded = random_machine(shape, options.tokens, shape.vocabulary, layers=built)
        run, meter = annealed(circuit, embedded, options)
        if built == shape.layers:
            seconds, _ = read_after("gpt2", circuit, run, built)
        joules = joules_of_depth(meter.report(until=seconds), shape.layers)
        found = {
            "joules": total(joules),
            "joules of the circuits": total(joules, APART),
            "settling time": settling_of_depth(settled_by_layer(circuit, run), shape.layers),
        }
        whole = whole or found
        rows.append({"built": built} | {f"{name} over whole": found[name] / whole[name] for name in found})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(BUILT), choices=list(BUILT))
    parser.add_argument("--device", default="numpy")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--texts", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="build all layers")
    parser.add_argument("--depth", action="store_true", help="compare the law of depth with the whole of GPT-2")
    options = parser.parse_args()
    if options.depth:
        save("energy_by_depth", law_of_depth(options))
        return
    for name in options.models:
        keep(NAME, BUILT, *measured(name, options))
        gc.collect()


if __name__ == "__main__":
    main()
