"""`gradients`: forward machine at rest, adjoint machine at rest, and the charge that each weight would be given.

0 = R(x),   0 = Jᵀ a + ∂L/∂x,   dL/dw_ij = Σ a_i x_j        (`circuits/adjoint.py`)
"""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits import checks
from ..circuits.adjoint import AdjointCircuit, adjoint
from ..circuits.adjoint_volts import adjoint_volts
from ..circuits.chip import Chip
from ..circuits.circuit import Circuit
from ..circuits.errors import Error, shown
from ..circuits.losses import LOSSES, TARGET, WEIGHT
from ..circuits.technology import Technology, as_technology
from ..circuits.words import counted
from .operating_point import solve_operating_point
from .passing import Passing
from .plan import Plan
from .prepare import planned
from .run import Run, rested
from .still_noise import StillNoise
from .volts import Fetched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
log = logging.getLogger(__name__)


@dataclass(repr=False)
class Gradients:
    """What `gradients` found, in logical units.

    loss: L of each sample, (batch,). terms: dL/d(programmed values) by term, summed over samples and positions, in the
    shape of the weights (out, in) or biases. forward, backward: the two runs. seen: values (batch, *shape) of all
    arrays of the adjoint circuit, inputs included. terms and seen are brought from the device as they are asked for.
    """

    loss: Array
    terms: Fetched
    forward: Run
    backward: Run
    seen: Fetched = field(repr=False)

    @property
    def inputs(self) -> dict[str, Array]:
        """Of the adjoint circuit, for `transient`, `crosscheck` and others."""
        return {node.name: self.seen[node.name] for node in self.backward.circuit.inputs()}

    def node(self, name: str) -> Array:
        """dL/d(one unit of normalised current into each node) of a forward array; of an input dL/dx. (batch, *shape)"""
        made, circuit = _adjoint_of(self.backward.circuit), self.forward.circuit
        if name not in made.parts:
            raise Error(f"{name!r} has no adjoint in {made.name!r}: the output does not depend on it")
        parts = {part.name: self.backward.logical(part.name) for part in made.parts[name]}
        return made.of(name, parts, circuit.arrays[name].shape)

    def calibrated(self, technology: Technology | str = "cmos45") -> AdjointCircuit:
        """The adjoint circuit with volts that suit what it held in this run; see `adjoint_volts`."""
        made = _adjoint_of(self.backward.circuit)
        tech = as_technology(technology)
        free = {name: self.backward.logical(name) for name in self.backward.outputs}
        return adjoint_volts(made, free | {name: self.seen[name] for name in LOSSES[made.loss].inputs}, tech)

    def plot(self) -> Figure:
        """Gradients by term; see `pictures.plot_gradients`."""
        from .pictures import plot_gradients

        return plot_gradients(self)

    def __repr__(self) -> str:
        name = self.forward.circuit.name
        return f"{type(self).__name__}({name!r}, loss {self.loss.mean():.4g}, {counted(len(self.terms), 'term')})"


def gradients(
    machine: Circuit | Chip | Plan,
    inputs: Mapping[str, Any],
    targets: Mapping[str, Any],
    *,
    back: AdjointCircuit | Chip | Plan | None = None,
    loss: str = "cross-entropy",
    precision: str | None = None,
    device: str | None = None,
    noise: StillNoise | None = None,
    reading: int = 0,
    passing: type[Passing] = Passing,
) -> Gradients:
    """Gradients of a loss at the machine's output by every programmed coupling and bias, from the adjoint circuit.

    machine: or what `prepare` made of it. inputs: of the machine, logical units, (*shape) or (batch, *shape).
    targets: of the loss, alike (`adjoint` says which; `next_token_targets` makes those of language models).
    back: the adjoint circuit, with volts or without, or a chip of it, or what `prepare` made of either on the same
        device; None: `adjoint(…, loss=loss)` of this very circuit, ideal. Where it is given, its loss counts.
    precision, device: as in `operating_point` (float64 unless given).
    noise: shakes the forward machine; its adjoint, which has none, reads it as it is in reading number `reading`.
    passing: what nodes at their rails pass back; see `emulator/passing.py`.

    Warns where adjoint nodes are on their rails: such gradients are clipped.
    Raises Error for an adjoint of another circuit, and as `operating_point` does.
    """
    begun = clock.perf_counter()
    if not isinstance(targets, Mapping):
        raise Error(f"targets are {shown(targets)}: give a mapping, such as next_token_targets(tokens, vocabulary)")
    if noise is not None:
        checks.made("noise", noise, StillNoise, "give a StillNoise, or None")
    plan = planned(machine, precision, device, "float64")
    asked = adjoint(plan.circuit, loss=loss) if back is None else back
    behind = planned(asked, plan.backend.precision, plan.backend.device)
    made = _adjoint_of(behind.circuit, plan.circuit)
    held: dict[str, int] = {}
    clipped: dict[str, int] = {}
    with plan.backend.arithmetic():
        shaken = None if noise is None else noise.at(plan, reading)
        x = solve_operating_point(plan, inputs, saturated=held, shaken=shaken)
        forward, begun = rested(plan, x, held, begun), clock.perf_counter()
        given = {name: x[name] for name in made.holds()} | dict(targets)
        back_through = passing(plan, made, x, None if shaken is None else shaken.unshaken)
        seen = solve_operating_point(behind, given, saturated=clipped, shaken=back_through)
        value = np.asarray(plan.backend.host(LOSSES[made.loss].value(x[str(plan.circuit.output)], seen)))
        terms = term_gradients(plan.circuit, made, x, seen)
    return told(forward, rested(behind, seen, clipped, begun), value, terms, seen, behind.backend.host)


