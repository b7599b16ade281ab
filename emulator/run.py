"""`operating_point` and `transient`: a circuit or chip in, a Run out."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits.chip import Chip
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from .backend import Backend
from .inputs import batch_size, checked_inputs, starting_values
from .observers import Observer, Probe
from .operating_point import saturation, solve_operating_point
from .plan import Plan, make_plan
from .settling import SettlingWatch
from .transient import March, windows

Array = Any
LOOSER = 30.0  # accuracy="settling": tolerance on the way, as a multiple
WINDOW = 16.0  # longest window, in the circuit's longest time constant


@dataclass
class Run:
    """What a run found. Voltages are in volts, shapes (batch, *array shape); times in seconds.

    outputs: every free array's last value (operating point, or end of the transient).
    settling_time: oracle settling time of each sample (batch,), nan where it did not settle; by_array the worst
        sample's, array by array. duration: time simulated. observed: what observers recorded, by their name.
    statistics: engine, precision, elements, points, rejected, wall seconds; saturated: nodes beyond their rail's
        linear part at the operating point, by array.
    """

    circuit: Circuit
    analysis: str
    outputs: dict[str, Array]
    settling_time: Array | None = None
    by_array: dict[str, float] = field(default_factory=dict)
    duration: float = 0.0
    observed: dict[str, Any] = field(default_factory=dict)
    saturated: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether every sample settled."""
        return self.settling_time is not None and not bool(np.isnan(self.settling_time).any())

    def logical(self, name: str) -> Array:
        """An array's last value in logical units (the activation it carries)."""
        return self.outputs[name] / self.circuit.units(name)

    def __repr__(self) -> str:
        settled = "" if self.settling_time is None else f", settled at {np.nanmax(self.settling_time) * 1e9:.1f} ns"
        arrays = len(self.outputs)
        return f"Run({self.circuit.name!r}, {self.analysis}, {arrays} arrays, {self.duration * 1e9:.1f} ns{settled})"


def circuit_of(machine: Circuit | Chip) -> Circuit:
    """The circuit as this chip has it, or the ideal one."""
    return machine.circuit if isinstance(machine, Chip) else machine


def operating_point(
    machine: Circuit | Chip,
    inputs: Mapping[str, Any] | None = None,
    *,
    precision: str = "float64",
    device: str = "numpy",
) -> Run:
    """Where the machine rests: γ·v = delivered current at every node. One sweep; Newton where there are cycles.

    inputs: value of each clamped array in logical units, (*shape) or (batch, *shape).
    """
    begun = clock.perf_counter()
    plan = make_plan(circuit_of(machine), Backend(device, precision))
    x = solve_operating_point(plan, inputs or {})
    return Run(
        circuit=plan.circuit,
        analysis="op",
        outputs=_volts(plan, x),
        saturated=saturation(plan, x),
        statistics={"engine": f"{device} operating point", "precision": precision} | _wall(begun),
    )


def transient(
    machine: Circuit | Chip,
    inputs: Mapping[str, Any] | None = None,
    *,
    duration: float | None = None,
    settle_bits: float = 8,
    tolerance: float = 1e-4,
    accuracy: str = "waveform",
    initial: Mapping[str, Any] | str | None = None,
    initial_seed: int = 0,
    observers: Sequence[Observer] | None = None,
    points: int | None = None,
    elements: Array | None = None,
    precision: str = "float32",
    device: str = "numpy",
) -> Run:
    """C dv/dt = Σ I − g(v) v from a starting state, until settled (or for `duration` seconds).

    inputs: clamped arrays, logical units: (*shape), (batch, *shape) or a waveform.
    duration [s]: run exactly so long; None: until settled to `settle_bits`.
    tolerance: local error of an element, share of full scale (rms of the worst array). accuracy="settling" is
        30 × looser on the way: a contracting cascade forgets early errors.
    initial: "zero", "random" (from initial_seed) or logical values by array.
    observers: see `observers`; `points`: collocation points p of an element (default: by tolerance).
    elements: element ends [s], used by all groups as they are, without error control.
    """
    begun = clock.perf_counter()
    if accuracy not in ("waveform", "settling"):
        raise Error(f"accuracy {accuracy!r} is unknown: use 'waveform' or 'settling'")
    if not 1e-12 <= tolerance <= 0.5:
        raise Error(f"tolerance {tolerance!r} is outside 1e-12 … 0.5: it is a share of full scale")
    plan = make_plan(circuit_of(machine), Backend(device, precision))
    values = checked_inputs(plan.circuit, plan.backend, inputs or {})
    start = starting_values(plan.circuit, plan.backend, initial, initial_seed)
    batch = batch_size(values, start)
    start = {n: plan.backend.xp.broadcast_to(v, (batch, *v.shape[1:])) for n, v in start.items()}
    target = solve_operating_point(plan, inputs or {})
    watch = SettlingWatch(target, settle_bits)
    local = tolerance * (LOOSER if accuracy == "settling" else 1.0)
    seen = [watch, *(observers or [])]
    count = points or default_points(local)
    march = March(
        plan, values, start, points=count, tolerance=None if elements is not None else local, observers=seen
    )
    end = _march(plan, march, watch, values, duration, elements)
    return Run(
        circuit=plan.circuit,
        analysis="tran",
        outputs=_volts(plan, march.x),
        settling_time=watch.time,
        by_array=watch.by_array,
        duration=end,
        observed={type(o).__name__: o for o in observers or []},
        saturated=saturation(plan, target),
        statistics={
            "engine": f"{device} finite elements",
            "precision": precision,
            "points_per_element": count,
            "tolerance": tolerance,
            "accuracy": accuracy,
            **vars(march.counts),
        }
        | _wall(begun),
    )


def default_points(tolerance: float) -> int:
    """Collocation points that need the least work at a tolerance."""
    return 6 if tolerance >= 1e-4 else 8


def _march(
    plan: Plan, march: March, watch: SettlingWatch, values: Mapping[str, Any], duration: float | None, elements: Any
) -> float:
    """Run the windows; returns the time reached."""
    longest = max((s.node.time_constant for s in plan.stages), default=1.0)
    slowest = longest / min((_least_gamma(s.node) for s in plan.stages), default=1.0)
    patience = (40 + 5 * len(plan.stages)) * longest + 20 * slowest
    stop = duration if duration is not None else patience
    if elements is not None:
        ends = np.asarray(elements, float)
        for begin, end in zip([0.0, *ends[:-1]], ends, strict=True):
            march.window(float(begin), float(end) - float(begin))
        return float(ends[-1])
    breaks = [v.breakpoints for v in values.values() if hasattr(v, "breakpoints")]
    marks = np.concatenate([np.asarray(b, float) for b in breaks]) if breaks else np.zeros(0)
    last_mark = float(marks.max(initial=0.0))
    for begin, length in windows(stop, WINDOW * longest, marks):
        march.window(begin, length)
        if duration is None and begin + length >= last_mark and watch.settled:
            return begin + length
    return stop


def _least_gamma(node: Any) -> float:
    return float(node.feedback.floor) if node.feedback is not None else float(np.min(node.ratio))


def _volts(plan: Plan, x: Mapping[str, Array]) -> dict[str, Array]:
    free = [n for n, node in plan.circuit.arrays.items() if not node.clamped]
    return {n: plan.backend.host(x[n]) * plan.circuit.units(n) for n in free}


def _wall(begun: float) -> dict[str, float]:
    return {"wall_s": clock.perf_counter() - begun}


__all__ = ["Probe", "Run", "circuit_of", "operating_point", "transient"]
