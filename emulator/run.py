"""`operating_point` and `transient`: a circuit or chip in, a Run out."""

from __future__ import annotations

import copy
import logging
import math
import time as clock
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..circuits.chip import Chip
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..circuits.words import counted
from .checkpoint import Checkpoint, Keeper, case_of, checked
from .duration import latest_end, patience, run_windows
from .graphs import graph_of, remember, replayable
from .inputs import batch_size, checked_inputs, starting_values
from .noise_meter import NoiseMeter
from .observers import Aimed, Observer, Recordable, checked_observers
from .operating_point import solve_operating_point
from .pipeline import Pipeline, SharedWatch
from .plan import Plan
from .prepare import check_memory, planned
from .quickest import shortest_time_constant
from .request import TOLERANCE, Request, checked_bits
from .result import Result
from .runfile import save_run
from .settling import SettlingWatch
from .steps import Noise
from .stochastic import Stepper
from .transient import March
from .volts import Volts

Array = Any
log = logging.getLogger(__name__)


@dataclass(repr=False)
class Run(Result):
    """What a run found. Voltages are in volts, shapes (batch, *array shape); times in seconds.

    outputs: every free array's last value (operating point, or end of the transient).
    settling_time: oracle settling time of each sample (batch,), nan where it did not settle; by_array the worst
        sample's, array by array.
    noise_rms: rms deviation of each array from the noiseless operating point, share of full scale, over nodes,
        samples and the second half of the read window.
    duration: time simulated. observed: what observers recorded, by their name.
    statistics: engine, precision, elements, points, rejected, wall seconds; rests_within_bits, of its operating point,
        where it did not settle; saturated: nodes beyond their rail's linear part at the operating point, by array.
    """

    circuit: Circuit
    analysis: str
    outputs: Mapping[str, Array]
    settling_time: Array | None = None
    by_array: dict[str, float] = field(default_factory=dict)
    noise_rms: dict[str, float] = field(default_factory=dict)
    duration: float = 0.0
    observed: dict[str, Any] = field(default_factory=dict)
    saturated: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)

    def _name(self) -> str:
        return self.circuit.name

    def _unit(self, name: str) -> Array:
        return self.circuit.units(name)

    def save(self, path: str | Path, *, overwrite: bool = False, extra: Mapping[str, Any] | None = None) -> None:
        """Write a run file that `load_run` reopens; see `save_run`."""
        save_run(self, path, overwrite=overwrite, extra=extra)


def operating_point(
    machine: Circuit | Chip | Plan,
    inputs: Mapping[str, Any] | None = None,
    *,
    precision: str | None = None,
    device: str | Sequence[str] | None = None,
) -> Run:
    """Where the machine rests: γ·v = delivered current at every node. A sweep; Newton on cycles, warned of if unstable.

    machine: or what `prepare` made of it. inputs: value of each clamped array in logical units, (*shape) or
    (batch, *shape). precision: float64 unless given.
    """
    begun = clock.perf_counter()
    plan = planned(machine, precision, device, "float64")
    saturated: dict[str, int] = {}
    with plan.backend.arithmetic():
        x = solve_operating_point(plan, {} if inputs is None else inputs, saturated=saturated)
    return rested(plan, x, saturated, begun)


def rested(plan: Plan, x: Mapping[str, Array], saturated: dict[str, int], begun: float) -> Run:
    """The run whose end is the operating point x; begun: by `perf_counter`."""
    return Run(
        circuit=plan.circuit,
        analysis="op",
        outputs=Volts(plan, x),
        saturated=saturated,
        statistics={"engine": f"{_where(plan)} operating point", "precision": plan.backend.precision}
        | plan.fabrication
        | _wall(begun),
    )


