"""When does each layer settle, counted in time constants of a bare node? Trained models, and random ones by shape.

    python benchmarks/settling_by_layer.py     # after: dsmachine fetch smollm2; threads: OPENBLAS_NUM_THREADS=1
    python benchmarks/settling_by_layer.py --only gpt2 smollm2

Settled to 8 bits by the strict definition; a layer when the last of its arrays is, for good. Random weights are those
that training starts from (σ 0.02; GPT-2's residual projections 0.02/sqrt(2 L)), with a vocabulary of 512 tokens and,
where a shape does not fit into 6 GB, its first layers alone. Their ranges are those of random tokens.
"""

from __future__ import annotations

import argparse
import gc
import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from common import RESULTS, save

import dsmachine as ds
from dsmachine.circuits.calibration import Ranges
from dsmachine.circuits.checkpoints import Model
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.config import Config
from dsmachine.circuits.families import FAMILIES
from dsmachine.circuits.look import COLOURS, drawn, new_figure
from dsmachine.circuits.reference import calibrate_ranges
from dsmachine.circuits.rows import by_rows
from dsmachine.circuits.shapes import SHAPES
from dsmachine.emulator.memory import host_room

Array = Any
BITS, TOLERANCE = 8, 1e-3
SIGMA, VOCABULARY, TOKENS = 0.02, 512, 8
RESIDUAL = ("attn.c_proj.weight", "mlp.c_proj.weight")
TRAINED = {"tiny-shakespeare": 64, "smollm2": 11}
RANDOM = {
    "gpt2": "GPT-2 124M",
    "gpt2-medium": "GPT-2-medium 355M",
    "opt-1.3b": "OPT-1.3B",
    "llama2-7b": "Llama-2-7B",
}
TEXT = 256  # random tokens that set the ranges
BUILT = {"opt-1.3b": 10, "llama2-7b": 2}  # layers, where two cores and 6 GB have to do


class RandomTensors(Mapping[str, Array]):
    """Weights drawn when they are asked for, always the same; of them stay as many as a third of the free memory
    holds."""

    def __init__(self, config: Config, layers: int) -> None:
        self.shapes, self.layers = dict(FAMILIES[config.family].shapes(config)), layers
        self._kept: dict[str, Array] = {}
        self._room = (host_room() or 0) // 3

    def __getitem__(self, name: str) -> Array:
        name = name if name in self.shapes else f"{name}.weight"
        if name in self._kept:
            return self._kept[name]
        drawn = self._drawn(name)
        if drawn.nbytes <= self._room:
            self._kept[name] = drawn
            self._room -= drawn.nbytes
        return drawn

    def _drawn(self, name: str) -> Array:
        shape = self.shapes[name]
        if name.endswith(".bias"):
            return np.zeros(shape, np.float32)
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        sigma = SIGMA / math.sqrt(2 * self.layers) if name.endswith(RESIDUAL) else SIGMA
        drawn, seed = np.empty(shape, np.float32), zlib.crc32(name.encode())

        def draw(rows: slice) -> None:
            part = drawn[rows]
            np.random.default_rng((seed, rows.start)).standard_normal(out=part, dtype=np.float32)
            part *= np.float32(sigma)

        by_rows(draw, shape)
        return drawn

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes or f"{name}.weight" in self.shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def rows(self, name: str, index: Array) -> Array:
        return self[name][index]


class RandomText(Model):
    """A model whose text is random tokens, as many as `calibration_text` has letters."""

    def tokenize(self, text: str, what: str = "prompt") -> list[int]:
        return [int(i) for i in np.random.default_rng(0).integers(0, self.config.vocabulary, len(text))]


def gpt2_like(layers: int, width: int, heads: int, **variant: Any) -> Config:
    """Sizes of a small model; variant: as `Config` names it."""
    return Config(layers, width, heads, context=1024, vocabulary=VOCABULARY, **variant)


def random_machine(
    sizes: Config,
    tokens: int = TOKENS,
    vocabulary: int = VOCABULARY,
    layers: int | None = None,
    **options: Any,
) -> tuple[Circuit, Array]:
    """(circuit, its input); weights in float32, as the solver wants them, so that it makes no copy.

    layers: how many are built, by default all; options: as `map_model` takes them.
    """
    config = replace(sizes, layers=layers or sizes.layers, vocabulary=vocabulary)
    tensors: Any = RandomTensors(config, sizes.layers)
    model = RandomText("random", config, tensors, "x" * max(TEXT, 2 * tokens))
    ranges = Ranges(calibrate_ranges(model, positions=tokens, windows=max(2, 256 // tokens), dtype=np.float32))
    circuit = ds.map_model(model, tokens, ranges=ranges, precision="float32", **options)
    return circuit, model.embed(np.asarray(model.tokenize(model.calibration_text)[-tokens:]))


def trained_machine(name: str) -> tuple[Circuit, Array]:
    model, tokens = ds.load_model(name), TRAINED[name]
    ids = model.tokenize(model.calibration_text)[:tokens]
    return ds.map_model(model, tokens), model.embed(ids)


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
    layers: dict[str, float] = {}
    for array, seconds in run.by_array.items():
        layer = circuit.arrays[array].layer
        layers[layer] = max(layers.get(layer, 0.0), seconds / tau)
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
