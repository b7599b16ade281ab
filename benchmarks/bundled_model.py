"""A model from zero until settled to 8 bits: seconds, strict NRMSE, settling time, memory, and what the meter adds.

    python benchmarks/bundled_model.py                          # tiny-shakespeare, 64 tokens
    python benchmarks/bundled_model.py smollm2 --tokens 11      # after: dsmachine fetch smollm2
    # pin the threads: OPENBLAS_NUM_THREADS=2

Errors are against the same circuit at the tolerance `--converged`, 8 points an element, on common times (float64 for
the bundled model; a larger one converges in float32, to 1e-5). meter: processor seconds of a run under the energy
meter over those of one without, median of pairs one after the other, of a prepared machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from typing import Any

import numpy as np
from common import Seconds, free_arrays, nrmse, save, timed

import dsmachine as ds
from dsmachine.emulator.observers import Probe

CASES = [("waveform", 1e-3), ("waveform", 5e-4), ("waveform", 2e-4), ("settling", 1e-3), ("settling", 3e-4)]


def meter_ratio(circuit: Any, inputs: dict[str, Any], repeats: int, **choices: Any) -> float:
    """Processor seconds of a run with the meter over those of one without."""
    plan, meter = ds.prepare(circuit), ds.EnergyMeter()
    ds.transient(plan, inputs, observers=[meter], **choices)  # power laws are worked out
    ratios = []
    for _ in range(repeats):
        cpu = []
        for observers in ([], [meter]):
            begun = Seconds.now()
            ds.transient(plan, inputs, observers=observers, **choices)
            cpu.append(Seconds.now().since(begun).cpu)
        ratios.append(cpu[1] / cpu[0])
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tiny-shakespeare")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--converged", type=float, default=1e-6)
    parser.add_argument("--precision", default="float64", help="of the converged run")
    options = parser.parse_args()
    model = ds.load_model(options.model)
    tokens = model.tokenize(model.calibration_text)[: options.tokens]
    circuit = ds.map_model(model, options.tokens)
    inputs = {"embed": model.embed(tokens)}
    rows, runs = [], []
    for accuracy, tolerance in CASES:
        choices = {"accuracy": accuracy, "tolerance": tolerance}
        seconds, run = timed(lambda choices=choices: ds.transient(circuit, inputs, **choices), options.repeats)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        rows.append({"case": f"{options.model}, {options.tokens} tokens, 8 bits", **choices, "wall_s": seconds})
        rows[-1]["meter"] = meter_ratio(circuit, inputs, options.repeats, **choices)
        runs.append((choices, run, memory))
    end = float(runs[0][1].settling_time.max())
    times = np.linspace(0, end, 121)
    tight = Probe(free_arrays(circuit), times=times)
    reference = ds.transient(
        circuit, inputs, tolerance=options.converged, precision=options.precision, duration=end * 1.01, points=8,
        observers=[tight],
    )  # fmt: skip
    assert reference.settling_time is not None
    for row, (choices, run, memory) in zip(rows, runs, strict=True):
        probe = Probe(free_arrays(circuit), times=times)
        ds.transient(circuit, inputs, duration=end * 1.01, observers=[probe], **choices)
        error, array = nrmse(circuit, probe, tight, end)
        row |= {
            "nrmse": error,
            "worst array": array,
            "settled_ns": float(run.settling_time.max()) * 1e9,
            "converged_ns": float(reference.settling_time.max()) * 1e9,
            "elements": run.statistics["elements"],
            "points": run.statistics["points"],
            "precision": run.statistics["precision"],
            "saturated at rest": sum(run.saturated.values()),
            "peak_rss_gb": memory / 1e9,
        }
    save("bundled_model" if options.model == "tiny-shakespeare" else options.model, rows)


if __name__ == "__main__":
    main()
