"""Models of full size on a GPU: seconds from zero until settled to 8 bits.

    python benchmarks/gpu.py --cases gpt2 --repeats 3
"""

from __future__ import annotations

import time
from typing import Any

from settling_by_layer import SHAPES, random_machine

import dsmachine as ds

Array = Any


def synchronised() -> None:
    import cupy

    cupy.cuda.Device().synchronize()


def case(name: str, tokens: int, vocabulary: int, precision: str, device: str, repeats: int, accuracy: str, tolerance: float, **more) -> dict[str, Any]:
    begun = time.perf_counter()
    circuit, embedded = random_machine(SHAPES[name], tokens, vocabulary)
    mapped = time.perf_counter()
    plan = ds.prepare(circuit, device=device, precision=precision)
    prepared = time.perf_counter()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run = ds.transient(plan, {"embed": embedded}, accuracy=accuracy, tolerance=tolerance, **more)
        seconds.append(time.perf_counter() - start)
    return {
        "case": name, "tokens": tokens, "vocabulary": vocabulary, "precision": precision, "accuracy": accuracy, "tolerance": tolerance,
        "map_s": mapped - begun, "prepare_s": prepared - mapped, "wall_s": seconds,
        "settled_ns": float(run.settling_time.max() * 1e9) if run.settling_time is not None else None,
        **{k: run.statistics[k] for k in ("elements", "points", "rejected")},
        "saturated": sum(run.saturated.values()),
    }, plan, embedded
