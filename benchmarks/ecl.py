"""A layer that trains itself: in steps against in time, and on chips whose devices err.

    python benchmarks/ecl.py

4 inputs, 3 outputs, a linear teacher, inputs normal. `ecl_steps`: weights after 20 presentations of T seconds, farthest
from those of `transient` over how far weights moved, by steps of a presentation. `ecl_chips`: output error of a chip
(rms over held-out inputs, over the targets' rms) with the teacher's own weights written, and after 400 presentations
that begin with them, with thermal noise, mean ± deviation over chips; mismatch is of couplings and multipliers, offset
of sampling nodes and multipliers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import save

import dsmachine as ds
from dsmachine.circuits.waveforms import Steps

Array = Any
TIMES = ((1e-6, 1e-7), (1e-5, 1e-6), (1e-4, 2e-6))  # τ, T [s]
DIVIDED = (1, 10, 100)
ERRORS: tuple[dict[str, float], ...] = (
    {}, {"mismatch": 0.05}, {"mismatch": 0.15}, {"offset": 0.001}, {"offset": 0.01}, {"offset": 0.03},
)  # fmt: skip
CHIPS = 5


def layer(weight: Array) -> ds.Circuit:
    circuit = ds.Circuit("layer", output="y")
    circuit.clamp("x", (4,), unit=0.1)
    circuit.nodes("y", (3,), unit=0.1)
    circuit.couple("w", "x", "y", weight)
    return circuit


def agreement(time_constant: float, seconds: float) -> dict[str, Any]:
    """One row: how far steps end from where time does."""
    rng = np.random.default_rng(0)
    made = ds.ecl_layer(layer(rng.normal(size=(3, 4)) / 2), "w", time_constant=time_constant, hold="ideal")
    x = rng.normal(size=(20, 4))
    t = x @ rng.normal(size=(4, 3)) / 2
    times = seconds * np.arange(len(x))
    run = ds.transient(
        made.circuit, {"x": Steps(times, x), "y": Steps(times, t)}, initial=made.initial, settle_bits=0,
        duration=seconds * len(x), tolerance=1e-5, precision="float64",
    )  # fmt: skip
    there = run.logical(made.control)[0]
    moved = np.abs(there - made.weight).max()
    row: dict[str, Any] = {"τ µs": time_constant * 1e6, "T µs": seconds * 1e6, "η": made.rate(seconds)}
    row["τ_r/T %"] = 100 * made.circuit.arrays[made.loss].time_constant / seconds
    for steps in DIVIDED:
        found = ds.ecl_steps(made, {"x": x, "y": t}, seconds, steps=steps).weight
        row[f"off %, {steps} steps"] = 100 * np.abs(found - there).max() / moved
    return row


def learning(spread: dict[str, float]) -> dict[str, Any]:
    """One row: chips before and after they learned, loss as they would settle without a target."""
    rng = np.random.default_rng(1)
    teacher = rng.normal(size=(3, 4)) / 2
    made = ds.ecl_layer(layer(teacher), "w", hold="low-leakage")
    x, held_out = rng.normal(size=(400, 4)), rng.normal(size=(100, 4))
    before, after = [], []
    for seed in range(CHIPS):
        chip = made.on(ds.fabricate(made.circuit, seed=seed, **spread))
        learned = ds.ecl_steps(chip, {"x": x, "y": x @ teacher.T}, 1e-7, noise="thermal", noise_seed=seed).weight
        for errors, weight in ((before, teacher), (after, learned)):
            errors.append(100 * _error(chip, weight, held_out, held_out @ teacher.T))
    row: dict[str, Any] = {name: spread.get(name, 0.0) for name in ("mismatch", "offset")}
    for what, errors in (("written", before), ("learned", after)):
        row[f"{what} error %"], row[f"± {what}"] = float(np.mean(errors)), float(np.std(errors))
    return row


def _error(chip: Any, weight: Array, x: Array, t: Array) -> float:
    circuit = chip.circuit.clamped(chip.control)
    rest = ds.operating_point(circuit, {"x": x, "y": t, chip.control: weight[None]})
    return float(np.sqrt(np.mean(rest.logical(chip.loss) ** 2) / np.mean(t**2)))


def main() -> None:
    save("ecl_steps", [agreement(*each) for each in TIMES])
    save("ecl_chips", [learning(spread) for spread in ERRORS])


if __name__ == "__main__":
    main()