def transient(
    machine: Circuit | Chip | Plan,
    inputs: Mapping[str, Any] | None = None,
    *,
    duration: float | None = None,
    settle_bits: float | None = None,
    noise: str | float = "off",
    noise_seed: int = 0,
    read_window: float | None = None,
    samples: int | None = None,
    method: str | None = None,
    tolerance: float | None = None,
    accuracy: str | None = None,
    points: int | None = None,
    elements: Array | None = None,
    step: float | None = None,
    initial: Mapping[str, Any] | str | None = None,
    initial_seed: int = 0,
    observers: Sequence[Observer] | None = None,
    precision: str | None = None,
    device: str | Sequence[str] | None = None,
    checkpoint: Checkpoint | str | Path | None = None,
    resume: str | Path | None = None,
) -> Run:
    """C dv/dt = Σ I − g(v) v + noise, from a starting state.

    machine: or what `prepare` made of it. inputs: clamped arrays, logical units: (*shape), (batch, *shape) or a
    waveform.
    initial: "zero", "random" (from initial_seed) or logical values by array. observers: see `observers`.

    Without noise the machine relaxes from zero until settled:
    duration [s]: run exactly so long; None: until settled to `settle_bits` (8; 0, with a duration: neither the
        settling nor the operating point is looked for).

    With noise="thermal" (4kTΣG at the circuit's temperature) or σ (every node's own stationary noise, share of its
    full scale) it starts at the noiseless operating point, unless `initial` is given, and is watched:
    read_window [s]: how long; default (20 + 2·arrays) of the longest time constant, noise having to come through.
    samples: runs with different noise, side by side: row s·B + b of the result is sample s of input b of B.
    noise_seed: Philox key of the noise; 0 is an ordinary seed.

    method: "elements" (default) is `transient.py`, "stepper" (default with noise) is `stochastic.py`.
    tolerance (1e-4; elements): local error of an element, share of full scale, rms of the worst array, or rounding
    accuracy (elements): "waveform"; "settling" is 30 × looser on the way: a contracting cascade forgets early errors.
    points (elements): collocation points p of an element; default by tolerance.
    elements: element ends [s], used by all groups as they are, without error control.
    step (stepper): in units of the shortest time constant C/(γ g₀); default 1/4.

    checkpoint: a run file, or a `Checkpoint`: the run as far as it got is written there every 60 s of wall time, when
        Ctrl-C stops it (Stopped, a KeyboardInterrupt) and when memory runs out (Error); at its end the finished run.
    resume: such a file of the same run, to go on from; the result is that of the uninterrupted run.

    Raises Error for an option that the engine would ignore, for a run that does not fit into memory (see
    `memory_needed`), and for a file to resume that is of another run or a finished one.
    """
    begun = clock.perf_counter()
    request = Request(
        noise, noise_seed, method, duration, settle_bits, read_window, samples, tolerance, accuracy, points, elements,
        step,
    )  # fmt: skip
    plan = planned(machine, precision, device)
    if plan.split and request.engine == "stepper":
        raise Error(f"{_shared(plan)}: the noise engine runs on one device; prepare it for one")
    if plan.split and (checkpoint or resume):
        raise Error(f"{_shared(plan)}: checkpoints are of runs on one device; prepare it for one, or leave them out")
    driven = {} if inputs is None else inputs
    with plan.backend.arithmetic():
        return _transient(
            plan, request, driven, initial, initial_seed, checked_observers(observers), begun, checkpoint, resume
        )