def told(
    forward: Run,
    backward: Run,
    loss: Array,
    terms: Mapping[str, Array],
    seen: Mapping[str, Array],
    host: Callable[[Array], Array],
) -> Gradients:
    """What both machines found, with a warning where gradients are clipped. host: brings arrays from the device."""
    clipped = backward.saturated
    if clipped:
        number, name = _first(clipped)
        log.warning("gradients are clipped: %s on rails, first of %r", counted(number, "adjoint node"), name)
    name = forward.circuit.name
    of_terms = Fetched(host, terms, f"term of circuit {name!r} with a gradient")
    return Gradients(loss, of_terms, forward, backward, Fetched(host, seen, f"array of the adjoint of {name!r}"))


def term_gradients(
    circuit: Circuit, made: AdjointCircuit, x: Mapping[str, Array], seen: Mapping[str, Array]
) -> dict[str, Array]:
    """dL/d(programmed values) of each term, summed over K, from values (K, *shape) in logical units of the circuit's
    arrays and of its adjoint's: at rest, or wherever two anneals have ended."""
    found: dict[str, Array] = {}
    for name, term in circuit.terms.items():
        if term.target in made.parts:
            a = made.of(term.target, seen, circuit.arrays[term.target].shape)
            each = term.gradient(x, a)
            if each is not None:
                found[name] = each
    return found


def _adjoint_of(made: Circuit, circuit: Circuit | None = None) -> AdjointCircuit:
    if not isinstance(made, AdjointCircuit):
        raise Error(f"{made.name!r} is no adjoint circuit: make one by ds.adjoint")
    if circuit is not None and (missing := set(made.parts) - set(circuit.arrays)):
        raise Error(f"{made.name!r} is no adjoint circuit of {circuit.name!r}, which has no {min(missing)!r}")
    return made


def _first(clipped: Mapping[str, int]) -> tuple[int, str]:
    return sum(clipped.values()), next(iter(clipped))


def next_token_targets(tokens: Any, vocabulary: int, *, xp: Any = np) -> dict[str, Array]:
    """Targets of "cross-entropy" for language models: a sample's loss is the mean over positions of the next token's
    surprise [nats].

    tokens: (P,) or (batch, P) ids, P at least 2; the last position has no next token and weight 0.
    xp: the module whose arrays they are; made where they are used, a large vocabulary's need not travel.
    Raises Error for ids that are none of the vocabulary.
    """
    checks.whole("vocabulary", vocabulary, 1, 10**9)
    ids = np.atleast_2d(np.asarray(tokens))
    if ids.dtype.kind not in "iu" or ids.ndim != 2 or ids.shape[1] < 2:
        raise Error(f"tokens have shape {np.shape(tokens)}: give whole numbers (P,) or (batch, P), P 2 or more")
    if ids.min() < 0 or ids.max() >= vocabulary:
        worst = int(ids.max() if ids.min() >= 0 else ids.min())
        raise Error(f"token {worst} is outside the vocabulary of {vocabulary}: use the model's own tokenizer")
    target = xp.zeros((*ids.shape, vocabulary))
    where = (*np.indices(ids[:, 1:].shape), ids[:, 1:])
    target[tuple(xp.asarray(index) for index in where)] = 1 / (ids.shape[1] - 1)
    return {TARGET: target, WEIGHT: target.sum(axis=-1, keepdims=True)}
