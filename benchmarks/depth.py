"""Cost against depth at fixed width: points in time that are solved, and seconds; beside what awake layers would cost.

    python benchmarks/depth.py                                     # threads: OPENBLAS_NUM_THREADS=1
    python benchmarks/depth.py --device cupy --width 768 --heads 12 --tokens 128

GPT-2-like machines of random weights relax from zero until settled to 8 bits; every layer costs as many node values and
multiplications a point, so points, summed over layers, are a cost in themselves. A layer is awake from when it first
differs from the same machine without input by 2⁻⁸ of full scale, in any node, until the last of its arrays has settled.
Σ of these windows over layers, times the points that the shallowest machine takes in a τ of its windows, is the
ceiling: cost if nothing were solved but what is awake. Exponents are slopes of straight lines through the logarithms.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from common import RESULTS, save, seconds_of, waiting
from machines import gpt2_like, random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.look import COLOURS, drawn, new_figure
from dsmachine.emulator.observers import Element
from dsmachine.emulator.plan import Plan

Array = Any
DEPTHS = (6, 8, 12, 16, 24, 32)
BITS = 8
ACCURACY = {"accuracy": "waveform", "tolerance": 1e-3}


class Leaving:
    """When each array first differs by `share` of full scale, in any node, between the two samples of a batch."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.time: dict[str, float] = {}
        self._scale: dict[str, Array] = {}

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        for stage in plan.stages:
            present = 1.0 if stage.node.exists is None else stage.node.exists
            self._scale[stage.name] = stage.per_full_scale * present

    def element(self, element: Element) -> None:
        for name in element.initial:
            if name not in self.time:
                apart = abs(element.values[name][:, 0] - element.values[name][:, 1]) * self._scale[name]
                beyond = (apart.reshape(len(apart), -1).max(axis=1) > self.share).nonzero()[0]
                if len(beyond):
                    self.time[name] = float(element.times[int(beyond[0])])

    def window(self, time: float) -> None:
        pass


def awake(circuit: Circuit, leaving: Mapping[str, float], settled: Mapping[str, float]) -> dict[str, float]:
    """Seconds that each layer is awake: from the first of its arrays that leaves to the last that settles."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for name, time in settled.items():
        layer = circuit.arrays[name].layer
        last[layer] = max(last.get(layer, 0.0), time)
        first[layer] = min(first.get(layer, np.inf), leaving.get(name, np.inf))
    return {layer: max(0.0, last[layer] - first[layer]) for layer in last}


def exponent(depths: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost against log depth."""
    return float(np.polyfit(np.log(depths), np.log(costs), 1)[0])


def measured(layers: int, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, float]]:
    """(row, τ that each layer is awake) of one machine."""
    sizes = gpt2_like(layers, options.width, options.heads)
    circuit, embedded = random_machine(sizes, options.tokens, options.vocabulary)
    plan = ds.prepare(circuit, device=options.device)
    replays = 2 if options.device == "cupy" else 0
    seconds, adaptive, run = seconds_of(
        lambda: ds.transient(plan, {"embed": embedded}, **ACCURACY), waiting(options.device), options.repeats, replays
    )
    assert run.settling_time is not None
    leaving = Leaving(2.0**-BITS)
    both = np.stack([embedded, np.zeros_like(embedded)])
    ds.transient(plan, {"embed": both}, duration=run.duration, settle_bits=0, observers=[leaving], **ACCURACY)
    node = ds.load_technology("cmos45").node
    tau = node.capacitance / node.conductance
    windows = {layer: t / tau for layer, t in awake(circuit, leaving.time, run.by_array).items()}
    row = {
        "layers": layers,
        "nodes": sum(array.count for array in circuit.arrays.values() if not array.clamped),
        "settled τ": float(run.settling_time.max()) / tau,
        "elements": run.statistics["elements"],
        "points": run.statistics["points"],
        "points a layer": run.statistics["points"] / (layers + 1),
        "wall_s": seconds.wall,
        **({"adaptive_s": adaptive.wall} if replays else {"cpu_s": seconds.cpu}),
        "awake τ, all layers": sum(windows.values()),
        "awake τ a layer": sum(windows.values()) / len(windows),
    }
    return row, windows


def fitted(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Exponents of every cost."""
    depths = [row["layers"] for row in rows]
    keys = [key for key in ("points", "wall_s", "cpu_s", "adaptive_s", "awake τ, all layers") if key in rows[0]]
    return {key: exponent(depths, [row[key] for row in rows]) for key in keys}


@drawn
def picture(rows: list[dict[str, Any]], windows: Mapping[int, Mapping[str, float]], slopes: Mapping[str, float]) -> Any:
    """Costs against depth, relative to the shallowest; how long each layer of the deepest is awake."""
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    depths = np.array([row["layers"] for row in rows], float)
    labels = {
        "points": "points solved",
        "wall_s": "seconds",
        "cpu_s": "processor seconds",
        "adaptive_s": "seconds, adaptive",
        "awake τ, all layers": "ceiling: awake layers only",
    }
    for (key, slope), colour, marker in zip(slopes.items(), COLOURS, "osD^v", strict=False):
        cost = np.array([row[key] for row in rows])
        line = np.exp(np.polyval(np.polyfit(np.log(depths), np.log(cost), 1), np.log(depths)))
        style = "--" if key.startswith("awake") else "-"
        left.plot(depths, cost / cost[0], marker, color=colour, label=f"{labels[key]}: depth^{slope:.2f}")
        left.plot(depths, line / cost[0], style, color=colour, linewidth=1)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xticks(depths, [f"{d:.0f}" for d in depths])
    left.minorticks_off()
    ticks = [t for t in (1, 2, 4, 8, 16, 32) if t <= 1.2 * max(r[k] / rows[0][k] for r in rows for k in slopes)]
    left.set_yticks(ticks, [f"{t}" for t in ticks])
    left.set_xlabel("layers")
    left.set_ylabel(f"cost, relative to {depths[0]:.0f} layers")
    left.legend()
    for (count, each), colour in zip(windows.items(), COLOURS, strict=False):
        values = [value for layer, value in each.items() if layer != "head"]
        right.plot(np.arange(1, len(values) + 1), values, color=colour, label=f"{count} layers")
    right.set_xlabel("layer")
    right.set_ylabel("awake (τ)")
    right.set_ylim(0, None)
    right.legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["numpy", "cupy"], default="numpy")
    parser.add_argument("--depths", nargs="*", type=int, default=list(DEPTHS))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", help="of the result files")
    options = parser.parse_args()
    name = options.name or ("depth" if options.device == "numpy" else f"depth_{options.device}")
    rows, windows = [], {}
    for layers in options.depths:
        row, windows[layers] = measured(layers, options)
        rows.append({"width": options.width, "tokens": options.tokens, **row})
        gc.collect()
    slopes = fitted(rows)
    save(name, rows, exponents=slopes, awake=windows, accuracy=ACCURACY)
    text = "exponents: " + ", ".join(f"{key} {value:.2f}" for key, value in slopes.items())
    with (RESULTS / f"{name}.md").open("a") as file:
        file.write(f"\n{text}\n")
    print(text, json.dumps(ACCURACY))
    ds.plots.save_figure(picture(rows, windows, slopes), RESULTS / f"{name}.png", overwrite=True)


if __name__ == "__main__":
    main()
