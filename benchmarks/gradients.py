"""Gradients by the adjoint circuit: seconds at rest beside torch's, and a backward anneal beside a forward one.

    python benchmarks/gradients.py                                               # the bundled model, on a processor
    python benchmarks/gradients.py --cases smollm2 --positions 11 --batch 1 --repeats 1 --name gradients_smollm2
    python benchmarks/gradients.py --cases gpt2 --device cupy --precision float32 --positions 128 --batch 8 \
        --vocabulary 50257 --torch cuda --name gradients_gpu

rest_s: forward and adjoint operating point and all gradients, `ds.gradients`, with the gradients on the host at the
end; torch_s: forward and backward of transformers' GPT-2 of that size on --torch ("cpu", "cuda"; left out without
one). Anneals are of one sample, from zero until settled to 8 bits; joules until then. Weights of shapes are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import save, timed, waiting
from settling_by_layer import SHAPES, random_machine

import dsmachine as ds
from dsmachine.circuits.circuit import Circuit

Array = Any


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

    step()
    return step


def row(case: str, options: Any) -> dict[str, Any]:
    circuit, inputs, tokens = machine(case, options)
    vocabulary = circuit.arrays["logits"].shape[-1]
    targets = ds.next_token_targets(tokens, vocabulary)
    place = {"precision": options.precision, "device": options.device}
    forward = ds.prepare(circuit, **place)
    ideal = ds.gradients(forward, {"embed": inputs}, targets, back=ds.prepare(ds.adjoint(circuit), **place))
    back = ideal.calibrated()
    backward = ds.prepare(back, **place)
    seconds, found = timed(
        lambda: ds.gradients(forward, {"embed": inputs}, targets, back=backward), repeats=options.repeats
    )
    waiting(options.device)()
    held = {name: np.asarray(backward.backend.host(value))[:1] for name, value in found.inputs.items()}
    result: dict[str, Any] = {
        "case": case, "device": options.device, "precision": options.precision,
        "positions": tokens.shape[1], "batch": tokens.shape[0],
        "nodes": circuit.node_count(), "adjoint nodes": back.node_count() - sum(n.count for n in back.inputs()),
        "rest_s": seconds, "clipped": sum(found.backward.saturated.values()),
    }  # fmt: skip
    if options.torch and case == "gpt2":
        step = torchs(case, tokens, options.vocabulary, options.layers, options.torch)
        result["torch_s"] = timed(step, repeats=options.repeats)[0]
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
    parser.add_argument("--name", default="gradients", help="of the files in results/")
    options = parser.parse_args()
    save(options.name, [row(case, options) for case in options.cases])


if __name__ == "__main__":
    main()
