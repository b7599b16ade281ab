"""A selection on its bench: the part as a circuit, the inputs it sees there, its initial voltages, how long it runs.

Inputs that the part's surroundings drove are recorded from a run of everything upstream of them, and replaced by
straight lines between knots that follow the record to `RECORD_ERROR` of full scale. Both sides of a cross-check get
these same lines, so that the recording's error is no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.cells import NodeArray
from ..circuits.chip import Chip, circuit_of
from ..circuits.circuit import Circuit
from ..circuits.errors import Error
from ..circuits.waveforms import PiecewiseLinear, Steps
from ..emulator.observers import Probe
from ..emulator.run import Run, transient
from .selection import Selection, acting, part_of, upstream

Array = Any
RECORD_ERROR = 1e-4  # share of full scale
DENSITY = 32  # samples of an element from which knots are chosen
EDGE = 1e-4  # width of a step in SPICE, share of the shortest time constant


@dataclass(frozen=True)
class Bench:
    """What is written and compared.

    circuit: the part. inputs: each clamped array's value, logical, (*shape) or PiecewiseLinear with values (T, *shape).
    initial: logical values of free arrays at t = 0 (absent: 0). duration [s]. title: one line for people.
    """

    circuit: Circuit
    inputs: dict[str, Any]
    initial: dict[str, Array]
    duration: float
    title: str
    notes: tuple[str, ...] = field(default=())

    @property
    def shortest(self) -> float:
        """Shortest C/g₀ [s] of the part's node units."""
        return min(float(np.min(node.time_constants)) for node in node_units(self.circuit))

    @property
    def smallest_charge(self) -> float:
        """Smallest C·V [C] of a full-scale node, array by array (each with its median node)."""
        units = node_units(self.circuit)
        return min(float(np.min(node.capacitance)) * float(np.median(node.full_scale)) for node in units)


def node_units(circuit: Circuit) -> list[NodeArray]:
    """The free arrays, without tails, which are faster and smaller; those if there is nothing else."""
    free = [node for node in circuit.arrays.values() if not node.clamped]
    return [node for node in free if not node.is_inner] or free


def set_up(
    machine: Circuit | Chip,
    selection: Selection | None,
    inputs: Mapping[str, Any] | None,
    *,
    position: int | None = None,
    initial: Mapping[str, Any] | None = None,
    duration: float | None = None,
) -> Bench:
    """The selection (None: all) of a circuit or chip on its bench.

    inputs: as for `transient`, one sample. duration [s]: default until the part has settled to 8 bits.
    """
    whole = circuit_of(machine)
    if duration is not None:
        checks.number("duration", duration, "it must be positive", above=0)
    inputs = checks.mapping("inputs", inputs, "give a mapping {array: values} of one sample")
    initial = checks.mapping("initial values", initial, "give a mapping {array: values} of one sample")
    if selection is None and position is not None:
        raise Error(f"position {position} without a tile: name a tile, or leave it out")
    part = acting(whole) if selection is None else part_of(whole, selection, position)
    if not any(not node.clamped for node in part.arrays.values()):
        raise Error(f"circuit {part.name!r} has no free nodes: there is nothing to write")
    given = {name: _one_sample(name, value, whole) for name, value in inputs.items()}
    start = {name: _one_sample(name, value, whole) for name, value in initial.items()}
    values, notes = _inputs(whole, part, given, start, duration)
    held = {name: value for name, value in start.items() if name in part.arrays and not part.arrays[name].clamped}
    return Bench(
        part, values, held, duration or settling(part, values, held), _title(whole, selection, position), notes
    )


def _title(whole: Circuit, selection: Selection | None, position: int | None) -> str:
    what = f"circuit {whole.name}" if selection is None else f"{selection} of {whole.name}"
    return what if position is None else f"{what} at position {position}"


def _one_sample(name: str, value: Any, circuit: Circuit) -> Any:
    """A value without batch axis; waveforms as straight lines (T, *shape)."""
    if name not in circuit.arrays:
        return value  # the solver says what is wrong
    shape = circuit.arrays[name].shape
    if hasattr(value, "at"):
        return value
    value = np.asarray(value, float)
    if value.ndim == len(shape) + 1:
        if len(value) != 1:
            raise Error(f"input {name!r} holds a batch of {len(value)}: a netlist is of one sample, choose it")
        value = value[0]
    return value


def settling(part: Circuit, inputs: Mapping[str, Any], initial: Mapping[str, Array]) -> float:
    """Seconds until the part has settled to 8 bits, or until the solver gives up waiting."""
    run = transient(part, inputs, initial=initial or None, tolerance=1e-3, precision="float64")
    return float(run.settling_time[0]) if run.settled and run.settling_time is not None else run.duration


