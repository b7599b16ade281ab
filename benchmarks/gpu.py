"""Models of full size on a GPU, every array from zero until settled to 8 bits: seconds, strict NRMSE, settling time.

    python benchmarks/gpu.py                                   # all cases, one after another
    python benchmarks/gpu.py --cases gpt2 --precisions float32 tf32 --vocabulary 50257
    python benchmarks/gpu.py --cases llama2-7b --kinds S --precisions float32 tf32x3 --vocabulary 32000 \
        --reference-tolerance 1e-4 --sampled 512 --repeats 2 --unmetered
    python benchmarks/gpu.py --cases llama2-7b --kinds S --precisions tf32 --vocabulary 32000 --bits 8 6 --unreferenced

A run's first time is adaptive; later ones are replayed as one CUDA graph (`emulator/graphs.py`), and it is those that
are timed, by their median, with the operating point, the error estimates and the settling time in it, but without
mapping and without moving the weights. Where a recorded run has no room, or with --adaptive, all are adaptive
("replayed" is false). S: accuracy="settling"; W: accuracy="waveform"; N: thermal noise by the stepper for as long as
the machine takes to settle, in steps of a quarter of the shortest time constant, and of a bare node's.

Errors are against the same circuit in the finest precision asked for but TF32, at tolerance 1e-5, 8 points an element,
on 121 common times, over up to 4096 nodes of each array (--reference-tolerance, --sampled). Weights are random, of the
family's shape with all of its layers (see machines.py), but for smollm2. The floor is the larger of the
couplings' FLOP, over the rate of a large matrix product measured beside it, and of one write and one read of every
polynomial, over the rate of a copy. --unreferenced: how long it takes and where it rests, without errors.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import math
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import free_arrays, nrmse, save
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.cells import Coupling
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.plan import Plan

Array = Any
LOCK = Path(f"/tmp/dsmachine-gpu-benchmark-{os.environ.get('CUDA_VISIBLE_DEVICES') or '0'}.lock")
TOLERANCES = {"S": ("settling", (1e-3,)), "W": ("waveform", (2e-3, 1e-3, 7e-4, 5e-4, 4.2e-4, 3.5e-4, 2.5e-4, 1.2e-4))}
TIMES = 121


@contextmanager
def alone() -> Iterator[None]:
    """One process at a time uses a GPU, while others map their models."""
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def finished(task: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds until the GPU is done, result)."""
    import cupy

    cupy.cuda.Device().synchronize()
    begun = time.perf_counter()
    result = task()
    cupy.cuda.Device().synchronize()
    return time.perf_counter() - begun, result


