"""A machine made ready to be run, and whether what is asked of it fits into the memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..circuits import checks
from ..circuits.chip import Chip, circuit_of
from ..circuits.circuit import Circuit
from ..circuits.errors import Error, shown
from .backend import Backend
from .memory import Memory, check_room, needed, placed
from .plan import Plan, make_plan, outline
from .request import Request
from .shadow import Unpredicted
from .share import shared_plan
from .weightless import weightless

log = logging.getLogger(__name__)


def prepare(
    machine: Circuit | Chip,
    *,
    precision: str | None = None,
    device: str | Sequence[str] | None = None,
    stream: bool = False,
    like: Plan | None = None,
) -> Plan:
    """A machine made ready to be run many times: in order, and its weights on the device.

    device: "numpy", "cupy" or "cupy:1", a GPU by its number; several, ["cupy:0", "cupy:1"], share the machine, some
    layers each (see `pipeline.py`). precision: "float32", "float64" or, on the GPU, "tf32" or "tf32x3".
    stream: weights that do not fit into the device's memory stay on the host and pass by layer by layer, once for each
    window of time (see `store.py`).
    like: a plan of another chip of the same circuit. This one comes to the same device in the same precision; arrays of
    cells that both chips have, the same objects and not written to since, stay where they are, and what memory a run
    takes is not worked out again.

        plan = None
        for seed in range(100):
            plan = ds.prepare(ds.fabricate(circuit, seed=seed, offset=0.001), device="cupy", like=plan)
            run = ds.transient(plan, inputs)

    Raises Error for what is no machine, has no free nodes, or no such place to solve it, or is not like that plan.
    """
    if isinstance(machine, Plan):
        raise Error(f"{machine.circuit.name!r} is prepared already: run it, or prepare its circuit or chip again")
    circuit = circuit_of(machine)
    if len(circuit.inputs()) == len(circuit.arrays):
        raise Error(f"circuit {circuit.name!r} has no free nodes: add some, such as circuit.nodes('s', (3,))")
    if like is not None:
        return _alike(machine, circuit, like, precision, device, stream)
    precision, device = "float32" if precision is None else precision, "numpy" if device is None else device
    if not isinstance(device, str | list | tuple):
        raise Error(f"device is {shown(device)}: give 'numpy', 'cupy', or a list of them")
    backends = [Backend(name, precision) for name in ([device] if isinstance(device, str) else device)]
    if not backends:
        raise Error("device is an empty list: give one device, such as 'numpy', or several")
    for backend in backends:
        _ = backend.xp  # it is there
    if len(backends) > 1:
        return shared_plan(circuit, backends, fabrication(machine), stream=stream)
    if not stream:
        check_room(circuit.name, placed(circuit, backends[0]), None, backends[0])
    return make_plan(circuit, backends[0], fabrication(machine), stream=stream)


def _alike(
    machine: Circuit | Chip, circuit: Circuit, like: Any, precision: str | None, device: Any, stream: bool
) -> Plan:
    """The machine beside that of a plan, with which it shares what both have."""
    if not isinstance(like, Plan):
        raise Error(f"like is {shown(like)}: give what prepare returned for another chip of the same circuit")
    if stream or not like.resident:
        raise Error("like is for machines that one device holds: leave it out where weights pass by or devices share")
    for kind in ("arrays", "terms"):
        ours, theirs = _named(circuit, kind), _named(like.circuit, kind)
        if ours != theirs:
            other = next((name for name in (*theirs, *ours) if (name in ours) != (name in theirs)), "their order")
            raise Error(f"like has other {kind} than {circuit.name!r} ({other}): give a plan of the same circuit")
    _check_same(like, precision, device)
    backend = replace(like.backend)
    check_room(circuit.name, placed(circuit, backend, like.brought), None, backend)
    made = make_plan(circuit, backend, fabrication(machine), there=like.brought)
    same = list(outline(made.groups)) == list(outline(like.groups))
    return replace(made, needs=like.needs) if same else made


def _named(circuit: Circuit, kind: str) -> list[str]:
    """Arrays with their shapes, or terms."""
    if kind == "terms":
        return list(circuit.terms)
    return [f"{name} of shape {node.shape}" for name, node in circuit.arrays.items()]


def planned(
    machine: Circuit | Chip | Plan, precision: str | None, device: str | Sequence[str] | None, usual: str = "float32"
) -> Plan:
    """The machine made ready; as it is, if it is already: then there is nothing to choose."""
    if not isinstance(machine, Plan):
        return prepare(machine, precision=usual if precision is None else precision, device=device)
    _check_same(machine, precision, device)
    return machine


def _check_same(plan: Plan, precision: str | None, device: str | Sequence[str] | None) -> None:
    """Raises Error if a plan's precision or device is not what is asked for, where anything is."""
    made = plan.devices if plan.split else plan.backend.device
    asked = list(device) if isinstance(device, tuple) else device
    for what, wanted, found in (("precision", precision, plan.backend.precision), ("device", asked, made)):
        if wanted is not None and not (type(wanted) is type(found) and wanted == found):
            raise Error(f"{what} {shown(wanted)} is not what the machine was prepared for, {found!r}: prepare it again")


