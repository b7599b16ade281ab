"""Finite elements against the exponential stepper, the bundled model, the same circuit, the same run.

    python benchmarks/elements_and_stepper.py     # pin the threads: OPENBLAS_NUM_THREADS=2

For each engine: points in time, seconds and strict NRMSE against a converged reference (float64, tolerance 1e-6), and
the ratio of seconds at equal error, interpolated in the logarithms.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import free_arrays, nrmse, save, timed

import dsmachine as ds
from dsmachine.emulator.observers import Probe

STEPS = (1.0, 0.5, 0.25, 0.125)
TOLERANCES = (1e-2, 1e-3, 1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    model = ds.load_model("tiny-shakespeare")
    circuit = ds.map_model(model, options.tokens)
    inputs = {"embed": model.embed(model.encode(model.calibration_text[: options.tokens]))}
    first = ds.transient(circuit, inputs, tolerance=1e-3)
    assert first.settling_time is not None
    end = float(first.settling_time.max())
    times = np.linspace(0, end, 121)
    tight = Probe(free_arrays(circuit), times=times)
    ds.transient(circuit, inputs, tolerance=1e-6, precision="float64", duration=end, points=8, observers=[tight])
    choices: list[dict[str, Any]] = [{"method": "elements", "tolerance": t} for t in TOLERANCES]
    choices += [{"method": "stepper", "step": s} for s in STEPS]
    rows = []
    for choice in choices:
        seconds, run = timed(lambda c=choice: ds.transient(circuit, inputs, duration=end, **c), options.repeats)
        probe = Probe(free_arrays(circuit), times=times)
        ds.transient(circuit, inputs, duration=end, observers=[probe], **choice)
        error, array = nrmse(circuit, probe, tight, end)
        points = run.statistics.get("points") or run.statistics["steps"]
        layers = len(run.statistics.get("by_layer", {})) or 1
        rows.append({**choice, "points": points // layers, "wall_s": seconds, "nrmse": error, "worst array": array})
    for row in rows:
        row["stepper seconds at this error / seconds"] = _ratio(rows, row)
    save("elements_and_stepper", rows)


def _ratio(rows: list[dict[str, Any]], row: dict[str, Any]) -> float | str:
    """Seconds the stepper would need for the error of an elements row; power law through its rows."""
    if row["method"] == "stepper":
        return ""
    steps = [r for r in rows if r["method"] == "stepper"]
    slope, shift = np.polyfit(np.log([r["nrmse"] for r in steps]), np.log([r["wall_s"] for r in steps]), 1)
    return float(np.exp(slope * np.log(row["nrmse"]) + shift) / row["wall_s"])


if __name__ == "__main__":
    main()