def machine(name: str, options: argparse.Namespace) -> tuple[Circuit, Array]:
    """(circuit, its input); says how long it took and how much memory."""
    begun, tokens = time.perf_counter(), options.tokens
    if name == "smollm2":
        model = ds.load_model(name)
        ids = model.tokenize(model.calibration_text)[:tokens]
        circuit, embedded = ds.map_model(model, tokens, precision="float32"), model.embed(ids)
    else:
        circuit, embedded = random_machine(SHAPES[name], tokens, options.vocabulary, layers=options.layers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux counts in kB
    print(f"{name}: mapped in {time.perf_counter() - begun:.0f} s, {peak:.1f} GB at most", flush=True)
    return circuit, embedded


def some_nodes(circuit: Circuit, sampled: int) -> dict[str, Any]:
    """Up to `sampled` nodes of each free array, spread over it; of masked arrays those that exist."""
    picks = {}
    for name in free_arrays(circuit):
        node = circuit.arrays[name]
        here = np.flatnonzero(node.present.reshape(-1))
        chosen = here[:: max(1, len(here) // sampled)]
        picks[name] = np.unravel_index(chosen, node.shape)
    return picks


def error(circuit: Circuit, plan: Plan, inputs: dict[str, Array], tight: Probe, end: float, **choices: Any) -> Any:
    """(NRMSE, worst array) of the elements that a run with these choices takes."""
    probe = Probe(tight.index, times=tight.sample_times)
    ds.transient(plan, inputs, duration=end * 1.01, observers=[probe], **choices)
    return nrmse(circuit, probe, tight, end)


def converged(
    circuit: Circuit, plan: Plan, inputs: dict[str, Array], end: float, options: argparse.Namespace
) -> tuple[Probe, float]:
    """(what the nodes do, settling time)."""
    probe = Probe(some_nodes(circuit, options.sampled), times=np.linspace(0, end, TIMES))
    tolerance = options.reference_tolerance
    run = ds.transient(plan, inputs, tolerance=tolerance, points=8, duration=end * 1.01, observers=[probe])
    print(f"reference: {run.statistics['points']} points, {run.statistics['wall_s']:.1f} s", flush=True)
    assert run.settling_time is not None
    return probe, float(run.settling_time.max())


def rates() -> tuple[float, float]:
    """(FLOP/s of a float32 product of 8192 x 8192 matrices, bytes/s of a copy, read and written)."""
    import cupy

    a = cupy.random.rand(8192, 8192).astype(np.float32)
    b = cupy.empty_like(a)
    product = min(finished(lambda: cupy.matmul(a, a, out=b))[0] for _ in range(4))
    big = cupy.empty(1 << 29, np.float32)
    other = cupy.empty_like(big)
    copied = min(finished(lambda: cupy.copyto(other, big))[0] for _ in range(4))
    return 2 * 8192**3 / product, 2 * big.nbytes / copied


def floor(circuit: Circuit, run: ds.Run, tokens: int, flops: float, copies: float) -> dict[str, float]:
    """Seconds that the points of a run take at least, layer by layer: products and memory."""
    points = {
        layer: count * run.statistics["points_per_element"] for layer, count in run.statistics["by_layer"].items()
    }
    products, values = 0.0, 0.0
    for node in circuit.arrays.values():
        values += points.get(node.layer, 0) * math.prod(node.shape) * (not node.clamped)
    for term in circuit.terms.values():
        if isinstance(term, Coupling) and not term.elementwise:
            layer = circuit.arrays[term.target].layer
            products += 2.0 * points[layer] * term.weight.size * tokens
    return {"floor products_s": products / flops, "floor memory_s": 8 * values / copies}


def timed_case(name: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Rows of one model, precision by precision."""
    circuit, embedded = machine(name, options)
    inputs = {"embed": np.stack([np.roll(embedded, k, axis=0) for k in range(options.batch)])}
    with alone():
        flops, copies = rates()
        finest = "float64" if "float64" in options.precisions else "float32"
        plan = ds.prepare(circuit, device="cupy", precision=options.precisions[0] if options.unreferenced else finest)
        end, settled, tight = math.nan, math.nan, None
        if not options.unreferenced:
            first = ds.transient(plan, inputs, accuracy="settling", tolerance=1e-3)
            assert first.settling_time is not None
            print(f"first run: {first.statistics['wall_s']:.1f} s, {taken(plan)}", flush=True)
            end = float(first.settling_time.max())
            tight, settled = converged(circuit, plan, inputs, end, options)
        for precision in options.precisions:
            if precision != plan.backend.precision:
                del plan  # two would not fit where one is large
                gc.collect()
                plan = ds.prepare(circuit, device="cupy", precision=precision)
            about = {
                "case": name,
                "layers": len({node.layer for node in circuit.arrays.values()} - {"head", ""}),
                "tokens": f"{options.batch} x {options.tokens}",
                "vocabulary": circuit.arrays["logits"].shape[-1],
                "precision": precision,
                "converged_ns": settled * 1e9,
                "device": device(),
            }
            if "N" in options.kinds:
                row = noisy(plan, inputs, end, 0.25)
                yield about | {"kind": "N"} | row
                node = ds.load_technology("cmos45").node
                bare = 0.25 * node.capacitance / node.conductance / (4 * row["step_s"])
                yield about | {"kind": "N, τ/4"} | noisy(plan, inputs, end, bare)
            for kind, bits in ((kind, bits) for kind in TOLERANCES if kind in options.kinds for bits in options.bits):
                choices, found = chosen(kind, circuit, plan, inputs, tight, end, bits)
                row, run = measured(plan, inputs, options, **choices)
                print(f"elements of each layer: {list(run.statistics['by_layer'].values())}", flush=True)
                row |= floor(circuit, run, options.batch * options.tokens, flops, copies)
                rested = {"settled_ns": float(run.settling_time.max()) * 1e9} if run.settled else {}
                yield about | {"kind": kind} | row | found | rested
                plan.graphs.clear()
                gc.collect()


def chosen(
    kind: str, circuit: Circuit, plan: Plan, inputs: dict[str, Array], tight: Probe | None, end: float, bits: float
) -> Any:
    """(the loosest choices that hold NRMSE 1e-3 for W, the first for S; their error, if there is a reference)."""
    accuracy, tolerances = TOLERANCES[kind]
    for tolerance in tolerances:
        choices = {"accuracy": accuracy, "tolerance": tolerance, "settle_bits": bits}
        if tight is None:
            return choices, {}
        off, worst = error(circuit, plan, inputs, tight, end, **choices)
        if kind == "S" or off <= 1e-3:
            break
    return choices, {"nrmse": off, "worst": worst}


def measured(
    plan: Plan, inputs: dict[str, Array], options: argparse.Namespace, **choices: Any
) -> tuple[dict[str, Any], Any]:
    """Median seconds of replayed runs, without and with the energy meter, and those of an adaptive one."""
    seconds, run = repeated(plan, inputs, options, [], choices)
    row = {
        **choices,
        "wall_s": statistics.median(seconds[2:]),
        "replayed": bool(run.statistics.get("replayed")),
        "adaptive_s": seconds[0],
        **{key: run.statistics[key] for key in ("elements", "points", "rejected")},
        **{key: run.statistics[key] for key in ("rests_within_bits",) if key in run.statistics},
    }
    if not options.unmetered:
        metered, weighed = repeated(plan, inputs, options, [ds.EnergyMeter()], choices)
        row |= {
            "metered_s": statistics.median(metered[2:]),
            "metered replayed": bool(weighed.statistics.get("replayed")),
        }
    return row, run


def repeated(
    plan: Plan, inputs: dict[str, Array], options: argparse.Namespace, observers: list[Any], choices: dict[str, Any]
) -> tuple[list[float], Any]:
    """(seconds of each run: one that takes the elements, one that records them, `repeats` more; the last run).
    --adaptive: every run takes its elements anew."""
    runs = []
    for number in range(options.repeats + 3):  # in the first kernels are compiled, memory is taken
        if number < 2 or options.adaptive:
            plan.taken.clear()
        runs.append(finished(lambda: ds.transient(plan, inputs, observers=observers, **choices)))
        seconds, run = runs[-1]
        cost = ", ".join(f"{run.statistics[key]} {key}" for key in ("elements", "rejected"))
        within = run.statistics.get("rests_within_bits", math.nan)
        rests = f"not settled, rests within {within:.2f} bits"
        settled = f"settled at {run.settling_time.max() * 1e9:.1f} ns" if run.settled else rests
        print(f"{seconds:.3f} s for {run.duration * 1e9:.0f} ns, {settled}: {cost}", flush=True)
    return [seconds for seconds, _ in runs[1:]], runs[-1][1]


def noisy(plan: Plan, inputs: dict[str, Array], window: float, step: float) -> dict[str, Any]:
    """Median seconds of three runs with thermal noise after a first."""
    choices = {"noise": "thermal", "read_window": window, "step": step}
    runs = [finished(lambda seed=seed: ds.transient(plan, inputs, noise_seed=seed, **choices)) for seed in range(4)]
    run = runs[-1][1]
    return {
        "wall_s": statistics.median(seconds for seconds, _ in runs[1:]),
        "window_ns": window * 1e9,
        "steps": run.statistics["steps"],
        "step_s": run.statistics["step_s"],
        "rms logits": run.noise_rms["logits"],
    }


def taken(plan: Plan) -> str:
    """The memory of settling runs: predicted and, so far, taken."""
    import cupy

    needed = ds.memory_needed(plan, accuracy="settling", tolerance=1e-3).total
    return f"{needed / 1e9:.1f} GB predicted, {cupy.get_default_memory_pool().total_bytes() / 1e9:.1f} GB taken"


def device() -> str:
    import cupy

    return cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=["gpt2", "gpt2-medium", "smollm2"])
    parser.add_argument("--precisions", nargs="*", default=["float32"])
    parser.add_argument("--kinds", nargs="*", default=["N", "S", "W"], choices=["N", "S", "W"])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=512, help="of random models")
    parser.add_argument("--layers", type=int, help="of random models (default: all of the shape)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reference-tolerance", type=float, default=1e-5)
    parser.add_argument("--sampled", type=int, default=4096, help="nodes of each array that errors are taken over")
    parser.add_argument("--unmetered", action="store_true", help="do not time the energy meter's runs")
    parser.add_argument("--adaptive", action="store_true", help="record no run")
    parser.add_argument("--bits", type=float, nargs="*", default=[8], help="to settle to")
    parser.add_argument("--unreferenced", action="store_true", help="make no reference, and tell no errors")
    parser.add_argument("--name", default="gpu", help="of the result files")
    options = parser.parse_args()
    if options.unreferenced and "N" in options.kinds:
        parser.error("noise runs for as long as the reference does: name --kinds S or W beside --unreferenced")
    rows = []
    for name in options.cases:
        for row in timed_case(name, options):
            rows.append(row)
            print(row, flush=True)
            save(options.name, rows)


if __name__ == "__main__":
    main()
