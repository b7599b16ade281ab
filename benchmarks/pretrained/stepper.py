"""One run in time that the noise analysis has to agree with: the same machine, few tokens, exponential Euler.

Two copies of the machine run side by side on the same random numbers, one with the thermal noise, one with a tenth of
it. Both start at rest. Every array's variance over its nodes and the second half of the window is compared with that
of `noise`, which is linear: what the second copy agrees with and the first does not is what the circuit bends.

A window is short beside the memory of the slowest modes, so both copies' variances scatter about those of the analysis,
together. Their ratio does not: the second copy is a control variate, whose expectation is the analysis' to within what
a tenth of the noise bends, and it says how far the noise of the real circuit is from linear.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.emulator.inputs import checked_inputs
from dsmachine.emulator.observers import Element
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.prepare import planned
from dsmachine.emulator.quickest import shortest_time_constant
from dsmachine.emulator.steps import Noise
from dsmachine.emulator.stochastic import Stepper
from dsmachine.emulator.windows import windows

from .bench import Bench, Rows

Array = Any
TOKENS = 4
WINDOW = 600e-9  # s: noise reaches the logits in about half of it
BLOCKS = 8  # of the window; means over each of the later half tell how far one can be trusted
STEP = 0.5
STRENGTHS = (1.0, 0.1)  # times the thermal noise
LEAST_NODES = 1000
NEAR = 0.1  # of the variance


def run(bench: Bench) -> None:
    rows = Rows("stepper", fresh=bench.fresh)
    if any(row.get("arrays") == "logits" for row in rows.rows):  # the last that is written
        return
    found = _compared(replace(bench, positions=TOKENS), bench.ranges)
    for kind in ("", *found.kinds):
        for strength in STRENGTHS:
            key = {"tokens": TOKENS, "step": STEP, "arrays": kind or "all", "times thermal": strength}
            rows.row(
                key, lambda kind=kind, strength=strength: found.row(strength, kind) | (found.said if not kind else {})
            )


class Scaled(Noise):
    """The same random numbers for all copies, times each one's strength."""

    counted = False

    def normals(self, name: str, first: int, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
        one = super().normals(name, first, count, (1, *shape[1:]), dtype)
        return np.concatenate([np.asarray(strength, dtype) * one for strength in STRENGTHS], axis=1)


class Blocks:
    """Observer: mean square deviation from rest, in full scale: (BLOCKS, copies, first axis of the array)."""

    def __init__(self, rest: dict[str, Array]) -> None:
        self.rest = rest
        self.square: dict[str, Array] = {}
        self.seconds: dict[str, Array] = {}
        self._per: dict[str, Array] = {}

    def begin(self, plan: Plan, start: Any) -> None:
        for stage in plan.stages:
            self._per[stage.name] = stage.per_full_scale
            self.square[stage.name] = np.zeros((BLOCKS, len(STRENGTHS), stage.node.shape[0]))
            self.seconds[stage.name] = np.zeros((BLOCKS, 1, 1))

    def element(self, element: Element) -> None:
        block = min(BLOCKS - 1, int((element.start + element.length / 2) / WINDOW * BLOCKS))
        for name in element.initial:
            off = (element.values[name] - self.rest[name]) * self._per[name]
            mean = (off * off).reshape(*off.shape[:3], -1).mean(axis=(0, -1))
            self.square[name][block] += mean * element.length
            self.seconds[name][block] += element.length

    def window(self, time: float) -> None:
        pass


class Comparison:
    """Variances of the stepper over those of the analysis: (later blocks, copies) and, by first axis, (copies, …)."""

    def __init__(self, circuit: Any, linear: Any, seen: Blocks, said: dict[str, Any]) -> None:
        self.said = said
        self.blocks: dict[str, Array] = {}
        self.by_token: dict[str, Array] = {}
        self.doubt: dict[str, float] = {}
        expected = np.square(STRENGTHS)
        for name, node in circuit.arrays.items():
            if node.clamped or node.is_inner or node.count < LEAST_NODES:
                continue
            square = seen.square[name] / seen.seconds[name]
            power = linear.variance[name][0].reshape(node.shape[0], -1).mean(axis=-1)
            self.blocks[name] = square.mean(axis=-1) / expected / power.mean()
            self.by_token[name] = square[BLOCKS // 2 :].mean(axis=0) / expected[:, None] / np.maximum(power, 1e-30)
            self.doubt[name] = 2 * linear.rms_error[name]

    @property
    def kinds(self) -> list[str]:
        """Last parts of the arrays' names, as often as they are named so."""
        return list(dict.fromkeys(_last(name) for name in self.blocks))

    def row(self, strength: float, kind: str) -> dict[str, Any]:
        """kind: the last part of the arrays' names, "" for all of them."""
        copy = STRENGTHS.index(strength)
        names = [name for name in self.blocks if not kind or _last(name) == kind]
        later = {name: self.blocks[name][BLOCKS // 2 :, copy] for name in names}
        ratio = {name: float(values.mean()) for name, values in later.items()}
        error = {
            name: float(np.hypot(values.std(ddof=1) / np.sqrt(len(values)), self.doubt[name]))
            for name, values in later.items()
        }
        worst = max(ratio, key=lambda name: abs(ratio[name] - 1))
        weakest = {name: float(self.blocks[name][BLOCKS // 2 :, -1].mean()) for name in names}
        beside = {name: ratio[name] / weakest[name] for name in names}
        least = max(beside, key=lambda name: abs(beside[name] - 1))
        halves = [[float(v[part].mean()) for v in later.values()] for part in (slice(0, 2), slice(2, 4))]
        return {
            "compared": len(ratio),
            "within 10 % of variance": sum(abs(value - 1) <= NEAR for value in ratio.values()),
            "within 10 % of rms": sum(bool(abs(np.sqrt(value) - 1) <= NEAR) for value in ratio.values()),
            "median ratio of variances": statistics.median(ratio.values()),
            "5 %": float(np.quantile(list(ratio.values()), 0.05)),
            "95 %": float(np.quantile(list(ratio.values()), 0.95)),
            "worst": ratio[worst],
            "in": worst,
            "within 10 % of the weakest copy": sum(abs(value - 1) <= NEAR for value in beside.values()),
            "median beside it": statistics.median(beside.values()),
            "worst beside it": beside[least],
            "which": least,
            "by token": " / ".join(f"{value:.2f}" for value in self.by_token[worst][copy]),
            "standard error, median": statistics.median(error.values()),
            "third quarter": statistics.median(halves[0]),
            "last quarter": statistics.median(halves[1]),
        }


def _last(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[2:]) if parts[0] == "layers" else name


def _compared(bench: Bench, ranges: Ranges) -> Comparison:
    """ranges: of longer windows, which know the first position and the others too."""
    circuit = bench.circuit(ranges=ranges)
    linear = ds.noise(circuit, bench.inputs, frequencies=24, samples=32, record=[])
    plan = planned(circuit, "float32", "numpy")
    values = checked_inputs(plan.circuit, plan.backend, bench.inputs)
    rest = solve_operating_point(plan, values)
    start = {stage.name: np.concatenate([rest[stage.name]] * len(STRENGTHS)) for stage in plan.stages}
    seen = Blocks(rest)
    step = STEP * shortest_time_constant(plan, rest)
    begun = time.perf_counter()
    march = Stepper(plan, values, start, step=step, noise=Scaled("thermal", 0), observers=[seen])
    for begin, length in windows(WINDOW, WINDOW / BLOCKS, np.zeros(0)):
        march.window(begin, length)
    said = {
        "steps": march.counts.steps,
        "noise_s": linear.statistics["wall_s"],
        "stepper_s": time.perf_counter() - begun,
    }
    return Comparison(circuit, linear, seen, said)
