"""Where explicit methods lose stability: fast nodes, passive loading, spread time constants; at equal measured error.

    python benchmarks/stiff.py          # pin it: OPENBLAS_NUM_THREADS=1 taskset -c 0

A GPT-2-like machine of random weights, softmax tails at rest so that nothing else is stiff, and the same one with

    fast nodes   1 % of every array's nodes with τ/50
    passive      dense couplings as plain resistors, whose load comes on top: γ = 1 + Σ|G|/g (up to 12)
    spread       every node's τ times 1 ± 30 %, uniform

and as mapped, its tails moving (a row of N branches has τ·N/1300). Each relaxes from zero until its own logits have
settled; the solvers are those of rivals.py, and so is what they are asked for. `map_model(coupling="passive")` itself
refuses random weights, whose signals a divider would lose; here the weights stay and the signals shrink.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import rivals
from common import save
from machines import gpt2_like, random_machine
from outside.cases import Row, referred, without_tails

from dsmachine.circuits.cells import Coupling
from dsmachine.circuits.circuit import Circuit

Array = Any
FAST_SHARE, FASTER, SPREAD = 0.01, 50, 0.3
SOLVERS = ("elements", "stepper", "xla", "tsit5", "bosh3")


def paced(circuit: Circuit, factor: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Circuit:
    """The circuit whose free nodes' capacitances are times factor(rng, shape), array by array."""
    rng, arrays = np.random.default_rng(0), dict(circuit.arrays)
    for name, node in arrays.items():
        if not node.clamped and not node.is_inner:
            arrays[name] = replace(node, capacitance=node.capacitance * factor(rng, node.shape))
    return replace(circuit, arrays=arrays)


def fast(circuit: Circuit) -> Circuit:
    return paced(circuit, lambda rng, shape: np.where(rng.random(shape) < FAST_SHARE, 1 / FASTER, 1.0))


def spread(circuit: Circuit) -> Circuit:
    return paced(circuit, lambda rng, shape: rng.uniform(1 - SPREAD, 1 + SPREAD, shape))


def passive(circuit: Circuit) -> Circuit:
    """The circuit whose programmable couplings are plain resistors onto their nodes."""
    dense = {n: t for n, t in circuit.terms.items() if isinstance(t, Coupling) and t.programmable and not t.elementwise}
    return replace(circuit, terms=circuit.terms | {n: replace(t, passive=True) for n, t in dense.items()})


def machines(options: argparse.Namespace) -> tuple[dict[str, Circuit], Array]:
    """(circuit by case, embedding)."""
    sizes = gpt2_like(options.layers, options.width, options.heads)
    mapped, embedded = random_machine(sizes, options.tokens, options.vocabulary)
    plain = without_tails(mapped)
    cases = {
        "tails at rest": plain,
        "fast nodes": fast(plain),
        "passive": passive(plain),
        "spread": spread(plain),
        "as mapped": mapped,
    }
    return cases, embedded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["numpy", "cupy"], default="numpy")
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--solvers", nargs="*", default=list(SOLVERS), choices=list(rivals.SOLVERS))
    parser.add_argument("--precisions", nargs="*", default=["float32"])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--vocabulary", type=int, default=64)
    parser.add_argument("--error", type=float, default=1e-3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cap", type=float, default=120.0)
    parser.add_argument("--name", help="of the result files")
    options = parser.parse_args()
    rivals.leave_out(options)
    if not {"xla", "tsit5", "bosh3"} & set(options.solvers):
        options.solvers.append("euler")
    circuits, embedded = machines(options)
    tried: list[Row] = []
    table: list[Row] = []
    for name in options.cases or circuits:
        case = referred(name, circuits[name], {"embed": embedded}, options.device)
        more = {"nodes": case.nodes, "end_ns": case.end * 1e9}
        table += [rivals.shown(found | more) for found in rivals.compared(case, options, tried.append)]
        about = {"device": rivals.device_name(options.device), "versions": rivals.versions(), "error": options.error}
        save(options.name or ("stiff" if options.device == "numpy" else "stiff_cupy"), table, **about, tried=tried)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