def _transient(
    plan: Plan,
    request: Request,
    inputs: Mapping[str, Any],
    initial: Any,
    initial_seed: int,
    seen: list[Observer],
    begun: float,
    checkpoint: Checkpoint | str | Path | None,
    resume: str | Path | None,
) -> Run:
    checkpoint = checked(checkpoint, resume, seen)
    values = checked_inputs(plan.circuit, plan.backend, inputs)
    recorded = [observer for observer in seen if isinstance(observer, Recordable)]
    uninterrupted = not checkpoint and not resume
    recordable = initial is None and recorded == seen and uninterrupted and replayable(plan, request, values)
    if recordable:
        replayed = _replayed(plan, request, values, recorded, begun)
        if replayed:
            return replayed
    given = starting_values(plan.circuit, plan.backend, initial, initial_seed) if isinstance(initial, Mapping) else {}
    predicted = check_memory(plan, request, batch_size(values, given))
    aimed = [observer for observer in seen if isinstance(observer, Aimed)]
    saturated: dict[str, int] = {}
    target = solve_operating_point(plan, values, saturated=saturated) if aimed or request.needs_rest else {}
    start = _start(plan, values, request, initial, initial_seed, target)
    batch = batch_size(values, start) * (request.samples or 1)
    start, target = _repeated(plan, start, batch), _repeated(plan, target, batch)
    run = Run(plan.circuit, "noise" if request.noisy else "tran", {}, saturated=saturated, observed=_named(seen))
    for observer in aimed:
        observer.aim(target)
    stop = latest_end(plan, request)
    watch = _watch(plan, target, request)
    meter = NoiseMeter(target, stop / 2) if request.noisy else None
    seen += [meter] if meter else []
    march = _engine(plan, values, start, target, seen, watch, request)
    run.statistics = _said(plan, request, stop) | plan.fabrication
    case = case_of(plan, request, values, (initial, initial_seed), stop, run.observed) if checkpoint or resume else {}
    parts = {"engine": march, "settling": watch, "noise": meter} | run.observed
    keeper = Keeper(checkpoint, run, {name: part for name, part in parts.items() if part}, case)
    if resume:
        keeper.resume(resume, plan.backend.xp)
    run.duration = _march(plan, march, watch, values, stop, request, keeper)
    run.outputs = Volts(plan, march.x)
    if watch:
        run.settling_time, run.by_array = watch.time, run.named("by_array", watch.by_array)
        if request.relaxes and not run.settled:
            run.statistics["rests_within_bits"] = watch.rests_within
    if meter:
        run.noise_rms = run.named("noise_rms", meter.rms)
    run.statistics |= _said(plan, request, stop) | vars(march.counts) | plan.fabrication | _wall(begun)
    run.statistics |= predicted
    _log(run, march)
    keeper.close()
    if recordable and run.settled and isinstance(march, March):
        remember(plan, request, values, recorded, march, run.duration)
    return run


def _replayed(
    plan: Plan, request: Request, values: Mapping[str, Any], observers: Sequence[Recordable], begun: float
) -> Run | None:
    """The run by the graph of an earlier one, recorded when it is first wanted; None if there is none, or it does not
    hold for these values."""
    graph = graph_of(plan, request, values, observers)
    if graph is None or not graph.run(values):
        return None
    taken = graph.taken
    run = Run(
        plan.circuit, "tran", Volts(plan, graph.ends()), graph.watch.time, graph.watch.by_array,
        duration=taken.duration, observed=_named(observers), saturated=graph.saturated,
    )  # fmt: skip
    cost = copy.deepcopy(vars(taken.counts)) | {"replayed": True}
    run.statistics |= _said(plan, request, taken.duration) | cost | plan.fabrication | _wall(begun)
    log.info("%r took %.3g s, replayed", run, run.statistics["wall_s"])
    return run


def _log(run: Run, march: March | Pipeline | Stepper) -> None:
    """What the run cost: totals, and layer by layer."""
    counts = vars(march.counts)
    totals = ", ".join(f"{name} {value:.4g}" for name, value in counts.items() if not isinstance(value, dict))
    log.info("%r took %.3g s: %s", run, run.statistics["wall_s"], totals)
    for name, each in counts.items():
        if isinstance(each, dict):
            for layer, value in each.items():
                what = name.removesuffix("by_layer").rstrip("_") or "elements"
                log.info("%s of layer %r: %d", what, layer, value)
    if within := run.statistics.get("rests_within_bits"):
        log.info("not settled: nodes are within %.1f bits; ask for fewer settle_bits, or a finer precision", within)
    for name, count in run.saturated.items():
        log.info("%r: %s at the operating point", name, counted(count, "node", "saturate"))


def _start(
    plan: Plan, inputs: Mapping[str, Any], request: Request, initial: Any, seed: int, target: Mapping[str, Array]
) -> dict[str, Array]:
    """Free arrays at t = 0: as given; the operating point for a noisy run that says nothing, which is the target where
    inputs stand still."""
    if request.noisy and initial is None:
        still = not any(hasattr(value, "at") for value in inputs.values())
        rest = target if still else solve_operating_point(plan, inputs, time=0.0)
        return {stage.name: rest[stage.name] for stage in plan.stages}
    return starting_values(plan.circuit, plan.backend, initial, seed)


def _watch(plan: Plan, target: Mapping[str, Array], request: Request) -> SettlingWatch | SharedWatch | None:
    if request.noisy or request.settle_bits == 0:
        return None
    kind = SharedWatch if plan.split else SettlingWatch
    return kind(plan, target, checked_bits(request.settle_bits))