# --- inputs ---------------------------------------------------------------------------------------------


def _inputs(
    whole: Circuit, part: Circuit, given: Mapping[str, Any], start: Mapping[str, Any], duration: float | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values of the part's clamped arrays, recorded where the machine drives them; and what to say about it."""
    wanted = {node.name for node in whole.inputs()}
    for name in given:
        if name not in wanted:
            raise Error(f"input {name!r} is not a clamped array of {whole.name!r}: it has {sorted(wanted) or 'none'}")
    cut = [node.name for node in part.inputs() if not whole.arrays[node.name].clamped]
    values = {node.name: given[node.name] for node in part.inputs() if node.name in given}
    notes: tuple[str, ...] = ()
    if cut:
        values |= record(upstream(whole, cut), cut, given, start, duration)
        notes = (f"recorded from a run of the whole machine: {', '.join(cut)}",)
    missing = sorted({node.name for node in part.inputs()} - set(values))
    if missing:
        raise Error(f"input {missing[0]!r} of {whole.name!r} has no value: pass inputs={{{missing[0]!r}: …}}")
    return {name: _only(part, name, _straight(part, value)) for name, value in values.items()}, notes


def record(
    source: Circuit, names: list[str], inputs: Mapping[str, Any], initial: Mapping[str, Any], duration: float | None
) -> dict[str, PiecewiseLinear]:
    """Waveforms of some arrays while `source` relaxes, as straight lines."""
    probe = Probe(names, density=DENSITY)
    held = {name: value for name, value in initial.items() if name in source.arrays}
    fed = {node.name: inputs[node.name] for node in source.inputs() if node.name in inputs}
    _: Run = transient(
        source, fed, initial=held or None, duration=duration, tolerance=1e-5, precision="float64", observers=[probe]
    )
    found = {}
    for name in names:
        times, x = probe.times(name), probe.volts(name)[:, 0] / source.units(name)
        knots = choose_knots(times, (x / source.full_scale(name)).reshape(len(times), -1), RECORD_ERROR)
        found[name] = PiecewiseLinear(times[knots], x[knots])
    return found


def choose_knots(times: Array, values: Array, error: float) -> Array:
    """Indices of few samples (T, n) between which straight lines pass all others within `error`.

    Each line reaches as far as it can: its length is doubled until it misses, then bisected.
    """
    last, knots = len(times) - 1, [0]
    reach = 1
    while knots[-1] < last:
        begin = knots[-1]
        good, bad = 1, last - begin + 1
        step = max(reach, 2)
        while good + 1 < bad:
            trial = min(step, bad - 1) if step > good else (good + bad) // 2
            if _misses(times, values, begin, begin + trial, error):
                bad = trial
            else:
                good = trial
            step = 2 * good if bad > last - begin else (good + bad) // 2
        knots.append(begin + good)
        reach = good
    return np.array(knots)


def _misses(times: Array, values: Array, begin: int, end: int, error: float) -> bool:
    share = (times[begin : end + 1] - times[begin]) / (times[end] - times[begin])
    line = values[begin] + share[:, None] * (values[end] - values[begin])
    return bool(np.abs(line - values[begin : end + 1]).max() > error)


def _straight(part: Circuit, value: Any) -> Any:
    """A waveform as straight lines between knots; steps get edges of finite width."""
    if not hasattr(value, "at") or isinstance(value, PiecewiseLinear):
        return value
    if not isinstance(value, Steps):
        raise Error(f"waveform {type(value).__name__} has no form in SPICE: use PiecewiseLinear or Steps")
    edge = EDGE * min(float(np.min(node.time_constants)) for node in node_units(part))
    rises, levels = np.asarray(value.times, float)[1:], np.repeat(np.asarray(value.values, float), 2, axis=0)
    if not len(rises):
        return PiecewiseLinear(np.array([0.0, edge]), levels)
    edges = np.stack([rises - edge / 2, rises + edge / 2], axis=1).reshape(-1)
    return PiecewiseLinear(np.concatenate([[0.0], edges]), levels[:-1])


def _only(part: Circuit, name: str, value: Any) -> Any:
    """A value in which the nodes that the part lacks are 0."""
    node = part.arrays[name]
    if not isinstance(value, PiecewiseLinear):
        return value * node.present
    values = value.values
    if values.ndim == len(node.shape) + 2:
        if values.shape[1] != 1:
            raise Error(f"input {name!r} holds a batch of {values.shape[1]}: a netlist is of one sample, choose it")
        values = values[:, 0]
    return PiecewiseLinear(value.times, values * node.present)
