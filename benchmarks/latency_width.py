"""How long does a layer of width d take, from circuits, and how does that compare with what the paper's tables imply?

    python benchmarks/latency_width.py     # threads: OPENBLAS_NUM_THREADS=1
    python benchmarks/latency_width.py --widths 4096 --widest 4096       # a row beside those that the result file has

A linear layer d -> d, and four layers of GPT-2's architecture (random weights, four tokens), until settled to 8 bits
and divided by their number, as the paper's latencies are; with the wires of the technology and without. Beside them the
paper's latency a layer, and lines alone, to half of a step: a row of d couplings in one piece, a row in tiles whose
buffers follow one another, a column. Deeper stacks come to fewer ns a layer (settling_by_layer.py).
"""

from __future__ import annotations

import argparse
import gc
import json
from dataclasses import replace
from typing import Any

import numpy as np
from common import RESULTS, save
from machines import gpt2_like, random_machine

import dsmachine as ds
from dsmachine.circuits.loads import load_nodes
from dsmachine.circuits.look import COLOURS, drawn, new_figure
from dsmachine.circuits.technology import Technology
from dsmachine.circuits.wires import column, row

Array = Any
WIDTHS = (128, 256, 512, 768, 1024, 1536, 2048, 2560, 4096)
WIDEST = 2560  # transformer that fits into 5 GB
LAYERS, BITS, TOLERANCE, TOKENS, VOCABULARY = 4, 8, 1e-3, 4, 256
PAPER = {768: 100.0, 1024: 104.0, 2048: 250.0, 2560: 406.0, 4096: 1031.0}  # ns a layer: table 3, L over its layers
DEEP = 12  # layers of the model that the stack is cut from: random residual projections have σ 0.02/sqrt(2 DEEP)
FIT = (37.0, 5.85e-5)  # ns, ns per d²: through those five
WIRES = ("row_wire.resistance_per_length", "row_wire.capacitance_per_length",
         "column_wire.resistance_per_length", "column_wire.capacitance_per_length")  # fmt: skip


def settled_ns(circuit: ds.Circuit, inputs: dict[str, Array]) -> dict[str, float]:
    """ns until settled, by array."""
    run = ds.transient(circuit, inputs, tolerance=TOLERANCE, settle_bits=BITS)
    assert run.settled
    return {name: seconds * 1e9 for name, seconds in run.by_array.items()}


def linear_ns(width: int, technology: Technology) -> float:
    """A linear layer whose nodes drive the rows of another: what they take."""
    rng = np.random.default_rng(width)
    circuit = ds.Circuit("linear")
    circuit.clamp("u", (1, width))
    circuit.nodes("y", (1, width))
    circuit.nodes("z", (1, width))
    for name, source, target in (("first", "u", "y"), ("second", "y", "z")):
        weight = rng.normal(size=(width, width), scale=width**-0.5).astype(np.float32)
        circuit.couple(name, source, target, weight)
    circuit.output = "z"
    inputs = {"u": 0.1 * rng.normal(size=(1, width))}
    return settled_ns(load_nodes(circuit, technology), inputs)["y"]


def layer_ns(width: int, technology: Technology) -> float:
    """A stack of transformer layers, divided by their number."""
    sizes = gpt2_like(DEEP, width, width // 64)
    circuit, embedded = random_machine(sizes, TOKENS, VOCABULARY, LAYERS, technology=technology)
    return max(settled_ns(circuit, {"embed": embedded}).values()) / LAYERS


def lines_ns(width: int, technology: Technology) -> dict[str, float]:
    """Lines alone: 0.38 r c L² of a row in one piece, tile after tile, and a column; half of a step."""
    whole = replace(technology, wire=replace(technology.wire, tile=float(width)))
    uncut = replace(row(whole, width), driver=0.0)
    tiles = -(-width // int(technology.wire.tile))
    return {
        "row in one piece": uncut.delay() * 1e9,
        "row in tiles": tiles * row(technology, width).delay() * 1e9,
        "column": column(technology, width).delay() * 1e9,
    }


def measured(width: int, widest: int) -> dict[str, Any]:
    tech = ds.load_technology("cmos45")
    bare = tech.changed(dict.fromkeys(WIRES, 0.0), "no wires")
    found: dict[str, Any] = {"d": width, "linear": linear_ns(width, tech), "linear, no wires": linear_ns(width, bare)}
    if width <= widest:
        found |= {"transformer": layer_ns(width, tech), "transformer, no wires": layer_ns(width, bare)}
    found |= {"paper": PAPER.get(width, ""), "paper's fit": FIT[0] + FIT[1] * width**2}
    return found | lines_ns(width, tech)


@drawn
def picture(rows: list[dict[str, Any]]) -> Any:
    """Latency of a layer against its width, both logarithmic."""
    figure = new_figure(8.0, 4.6)
    ax = figure.subplots()
    shown = {
        "paper": "o", "paper's fit": ":", "transformer": "s-", "transformer, no wires": "s--", "linear": "D-",
        "linear, no wires": "D--", "row in tiles": "-.", "column": "-.", "row in one piece": "-.",
    }  # fmt: skip
    for colour, (key, style) in zip(COLOURS, shown.items(), strict=True):
        points = [(r["d"], r[key]) for r in rows if isinstance(r.get(key), float)]
        label = {"paper's fit": f"paper: {FIT[0]:g} + {FIT[1]:g} d²", "paper": "paper, L / layers"}.get(key, key)
        ax.loglog(*zip(*points, strict=True), style, color=colour, markersize=4, label=label)
    ax.set_xticks(widths := [r["d"] for r in rows], [str(d) for d in widths], rotation=45)
    ax.minorticks_off()
    ax.set_xlabel("width d")
    ax.set_ylabel(f"a layer (ns); circuits: until settled to {BITS} bits")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", nargs="*", type=int, default=list(WIDTHS))
    parser.add_argument("--widest", type=int, default=WIDEST, help="transformer (4096 takes some 7 GB)")
    options, rows = parser.parse_args(), []
    for width in options.widths:
        rows.append(measured(width, options.widest))
        gc.collect()
    path = RESULTS / "latency_width.json"
    held = {row["d"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}
    held |= {row["d"]: row for row in rows}
    rows = [held[width] for width in sorted(held)]
    save("latency_width", rows, unit="ns", bits=BITS, layers=LAYERS, tokens=TOKENS)
    ds.plots.save_figure(picture(rows), RESULTS / "latency_width.png", overwrite=True)


if __name__ == "__main__":
    main()