def _engine(
    plan: Plan,
    values: Mapping[str, Any],
    start: Mapping[str, Array],
    target: Mapping[str, Array],
    seen: list[Observer],
    watch: SettlingWatch | SharedWatch | None,
    request: Request,
) -> March | Pipeline | Stepper:
    """The engine that the request needs, at the start."""
    tolerance = None if request.elements is not None else request.local_tolerance
    points, first, growing = request.collocation_points, request.first_element, request.growing
    if plan.split:
        assert not isinstance(watch, SettlingWatch)
        return Pipeline(
            plan, values, start, points=points, tolerance=tolerance, first_element=first, growing=growing,
            observers=seen, watch=watch,
        )  # fmt: skip
    assert not isinstance(watch, SharedWatch)
    seen = [*seen, watch] if watch else seen
    if request.engine == "elements":
        aims = watch.aims if watch else {}
        return March(
            plan, values, start, points=points, tolerance=tolerance, first_element=first, growing=growing,
            observers=seen, aims=aims,
        )  # fmt: skip
    noise = Noise(request.noise, request.noise_seed) if request.noisy else None
    step = (request.step or 0.25) * shortest_time_constant(plan, target)
    return Stepper(plan, values, start, step=step, noise=noise, observers=seen)


def _said(plan: Plan, request: Request, stop: float) -> dict[str, Any]:
    """The settings that a run was made with."""
    backend = plan.backend
    said: dict[str, Any] = {"precision": backend.precision}
    if request.engine == "stepper":
        said["engine"] = f"{_where(plan)} stepper"
    else:
        said |= {
            "engine": f"{_where(plan)} finite elements",
            "points_per_element": request.collocation_points,
            "tolerance": request.tolerance or TOLERANCE,
            "accuracy": request.accuracy or "waveform",
        }
    if request.noisy:
        window = {"samples": request.samples or 1, "read_window_s": stop}
        return said | {"noise": request.noise, "noise_seed": request.noise_seed} | window
    return said if request.settle_bits == 0 else said | {"settle_bits": checked_bits(request.settle_bits)}


def _shared(plan: Plan) -> str:
    return f"{plan.circuit.name!r} is prepared for {plan.devices}"


def _where(plan: Plan) -> str:
    """The devices, and how weights get there."""
    return " + ".join(plan.devices) + (" streamed" if plan.streamed else "")


def _repeated(plan: Plan, values: Mapping[str, Array], batch: int) -> dict[str, Array]:
    """Values (B, *shape) repeated to (batch, *shape): row s·B + b is row b."""
    xp = plan.backend.xp
    return {n: xp.concatenate([v] * (batch // len(v))) if len(v) < batch else v for n, v in values.items()}


def _named(observers: Sequence[Observer]) -> dict[str, Observer]:
    """Observers by the name of their class; "Probe 2" is the second of its class."""
    named: dict[str, Observer] = {}
    for observer in observers:
        name = type(observer).__name__
        count = sum(type(o).__name__ == name for o in named.values())
        named[f"{name} {count + 1}" if count else name] = observer
    return named


def _march(
    plan: Plan,
    march: March | Pipeline | Stepper,
    watch: SettlingWatch | SharedWatch | None,
    values: Mapping[str, Any],
    stop: float,
    request: Request,
    keeper: Keeper,
) -> float:
    """Run the windows that have not been; returns the time reached."""
    marks = [np.asarray(v.breakpoints, float) for v in values.values() if hasattr(v, "breakpoints")]
    last = max((float(mark.max()) for mark in marks if mark.size), default=0.0)
    until_settled = watch if request.duration is None and request.elements is None else None
    patient = patience(plan) if until_settled else math.inf
    with keeper.guard(), closing(run_windows(plan, march, marks, stop, request, keeper.windows)) as asked:
        for begin, length in asked if not keeper.ended else ():
            march.window(begin, length)
            reached = begin + length
            there = until_settled if reached >= last * (1 - 1e-9) else None
            ended = bool(there and (there.settled or reached - max(there.moved, last) > patient))
            keeper.window(reached, ended=ended)
            if ended:
                break
    return keeper.time if keeper.ended else stop


def _wall(begun: float) -> dict[str, float]:
    return {"wall_s": clock.perf_counter() - begun}