def fabrication(machine: Circuit | Chip) -> dict[str, Any]:
    """Seed, spreads and trim of a chip; nothing of an ideal circuit."""
    if not isinstance(machine, Chip):
        return {}
    run = {"flicker": machine.flicker, "flicker_seed": machine.noise_seed} if machine.flicker else {}
    chip = {"chip_seed": machine.seed, **vars(machine.spread), "trim": machine.trim}
    return chip | {"weight_bits": machine.weight_bits} | run


def memory_needed(
    machine: Circuit | Chip | Plan,
    *,
    batch: int = 1,
    precision: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Memory:
    """Bytes that `transient(machine, inputs, **options)` holds on its device when they are most, part by part.

    batch: of the inputs. The device need not be there. What observers keep is not counted, nor, on a GPU, the CUDA
    context and cuBLAS' workspace. How many elements a window takes is only known afterwards and assumed here, see
    `memory.assumed`.
    Raises Error as `transient` does for options that do not fit together, and for a cell that cannot be followed.
    """
    request, size = Request(**options), checks.whole("batch", batch, 1, 10**6)
    if isinstance(machine, Plan):
        plan = planned(machine, precision, device)
    else:
        backend = Backend("numpy" if device is None else device, "float32" if precision is None else precision)
        plan = make_plan(circuit_of(machine), weightless(backend, "weights"))
    try:
        return _needed(plan, request, size)
    except Unpredicted as problem:
        raise Error(f"memory of {plan.circuit.name!r} cannot be predicted: {problem}") from problem


def _needed(plan: Plan, request: Request, batch: int, levels: int = 0) -> Memory:
    """The same of a request, found once for all that are alike. Each level takes as much as the second."""
    if levels > 2:
        one, two = (_needed(plan, request, batch, few) for few in (1, 2))
        return one.grown(two, levels - 1)
    longest = max((n.time_constant for n in plan.circuit.arrays.values() if not n.clamped), default=1.0)
    key = (
        longest, batch, levels, request.samples, request.engine, request.noise, request.settle_bits,
        request.local_tolerance, request.growing, request.collocation_points, request.elements is None,
        request.duration, request.read_window,
    )  # fmt: skip
    if key not in plan.needs:
        stop = float(request.read_window or request.duration or math.inf)
        plan.needs[key] = needed(plan, request, batch, longest, stop, levels)
    found: Memory = plan.needs[key]
    return found


def check_memory(plan: Plan, request: Request, batch: int, *, levels: int = 0) -> dict[str, int]:
    """Raises Error for a run that does not fit. Returns what its statistics say of it: nothing where a cell does what
    `shadow.py` does not know, or where weights pass by or several devices share them.

    levels: of noise that march side by side (`levels.py`); 0: a run of its own.
    """
    if not plan.resident:
        return {}
    try:
        memory = _needed(plan, request, batch, levels)
    except Unpredicted as problem:
        log.info("memory of %r not predicted: %s", plan.circuit.name, problem)
        return {}
    try:
        check_room(plan.circuit.name, memory, plan, plan.backend)
    except Error:
        if not plan.graphs:
            raise
        plan.graphs.clear()  # a recorded run has memory of its own
        check_room(plan.circuit.name, memory, plan, plan.backend)
    return {"predicted_bytes": memory.total}
