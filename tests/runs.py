"""Small runs that several tests look at."""

from typing import Any

import numpy as np

from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.errors_by_layer import ErrorByLayer
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.run import Run, transient


def chain(length: int = 3, width: int = 4) -> Circuit:
    """Input u, then `length` arrays a.0 … that copy each other, a layer each."""
    circuit = Circuit("chain", output=f"a.{length - 1}")
    circuit.clamp("u", (width,), unit=0.1)
    before = "u"
    for k in range(length):
        circuit.nodes(f"a.{k}", (width,), unit=0.1, layer=f"layer {k}")
        circuit.couple(f"w.{k}", before, f"a.{k}", np.eye(width))
        before = f"a.{k}"
    return circuit


def relaxed(circuit: Circuit | None = None, **options: Any) -> Run:
    """The chain relaxed on two inputs, watched by a probe and `ErrorByLayer`."""
    circuit = circuit or chain()
    inputs = {"u": np.array([[1.0, -1.0, 0.5, 0.2], [0.3, 0.3, -0.7, 0.0]])}
    last = circuit.output or ""
    return transient(circuit, inputs, observers=[Probe(["a.0", last]), ErrorByLayer()], **options)
