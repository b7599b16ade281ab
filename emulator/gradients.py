"""`gradients`: forward machine at rest, adjoint machine at rest, and the charge that each weight would be given.

0 = R(x),   0 = Jᵀ a + ∂L/∂x,   dL/dw_ij = Σ a_i x_j        (`circuits/adjoint.py`)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits.adjoint import AdjointCircuit, adjoint
from ..circuits.adjoint_volts import adjoint_volts
from ..circuits.chip import Chip, circuit_of
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..circuits.losses import LOSSES, TARGET, WEIGHT
from ..circuits.technology import Technology, load_technology
from .plan import Plan
from .run import Run, operating_point

Array = Any
log = logging.getLogger(__name__)


@dataclass(repr=False)
class Gradients:
    """What `gradients` found, in logical units.

    loss: L of each sample, (batch,). terms: dL/d(programmed values) by term, summed over samples and positions, in the
    shape of the weights (out, in) or biases. forward, backward: the two runs; inputs: of the adjoint circuit.
    """

    loss: Array
    terms: dict[str, Array]
    forward: Run
    backward: Run
    inputs: dict[str, Array] = field(repr=False)

    def node(self, name: str) -> Array:
        """dL/d(one unit of normalised current into each node) of a forward array; of an input dL/dx. (batch, *shape)"""
        return adjoint_of(self.backward, name, self.forward.circuit)

    def calibrated(self, technology: Technology | str = "cmos45") -> AdjointCircuit:
        """The adjoint circuit with volts that suit what it held in this run; see `adjoint_volts`."""
        made = self.backward.circuit
        assert isinstance(made, AdjointCircuit)
        tech = load_technology(technology) if isinstance(technology, str) else technology
        return adjoint_volts(made, settled(self.backward, self.inputs), tech)

    def __repr__(self) -> str:
        name = self.forward.circuit.name
        return f"{type(self).__name__}({name!r}, loss {self.loss.mean():.4g}, {len(self.terms)} terms)"


def gradients(
    machine: Circuit | Chip | Plan,
    inputs: Mapping[str, Any],
    targets: Mapping[str, Any],
    *,
    back: AdjointCircuit | Chip | Plan | None = None,
    loss: str = "cross-entropy",
    precision: str = "float64",
) -> Gradients:
    """Gradients of a loss at the machine's output by every programmed coupling and bias, from the adjoint circuit.

    inputs: of the machine, logical units, (*shape) or (batch, *shape). targets: of the loss (`adjoint` says which).
    back: the adjoint circuit, or a chip or a plan of it; None: `adjoint(machine, loss=loss)`, ideal.
    loss is the one of `back` where that is given.

    Raises Error for an adjoint of another circuit, and as `operating_point` does.
    """
    circuit = machine.circuit if isinstance(machine, Plan) else circuit_of(machine)
    back = adjoint(circuit, loss=loss) if back is None else back
    made = back if isinstance(back, AdjointCircuit) else back.circuit
    if not isinstance(made, AdjointCircuit) or not set(made.parts) <= set(circuit.arrays):
        raise Error(f"{made.name!r} is no adjoint circuit of {circuit.name!r}: make it by ds.adjoint")
    forward = operating_point(machine, inputs, precision=None if isinstance(machine, Plan) else precision)
    x = settled(forward, inputs)
    held = {name: x[name] for name in made.holds()} | {name: np.asarray(v) for name, v in targets.items()}
    backward = operating_point(back, held, precision=None if isinstance(back, Plan) else precision)
    found: dict[str, Array] = {}
    for name, term in circuit.terms.items():
        if term.target in made.parts:
            each = term.gradient(x, adjoint_of(backward, term.target, circuit))
            if each is not None:
                found[name] = each
    given = {name: batched(held[name], made.arrays[name].shape) for name in LOSSES[made.loss].inputs}
    return Gradients(LOSSES[made.loss].value(x[str(circuit.output)], given), found, forward, backward, held)


def settled(run: Run, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Logical values of every array of a run at its end, inputs included, (batch, *shape)."""
    values = {name: run.logical(name) for name in run.outputs if not run.circuit.arrays[name].clamped}
    return values | {name: batched(value, run.circuit.arrays[name].shape) for name, value in inputs.items()}


def batched(value: Any, shape: tuple[int, ...]) -> Array:
    """A value with its batch axis."""
    return np.asarray(value, float).reshape(-1, *shape)


def adjoint_of(run: Run, name: str, forward: Circuit) -> Array:
    """The adjoint of a forward array in a run of the adjoint circuit, logical units, (batch, *shape)."""
    made = run.circuit
    assert isinstance(made, AdjointCircuit)
    signals = {part.name: run.logical(part.name) for part in made.parts[name]}
    return made.of(name, signals, forward.arrays[name].shape)


def next_token_targets(tokens: Any, vocabulary: int) -> dict[str, Array]:
    """Targets of "cross-entropy" for language models: a sample's loss is the mean over positions of the next token's
    surprise [nats].

    tokens: (P,) or (batch, P) ids, P at least 2; the last position has no next token and weight 0.
    Raises Error for ids that are none of the vocabulary.
    """
    ids = np.atleast_2d(np.asarray(tokens))
    if ids.dtype.kind not in "iu" or ids.ndim != 2 or ids.shape[1] < 2:
        raise Error(f"tokens have shape {np.shape(tokens)}: give whole numbers (P,) or (batch, P), P 2 or more")
    if ids.min() < 0 or ids.max() >= vocabulary:
        worst = int(ids.max() if ids.min() >= 0 else ids.min())
        raise Error(f"token {worst} is outside the vocabulary of {vocabulary}: use the model's own tokenizer")
    target = np.zeros((*ids.shape, vocabulary))
    rows, columns = np.indices(ids[:, 1:].shape)
    target[rows, columns, ids[:, 1:]] = 1 / (ids.shape[1] - 1)
    return {TARGET: target, WEIGHT: target.sum(axis=-1, keepdims=True)}
