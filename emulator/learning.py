"""A chip that learns: forward rest, backward rest, and its programmed values move.

    0 = R(x),   0 = Jᵀ a + ∂L/∂x,   ΔV_ij ∝ −a_i x_j,   |G_ij| ≤ G_max

Gradients are those of the chip's own devices, as both machines are the chip's. What moves is the programmed value: a
control capacitor gets the charge of a_i x_j whatever its device makes of it, so the device's error stays where it is
(`circuits/cells/programming.py`) and the values stop at the ends of their range.

The circuit is mapped once. Weights are written where they stand on the device. The backward machine reads the forward
one's, transposed: which of them a coupling of it is, is found once, by numbering them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..circuits.adjoint import adjoint
from ..circuits.cells import Term, Transposed
from ..circuits.cells.mismatch import Draw
from ..circuits.cells.programming import Programming
from ..circuits.chip import Chip
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..circuits.technology import Technology
from .fused import rewrite
from .gradients import Gradients, gradients
from .operating_point import solve_operating_point
from .optimizers import AdamW, Sgd
from .passing import Returning
from .plan import Plan
from .prepare import prepare
from .recorded import Recorded, recordable
from .still_noise import StillNoise

Array = Any
BEYOND = 1 << 40  # numbers that no weight is as large as
ASKED = 1 << 32  # steps at most: where readings that are not learnt from are counted


class Learner:
    """A chip and its backward machine, ready, and the values that are programmed into it.

    programs: what is programmed, by term; values: where it stands, in logical units, on the device; plan, behind: both
    machines; steps: taken so far.
    """

    def __init__(
        self,
        circuit: Circuit,
        chip: Chip,
        technology: Technology,
        optimizer: Sgd | AdamW,
        *,
        loss: str = "cross-entropy",
        precision: str = "float32",
        device: str = "numpy",
        noise: StillNoise | None = None,
    ) -> None:
        """circuit: as designed; chip: made of it; noise: at every reading. Raises Error for cells that do not learn."""
        self.optimizer, self.steps, self.noise = optimizer, 0, noise
        self.programs = programs(circuit, chip, technology)
        designed = chip.circuit.terms
        own = chip.circuit.with_terms(
            each.written(designed[n], each.seen(each.value)) for n, each in self.programs.items()
        )
        made = adjoint(own, loss=loss)
        self.plan = prepare(replace(chip, circuit=own), precision=precision, device=device)
        self.behind = prepare(made, precision=precision, device=device)
        for plan in (self.plan, self.behind):
            plan.brought.clear()  # what lies there does not stay what the circuit has
        self._latest: Any = None
        self._recorded: dict[Any, Recorded] = {}
        self._forward = placed_terms(self.plan)
        self._backward = shared(made.loss, own, self._forward, placed_terms(self.behind), self.programs)
        with self.plan.backend.here():
            xp = self.plan.backend.xp
            self.programs = {name: each.placed(xp) for name, each in self.programs.items()}
            self.values: dict[str, Array] = {n: xp.array(each.value, order="C") for n, each in self.programs.items()}

    def gradients(self, inputs: dict[str, Any], targets: dict[str, Any]) -> Gradients:
        """Both machines at rest, and dL/d(what each device does), summed over the batch. On a GPU launches are recorded
        once the same shapes come again, and what is found stands until the next call."""
        shapes = tuple((name, np.shape(value)) for name, value in (inputs | targets).items())
        if shapes in self._recorded:
            return self._recorded[shapes].run(inputs, targets)
        if shapes == self._latest and self.noise is None and recordable(self.plan) and recordable(self.behind):
            self._recorded = {shapes: Recorded(self.plan, self.behind, inputs, targets)}
            return self._recorded[shapes].run(inputs, targets)
        self._latest = shapes
        return gradients(
            self.plan, inputs, targets, back=self.behind, noise=self.noise, reading=self.steps, passing=Returning
        )

    def update(self, terms: Mapping[str, Array]) -> None:
        """One step along gradients by term, on the device."""
        self.steps += 1
        with self.plan.backend.here():
            share = self.optimizer.share({name: terms[name] for name in self.programs if name in terms})
            for name, program in self.programs.items():
                if name in terms:
                    self.optimizer.move(name, self.values[name], terms[name], self.steps, share)
                    program.hold(self.values[name])
        self.write()

    def restore(self, values: Mapping[str, Array], memory: Mapping[str, Sequence[Array]], steps: int) -> None:
        """Stand where another learner of the same chip stood: its values, its optimizer's state and its steps."""
        with self.plan.backend.here():
            own = partial(self.plan.backend.xp.array, order="C")
            self.values = {n: own(values[n].reshape(each.value.shape)) for n, each in self.programs.items()}
            self.optimizer.state = {name: [own(each) for each in parts] for name, parts in memory.items()}
        self.steps = steps
        self.write()

    def write(self) -> None:
        """Program the chip with `values`."""
        with self.plan.backend.here():
            for name, program in self.programs.items():
                program.write(self.values[name], getattr(self._forward[name], program.field))
            rewrite(self.plan, {self._forward[name].target for name in self.programs})
            rewrite(self.behind, self._backward)

    def kept(self) -> tuple[dict[str, Array], dict[str, list[Array]]]:
        """What `restore` takes, on the host: values, and the optimizer's state; as they stand until the next step."""
        host = self.plan.backend.host
        memory = {name: [host(each) for each in parts] for name, parts in self.optimizer.state.items()}
        return {name: host(value) for name, value in self.values.items()}, memory

    def rest(self, inputs: Mapping[str, Any], name: str, asked: int = 0) -> Array:
        """Logical values (batch, *shape), on the device, at which an array of the chip rests. asked: number of the
        question, which has noise of its own at each of the steps."""
        reading = ASKED * (1 + asked) + self.steps
        shaken = None if self.noise is None else self.noise.at(self.plan, reading)
        with self.plan.backend.arithmetic():
            return solve_operating_point(self.plan, inputs, shaken=shaken)[name]

    @property
    def circuit(self) -> Circuit:
        """The chip's circuit with what it has learnt."""
        terms, host = self.plan.circuit.terms, self.plan.backend.host
        return self.plan.circuit.with_terms(
            each.written(terms[name], host(each.seen(self.values[name]))) for name, each in self.programs.items()
        )

    @property
    def at_rails(self) -> int:
        """Programmed values at an end of their range."""
        with self.plan.backend.here():
            return sum(each.at_rails(self.values[name]) for name, each in self.programs.items())

    @property
    def count(self) -> int:
        """Programmed values."""
        return sum(value.size for value in self.values.values())


