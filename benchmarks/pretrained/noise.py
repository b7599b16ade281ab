"""Thermal noise at rest: capacitance, swing, coupling and scaling, one at a time.

Joint samples δ of the logits from the linearised analysis; perplexity is the mean over samples of exp(mean NLL) of
logits + δ and of logits − δ, which is as likely (`mirrored.py`): what one reading of the machine is worth.

Noise of SmolLM2's logits is slow: a lag of some tenth of the analysis' ω₀, of which F angles make a variance that is up
to (1 + q)/(1 − q) times too large in one sample and too small by as much in another, q = ((1 − r)/(1 + r))^F, r = 0.1
(`emulator/fluctuation.py`). With 4 angles that is 2.6, with 16 it is 1.08.
"""

from __future__ import annotations

import gc
import statistics
from dataclasses import dataclass, field
from typing import Any

import dsmachine as ds
from dsmachine.circuits.reference import perplexity

from .bench import Bench, Rows
from .mirrored import Readings

FREQUENCIES, SAMPLES = 16, 8
LOST = 10.0  # times the reference: a machine that has lost the model without noise is not given any
SWING, SLOPE = 0.5, 1.12  # V and n of the technology: scores keep their reach in nats at every swing


@dataclass(frozen=True)
class Case:
    """One machine: what is changed against the default, and how ranges are shared."""

    name: str
    overrides: dict[str, float] = field(default_factory=dict)
    scaling: str = "first"
    coupling: str = "buffered"


def of_swing(volts: float) -> dict[str, float]:
    """Another swing; an (ideal) gain in front of the softmax's pairs keeps the scores' reach."""
    return {"supply.swing": volts, "softmax.slope_factor": SLOPE * volts / SWING}


CASES = (
    Case("default: 49 fF, ±0.5 V, one-sided, first position apart"),
    Case("20 fF", {"node.capacitance": 20e-15}),
    Case("200 fF", {"node.capacitance": 200e-15}),
    Case("2 pF", {"node.capacitance": 2e-12}),
    Case("±0.3 V", of_swing(0.3)),
    Case("±0.2 V", of_swing(0.2)),
    Case("±0.1 V", of_swing(0.1)),
    Case("headroom 1.5", {"supply.headroom": 1.5}),
    Case("balanced pairs", coupling="balanced"),
    Case("a unit a channel", scaling="channel"),
    Case("a unit a channel, floor 0.1 %", {"node.feedback_floor": 0.001}, scaling="channel"),
    Case("a unit an array", scaling="global"),
    Case("a unit an array, floor 0.1 %", {"node.feedback_floor": 0.001}, scaling="global"),
)


def run(bench: Bench) -> None:
    rows = Rows("noise", fresh=bench.fresh)
    for case in CASES:
        rows.row({"machine": case.name, "angles": FREQUENCIES}, lambda case=case: fluctuating(bench, case))


def fluctuating(bench: Bench, case: Case) -> dict[str, Any]:
    """Perplexity with and without noise, and each array's rms as a share of full scale: median and worst."""
    circuit = bench.circuit(case.overrides, ranges=bench.ranges.scaled(case.scaling), coupling=case.coupling)
    if case.scaling != "first":
        quiet = bench.score(circuit)
        if quiet["perplexity"] > LOST * perplexity(bench.reference, bench.ids):
            return {"perplexity, noiseless": quiet["perplexity"], "saturated": quiet["saturated"]}
    found = linearised(bench, ds.prepare(circuit, precision="float32", device=bench.device))
    gc.collect()
    return found


def linearised(bench: Bench, machine: Any) -> dict[str, Any]:
    """The same of a machine, or of what `ds.prepare` made of it."""
    found = ds.noise(machine, bench.inputs, frequencies=FREQUENCIES, samples=SAMPLES)
    circuit = found.circuit
    read = readings(bench, found)
    rms = {name: value for name, value in found.rms.items() if not circuit.arrays[name].is_inner}
    worst = max(rms, key=lambda name: rms[name])
    return {
        "angles": FREQUENCIES,
        "perplexity, noiseless": read.noiseless,
        **read.columns(),
        "median rms %": 100 * statistics.median(rms.values()),
        "worst rms %": 100 * rms[worst],
        "worst array": worst,
        "logits rms %": 100 * rms["logits"],
        "logits rms ±": 100 * rms["logits"] * found.rms_error["logits"],
        "saturated": sum(found.saturated.values()),
    }


def readings(bench: Bench, found: Any) -> Readings:
    """The samples of the logits that `noise` found."""
    rest = found.outputs["logits"][0] / found.circuit.units("logits")
    made = Readings(bench.ids, rest, found.circuit.full_scale("logits"))
    for read in found.logical_samples("logits"):
        made.add(read)
    return made
