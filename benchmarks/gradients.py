"""Gradients by the adjoint circuit: seconds at rest beside torch's, and a backward anneal beside a forward one.

    python benchmarks/gradients.py                                               # the bundled model, on a processor
    python benchmarks/gradients.py --cases smollm2 --positions 11 --batch 1 --repeats 1 --name gradients_smollm2
    python benchmarks/gradients.py --cases gpt2 --device cupy --precision float32 --positions 128 --batch 8 \
        --vocabulary 50257 --torch cuda --name gradients_gpu

rest_s: forward and adjoint operating point and all gradients; step_s: that and every weight moved along its own, what
a chip that learns does; torch_s: forward and backward of transformers' GPT-2 of that size on --torch ("cpu", "cuda";
left out without one). All stays on the device. Anneals are of one sample, from zero until settled to 8 bits; joules
until then; --no-anneal leaves them out. Weights of shapes are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import save, seconds_of, timed, waiting
from machines import random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.shapes import SHAPES
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.gradients import Gradients
from dsmachine.emulator.learning import Learner
from dsmachine.emulator.optimizers import Sgd

Array = Any
RATE = 1e-6  # so small that the machine stays the same


def machine(case: str, options: Any) -> tuple[Circuit, Array, Array]:
    """(circuit, inputs (batch, P, width), tokens (batch, P))."""
    positions, batch, vocabulary = options.positions, options.batch, options.vocabulary
    rng = np.random.default_rng(0)
    if case in SHAPES:
        circuit, one = random_machine(SHAPES[case], positions, vocabulary, options.layers)
        rolled = [np.roll(one, shift, axis=0) for shift in range(batch)]
        return circuit, np.stack(rolled), rng.integers(0, vocabulary, (batch, positions))
    model = ds.load_model(case)
    ids = model.tokenize(model.calibration_text)
    tokens = np.array(ids[: batch * positions]).reshape(batch, positions)
    return ds.map_model(model, positions, precision=options.precision), model.embed(tokens), tokens


def torchs(case: str, tokens: Array, vocabulary: int, layers: int | None, device: str) -> Callable[[], None]:
    """Forward and backward of a random GPT-2 of that size in float32."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = SHAPES[case]
    sizes = {"n_layer": layers or shape.layers, "n_embd": shape.width, "n_head": shape.heads}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, **sizes)).to(device).eval()
    ids = torch.tensor(tokens, device=device)

    def step() -> None:
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        if device != "cpu":
            torch.cuda.synchronize()

    return step


def row(case: str, options: Any) -> dict[str, Any]:
    circuit, inputs, tokens = machine(case, options)
    vocabulary = circuit.arrays["logits"].shape[-1]
    targets = ds.next_token_targets(tokens, vocabulary)
    place = {"precision": options.precision, "device": options.device}
    found: dict[str, Any] = {
        "case": case, **place, "positions": tokens.shape[1], "batch": tokens.shape[0], "nodes": circuit.node_count(),
    }  # fmt: skip
    found |= seconds_at_rest(circuit, {"embed": inputs, **targets}, place, options.repeats)
    if options.torch and case == "gpt2":
        task = torchs(case, tokens, options.vocabulary, options.layers, options.torch)
        found["torch_s"] = seconds_of(task, waiting(options.device), options.repeats, warm=2)[0].wall
    return found if options.no_anneal else found | anneals(circuit, inputs, targets, place)


def seconds_at_rest(circuit: Circuit, values: dict[str, Array], place: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Of gradients, and of a whole step."""
    learner = Learner(circuit, ds.fabricate(circuit), load_technology("cmos45"), Sgd(RATE), **place)
    with learner.plan.backend.here():
        targets = {name: learner.plan.backend.xp.asarray(value) for name, value in values.items()}
    inputs = {"embed": targets.pop("embed")}

    def rest() -> Gradients:
        return learner.gradients(inputs, targets)

    def step() -> None:
        learner.update(rest().terms.there)

    tasks, wait = {"rest_s": rest, "step_s": step}, waiting(place["device"])
    return {name: seconds_of(task, wait, repeats, warm=2)[0].wall for name, task in tasks.items()}


def anneals(circuit: Circuit, inputs: Array, targets: Any, place: dict[str, Any]) -> dict[str, Any]:
    """Of the first sample, forward and backward; the adjoint has volts of its own."""
    forward = ds.prepare(circuit, **place)
    found = ds.gradients(forward, {"embed": inputs}, targets, back=ds.prepare(ds.adjoint(circuit), **place))
    back = found.calibrated()
    backward = ds.prepare(back, **place)
    held = {name: value[:1] for name, value in found.inputs.items()}
    result: dict[str, Any] = {"adjoint nodes": back.node_count() - sum(n.count for n in back.inputs())}
    for what, plan, given in (("forward", forward, {"embed": inputs[:1]}), ("backward", backward, held)):
        meter = ds.EnergyMeter()
        task = partial(ds.transient, plan, given, accuracy="settling", observers=[meter])
        taken, run = timed(task, repeats=1)
        settled = float(run.settling_time[0])
        result |= {f"{what} settled_ns": 1e9 * settled, f"{what} anneal_s": taken}
        result[f"{what} µJ"] = 1e6 * float(np.mean(meter.report(until=settled).total))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["tiny-shakespeare"], help="a model's name, or a shape's")
    parser.add_argument("--positions", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=512, help="of shapes")
    parser.add_argument("--layers", type=int, help="of shapes (default: all)")
    parser.add_argument("--device", default="numpy")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--torch", default="", help="device of torch's own forward and backward")
    parser.add_argument("--no-anneal", action="store_true", help="only seconds at rest")
    parser.add_argument("--name", default="gradients", help="of the files in results/")
    options = parser.parse_args()
    save(options.name, [row(case, options) for case in options.cases])


if __name__ == "__main__":
    main()