def programs(circuit: Circuit, chip: Chip, technology: Technology) -> dict[str, Programming]:
    """What is programmed into a chip, by term. Raises Error for cells that are programmed and do not learn."""
    draw, found = Draw(chip.seed), {}
    for name, term in circuit.terms.items():
        each = term.programming(circuit, chip.spread, draw, technology.coupling.g_max)
        if each is not None:
            found[name] = each
        elif term.weights(circuit):
            raise Error(f"{term.label} {name!r} does not learn: map the model without a device card")
    return found


def placed_terms(plan: Plan) -> dict[str, Term]:
    """Cells as they stand on the device, by name."""
    return {term.name: term for stage in plan.stages for term in stage.terms}


def shared(
    loss: str,
    circuit: Circuit,
    forward: Mapping[str, Term],
    backward: Mapping[str, Term],
    programmed: Mapping[str, Programming],
) -> set[str]:
    """Let the backward machine's couplings on the device be the forward ones, read transposed. Returns what they drive.
    Weights are numbered in a copy of both machines, to see where each number comes to stand."""
    first: dict[str, int] = {}
    numbered, begin = [], BEYOND
    for name, each in programmed.items():
        if each.field == "weight":
            numbers = np.arange(begin, begin + each.value.size, dtype=float).reshape(each.value.shape)
            term: Any = circuit.terms[name]
            numbered.append(replace(term, weight=numbers))
            first[name], begin = begin, begin + each.value.size
    found: set[str] = set()
    for back in adjoint(circuit.with_terms(numbered), loss=loss).terms.values():
        if isinstance(back, Transposed) and np.ndim(back.weight) == 2 and back.weight[0, 0] >= BEYOND:
            corner, end = int(back.weight[0, 0]), int(back.weight[-1, -1])
            name = next(n for n, at in first.items() if at <= corner < at + programmed[n].value.size)
            width = programmed[name].value.shape[1]
            (top, left), (bottom, right) = divmod(corner - first[name], width), divmod(end - first[name], width)
            devices = forward[name].weight[top : bottom + 1, left : right + 1]  # type: ignore[attr-defined]
            vars(backward[back.name])["weight"] = devices.T
            found.add(back.target)
    return found
