"""When does each layer settle, counted in time constants of a bare node? Trained models, and random ones by shape.

    python benchmarks/settling_by_layer.py     # after: dsmachine fetch smollm2; threads: OPENBLAS_NUM_THREADS=1
    python benchmarks/settling_by_layer.py --only gpt2 smollm2

Settled to 8 bits by the strict definition; a layer when the last of its arrays is, for good. Random weights are those
of `machines.py`, where a shape does not fit into 6 GB, of its first layers alone.
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import Any

import numpy as np
from common import RESULTS, save, settled_by_layer
from machines import TRAINED, random_machine, trained_machine

import dsmachine as ds
from dsmachine.circuits.look import COLOURS, drawn, new_figure
from dsmachine.circuits.shapes import SHAPES

BITS, TOLERANCE = 8, 1e-3
RANDOM = {
    "gpt2": "GPT-2 124M",
    "gpt2-medium": "GPT-2-medium 355M",
    "opt-1.3b": "OPT-1.3B",
    "llama2-7b": "Llama-2-7B",
}
BUILT = {"opt-1.3b": 10, "llama2-7b": 2}  # layers, where two cores and 6 GB have to do


def measured(name: str) -> tuple[dict[str, Any], dict[str, float]]:
    """(row of the table, settling time in τ by layer)."""
    begun = time.perf_counter()
    circuit, embedded = (
        random_machine(SHAPES[name], layers=BUILT.get(name)) if name in RANDOM else trained_machine(name)
    )
    tokens = len(embedded)
    run = ds.transient(circuit, {"embed": embedded}, tolerance=TOLERANCE, settle_bits=BITS)
    assert run.settled and run.settling_time is not None
    node = ds.load_technology("cmos45").node
    tau = node.capacitance / node.conductance
    layers = {layer: seconds / tau for layer, seconds in settled_by_layer(circuit, run).items()}
    each = [value for layer, value in layers.items() if layer != "head"]
    built = len(each)
    label = f"{RANDOM[name]} shape, random" if name in RANDOM else name
    row = {
        "model": label,
        "layers": f"{built} of {SHAPES[name].layers}" if name in RANDOM else str(built),
        "width": embedded.shape[-1],
        "tokens": tokens,
        "first layer τ": each[0],
        "last layer τ": each[-1],
        "τ a layer": float(np.polyfit(np.arange(built), each, 1)[0]),
        "logits τ": float(run.settling_time.max()) / tau,
        "logits ns": float(run.settling_time.max()) * 1e9,
        "saturated at rest": sum(run.saturated.values()),
        "wall_s": time.perf_counter() - begun,
    }
    return row, {"tau_s": tau, **layers}


@drawn
def picture(rows: list[dict[str, Any]], by_layer: dict[str, dict[str, float]]) -> Any:
    """Settling time of each layer, in τ and in ns."""
    figure = new_figure(7.0, 4.2)
    ax = figure.subplots()
    tau = next(iter(by_layer.values()))["tau_s"]
    for row, colour, marker in zip(rows, COLOURS, "osD^vX", strict=False):
        each = [v for layer, v in by_layer[row["model"]].items() if layer not in ("head", "tau_s")]
        label = f"{row['model']}: {row['layers']} layers, {row['tokens']} tokens"
        style = "--" if "random" in row["model"] else "-"
        ax.plot(np.arange(1, len(each) + 1), each, style, color=colour, marker=marker, markersize=4, label=label)
    ax.set_xlabel("layer")
    ax.set_ylabel(f"settled to {BITS} bits (τ)")
    ax.set_xlim(0.5, None)
    ax.set_ylim(0, None)
    ax.secondary_yaxis("right", functions=(lambda t: t * tau * 1e9, lambda n: n / tau / 1e9)).set_ylabel("time (ns)")
    ax.legend(loc="lower right", title=f"τ = C/g of a bare node, {tau * 1e9:.3f} ns")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*TRAINED, *RANDOM], choices=[*TRAINED, *RANDOM])
    rows, by_layer = [], {}
    for name in parser.parse_args().only:
        row, layers = measured(name)
        rows.append(row)
        by_layer[row["model"]] = layers
        gc.collect()
    save("settling_by_layer", rows, by_layer=by_layer)
    ds.plots.save_figure(picture(rows, by_layer), RESULTS / "settling_by_layer.png", overwrite=True)


if __name__ == "__main__":
    main()
