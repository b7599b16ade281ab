"""Joules and seconds of learning one sequence, of the five models of the paper's tables, from random weights.

    python benchmarks/training_by_shape.py                        # 20 minutes, 12 GB; threads: OPENBLAS_NUM_THREADS=1
    python benchmarks/training_by_shape.py --models gpt2 --built 4 --tokens 8 --dry        # prints, writes nothing

Machines as in `energy_by_shape.py`: forward anneal, backward anneal of its adjoint circuit, update of the control
capacitors (`energy/training_step.py`). The loss is a class after the last token, as of GLUE's sentences. Rows are put
beside those that the result file has; `dsmachine report` reads it for table 2. Where not all layers are built, joules
follow `energy/depth.py`; the whole forward machine is read as there, and the backward one follows a straight line
through the settling times of the later half of the layers that its front reaches, or, of fewer than four layers, the
forward one in proportion.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from typing import Any

import numpy as np
from common import keep, origin, settled_by_layer
from energy_by_shape import BUILT, read_after, total
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.losses import TARGET, WEIGHT
from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.depth import joules_of_depth, settling_of_depth
from dsmachine.energy.report import APART
from dsmachine.energy.training_step import Anneals, Settled, anneal_both, step_report
from dsmachine.energy.weight_update import by_capacitors

Array = Any
NAME = "training_by_shape"
RATE, BATCH = 0.01, 8  # what `dsmachine train` takes for sgd unless told otherwise


def class_of_last(tokens: int, vocabulary: int) -> dict[str, Array]:
    """Targets of a sequence that is told apart: one word of the vocabulary after its last token."""
    target, weight = np.zeros((1, tokens, vocabulary)), np.zeros((1, tokens, 1))
    target[0, -1, vocabulary // 2] = weight[0, -1] = 1.0
    return {TARGET: target, WEIGHT: weight}


def settled(name: str, made: Anneals, built: int) -> tuple[Settled, str]:
    """(when both machines of the whole model have, how that is known)."""
    forward, known = read_after(name, made.forward.circuit, made.forward, built)
    own, layers = made.settled, SHAPES[name].layers
    assert own is not None
    if built == layers:
        return Settled(forward, own.backward), f"forward and backward {known}"
    by_layer = settled_by_layer(made.back, made.backward)
    if built >= 4:
        front = dict(sorted(by_layer.items(), key=lambda item: item[1]))
        how = "backward by a line through the settling times of the layers built"
        return Settled(forward, settling_of_depth(front, layers)), f"forward {known}; {how}"
    share = forward / own.forward
    return Settled(forward, own.backward * share), f"forward {known}; backward in proportion, as of {built} layers"


def measured(name: str, built: int, tokens: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(row of the result file, its account by phase and part)."""
    begun, shape, technology = time.perf_counter(), SHAPES[name], ds.load_technology("cmos45")
    circuit, embedded = random_machine(shape, tokens, shape.vocabulary, layers=built)
    plan = ds.prepare(circuit, precision="float32")
    inputs = {"embed": embedded[None]}
    told = ds.gradients(plan, inputs, class_of_last(tokens, shape.vocabulary))
    made = anneal_both(plan, inputs, told, technology)
    update = by_capacitors(circuit, made.back, technology, rate=RATE, batch=BATCH)
    times, known = settled(name, made, built)
    report = step_report(made, times, update)
    joules = joules_of_depth(report, shape.layers)
    account = {"phases_s": dict(report.phases), "joules": joules}
    account |= {"assumed": list(report.assumed), "excluded": list(report.excluded)}
    row = {
        "model": name,
        "layers": shape.layers,
        "built": built,
        "tokens": tokens,
        "vocabulary": shape.vocabulary,
        "forward_s": times.forward,
        "backward_s": times.backward,
        "known": known,
        "latency_s": report.latency,
        "joules": total(joules),
        "joules of the circuits": total(joules, APART),
        "saturated": sum(made.forward.saturated.values()),
        "clipped": sum(told.backward.saturated.values()),
        "wall_s": time.perf_counter() - begun,
        "commit": origin()["commit"],
    }
    return row, account


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(BUILT), choices=list(BUILT))
    parser.add_argument("--built", type=int, help="layers, where not as many as fit")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    options = parser.parse_args()
    for name in options.models:
        row, account = measured(name, options.built or BUILT[name], options.tokens)
        if options.dry:
            print(json.dumps(row | account, indent=1))
        else:
            keep(NAME, BUILT, row, account)
        gc.collect()


if __name__ == "__main__":
    main()
