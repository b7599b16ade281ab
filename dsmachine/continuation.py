"""Text that the machine writes: anneal, read the last position, clamp the next token, anneal on from where it stands.

The machine has nodes for prompt and continuation from the start. Positions not written yet hold the last known token;
causal couplings keep them from being seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .circuits.checkpoints import Model
from .circuits.circuit import Circuit
from .emulator.run import Run, transient
from .tasks import TOLERANCE, reference_values

Array = Any


@dataclass(frozen=True)
class Continuation:
    """text: what the machine wrote, greedily; reference: what the digital reference writes; anneal_s: seconds of
    annealing, machine time, token by token."""

    text: str
    reference: str
    anneal_s: list[float]


def continue_prompt(model: Model, circuit: Circuit, prompt: str) -> Continuation:
    """Greedy continuation up to the circuit's positions; the circuit must hold more positions than the prompt."""
    known = model.encode(prompt)
    total = int(circuit.notes["positions"])
    written, times = list(known), []
    run: Run | None = None
    while len(written) < total:
        run = _anneal(model, circuit, written, total, run)
        assert run.settling_time is not None
        times.append(float(run.settling_time.max()))
        written.append(int(run.logical("logits")[0, len(written) - 1].argmax()))
    digital = list(known)
    while len(digital) < total:
        digital.append(int(reference_values(model, digital, circuit)["logits"][-1].argmax()))
    count = len(known)
    return Continuation(model.decode(written[count:]), model.decode(digital[count:]), times)


def _anneal(model: Model, circuit: Circuit, written: list[int], total: int, before: Run | None) -> Run:
    """One relaxation, from where the last one ended."""
    held = written + [written[-1]] * (total - len(written))
    start = None if before is None else {name: before.logical(name) for name in before.outputs}
    inputs = {"embed": model.embed(held)}
    return transient(circuit, inputs, initial=start, tolerance=TOLERANCE, accuracy="settling")
