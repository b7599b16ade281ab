"""The bundled model, 64 tokens, from zero until settled to 8 bits: seconds and strict NRMSE.

    python benchmarks/bundled_model.py            # pin the threads: OPENBLAS_NUM_THREADS=2

Errors are against the same circuit at tolerance 1e-6 in float64 with 8 points, on common times.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import free_arrays, nrmse, save, timed

import dsmachine as ds
from dsmachine.emulator.observers import Probe

CASES = [("waveform", 1e-3), ("waveform", 5e-4), ("waveform", 2e-4), ("settling", 1e-3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = ds.load_model("tiny-shakespeare")
    tokens = model.encode(model.calibration_text[: options.tokens])
    circuit = ds.map_model(model, options.tokens)
    inputs = {"embed": model.embed(tokens)}
    first = ds.transient(circuit, inputs, tolerance=1e-3)
    assert first.settling_time is not None
    end = float(first.settling_time.max())
    times = np.linspace(0, end, 121)
    tight = Probe(free_arrays(circuit), times=times)
    reference = ds.transient(
        circuit, inputs, tolerance=1e-6, precision="float64", duration=end * 1.01, points=8, observers=[tight]
    )
    assert reference.settling_time is not None
    rows = []
    for accuracy, tolerance in CASES:
        choices = {"accuracy": accuracy, "tolerance": tolerance}
        seconds, run = timed(lambda choices=choices: ds.transient(circuit, inputs, **choices), options.repeats)
        probe = Probe(free_arrays(circuit), times=times)
        ds.transient(circuit, inputs, duration=end * 1.01, observers=[probe], **choices)
        error, array = nrmse(circuit, probe, tight, end)
        rows.append(
            {
                "case": f"tiny-shakespeare, {options.tokens} tokens, 8 bits",
                **choices,
                "wall_s": seconds,
                "nrmse": error,
                "worst array": array,
                "settled_ns": float(run.settling_time.max()) * 1e9,
                "converged_ns": float(reference.settling_time.max()) * 1e9,
                "elements": run.statistics["elements"],
                "points": run.statistics["points"],
                "precision": run.statistics["precision"],
            }
        )
    save("bundled_model", rows)


if __name__ == "__main__":
    main()
