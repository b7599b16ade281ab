"""A circuit, or a tile or block of it, as a SPICE netlist that runs as it stands (DESIGN §7).

    title, what it is and how to run it, the map from our names to nodes
    subcircuits        one for each kind of cell in use
    inputs             V sources, or B sources that follow recorded waveforms
    node units         array by array
    terms              term by term: couplings as one G line each
    heat               if asked: a node for each term that integrates the power its elements turn to heat
    analysis           options, transient from the initial voltages, what to save and print

Level `behavioural`: exactly the emulator's law in volts, amperes, seconds. Level `device`: transistors, with a supply,
buffers and conveyors (docs/transistors.md). Every line about a cell is written by that cell; here they are only put in
order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.cells import parts
from ..circuits.cells.mos.design import MADE, Transistors
from ..circuits.cells.mos.sheet import DeviceSheet
from ..circuits.cells.spice import Sheet
from ..circuits.chip import Chip, circuit_of
from ..circuits.circuit import Circuit
from ..circuits.errors import Error, shown
from ..circuits.waveforms import PiecewiseLinear
from ..circuits.words import counted
from ..emulator.files import check_target, write_text
from ..emulator.run import operating_point
from .bench import Bench, set_up
from .dialects import CHARGE_SHARE, DIALECTS, MANY, Dialect
from .heat import power_at
from .names import comment, name_table, node_names
from .selection import Block, Selection, Tile, parse_selection

Array = Any
LEVELS = ("behavioural", "device")
METER_CAPACITANCE = 49e-15  # farads, on which heat is integrated to about 1 V
PRINTED = 8  # voltages that a run in batch mode prints


@dataclass(frozen=True)
class Netlist:
    """A netlist and what is needed to read its results.

    text; title; bench: circuit, inputs, initial voltages and duration it was written from; nodes: array -> names of
    its SPICE nodes; saved: arrays whose voltages a run keeps; heat: part -> (node, joules per volt of it);
    options: what `.options` says, with `max_step` in seconds; path: where it was written, if it was.
    """

    text: str = field(repr=False)
    title: str
    bench: Bench = field(repr=False)
    nodes: Mapping[str, Array] = field(repr=False)
    saved: tuple[str, ...] = field(repr=False)
    heat: Mapping[str, tuple[str, float]] = field(repr=False)
    options: Mapping[str, str | float]
    path: Path | None = None

    def __str__(self) -> str:
        return self.text


def write_netlist(
    machine: Circuit | Chip,
    path: str | Path | None = None,
    *,
    select: str | Selection | None = None,
    inputs: Mapping[str, Any] | None = None,
    position: int | None = None,
    initial: Mapping[str, Any] | None = None,
    duration: float | None = None,
    level: str = "behavioural",
    transistors: Transistors | None = None,
    energy: bool = False,
    dialect: str = "ngspice",
    options: Mapping[str, str | float] | None = None,
    overwrite: bool = False,
) -> Netlist:
    """Write a circuit or chip, or a part of it, as a netlist that `ngspice -b` runs.

    path: where to (None: only return it). select: `TERM[rows,columns]`, a prefix such as `h.0`, or None for all.
    inputs: value of each clamped array in logical units, or its waveform, one sample, as for `transient`.
    position: of a tile, the last by default. initial: logical values of free arrays at t = 0, zero by default.
    duration [s]: default until the part has settled to 8 bits. energy: integrate heat in SPICE too.
    level "device" is of `transistors`, which say the model cards, coupling units, conveyors and buffers; it saves the
    supply's current instead of heat.
    options: instead of single tight defaults, such as {"reltol": 1e-4}; `max_step` in shortest time constants.

    Raises Error for selections, positions, levels and dialects that do not exist, and unusable paths.
    """
    settings = dialect_of(dialect)
    check_level(level)
    if level == "device":
        check_transistors(transistors, energy=energy)
    elif transistors is not None:
        raise Error(f"transistors are given for level {level!r}: use level='device'")
    if path is not None:
        check_target(path, overwrite=overwrite)
    chosen = parse_selection(select, circuit_of(machine)) if isinstance(select, str) else select
    if chosen is not None and not isinstance(chosen, Tile | Block):
        raise Error(f"select is {shown(select)}: write TERM[rows,columns], or a prefix such as h.0")
    bench = set_up(machine, chosen, inputs, position=position, initial=initial, duration=duration)
    netlist = compose(bench, settings, transistors, energy=energy, options=options)
    if path is None:
        return netlist
    write_text(path, netlist.text, overwrite=overwrite)
    return replace(netlist, path=Path(path))


def check_level(level: str) -> None:
    """Raises Error for a level that does not exist."""
    if not checks.among(level, LEVELS):
        raise Error(f"level {shown(level)} is unknown: use {' or '.join(repr(known) for known in LEVELS)}")


def check_transistors(transistors: Transistors | None, *, energy: bool) -> None:
    """Raises Error where a netlist of level device lacks its transistors, or is asked for heat part by part."""
    if transistors is None:
        raise Error("level 'device' needs transistors: give model cards and a characterised unit, transistors=…")
    checks.made("transistors", transistors, Transistors, MADE)
    if energy:
        raise Error("heat by part is of level 'behavioural': at level 'device' integrate the supply's current, i(vvdd)")


def dialect_of(name: str) -> Dialect:
    """The dialect of that name. Raises Error if there is none."""
    if not checks.among(name, DIALECTS):
        raise Error(f"dialect {shown(name)} is unknown: use {' or '.join(repr(known) for known in DIALECTS)}")
    return DIALECTS[name]


def compose(
    bench: Bench,
    dialect: Dialect,
    transistors: Transistors | None = None,
    *,
    energy: bool = False,
    options: Mapping[str, str | float] | None = None,
) -> Netlist:
    """The netlist of what stands on a bench, in transistors if they are given."""
    circuit = bench.circuit
    names = node_names(circuit)
    sheet = Sheet(circuit, names) if transistors is None else DeviceSheet(circuit, names, transistors=transistors)
    sources = _inputs(bench, sheet, dialect)
    units, terms = _nodes(sheet), _terms(sheet)
    heat, meters = _heat(bench, sheet) if energy else ([], {})
    tight = dialect.options if len(units) + len(terms) <= MANY else dialect.large
    wanted = checks.mapping("options", options, "give a mapping {option: value}, such as {'reltol': 1e-5}")
    settings = dict(tight) | {"chgtol": CHARGE_SHARE * bench.smallest_charge} | sheet.options | dict(wanted)
    step = float(settings.pop("max_step")) * bench.shortest
    saved = tuple(node.name for node in circuit.arrays.values() if not node.clamped and sheet.shows(node))
    drivers = sheet.drivers()
    title = f"dsmachine: {comment(bench.title)}"
    sections = [
        [title],
        _about(bench, names, dialect, sheet.about),
        _section("models", dialect.models(transistors.models.text) if transistors else []),
        _section("supply and bias", sheet.supplies()),
        _section("cells", "\n".join(sheet.subcircuits.values()).split("\n") if sheet.subcircuits else []),
        _section("inputs", sources),
        _section("node units", units),
        _section("terms", terms),
        _section("drivers: buffers, and both sides of inputs", drivers),
        _section("heat: 1 V of each node below is the energy it says", heat),
        _section(
            "analysis", _analysis(bench, sheet, dialect, settings, step, saved, [node for node, _ in meters.values()])
        ),
        [".end", ""],
    ]
    text = "\n".join(line for section in sections for line in section)
    return Netlist(text, title, bench, names, saved, meters, settings | {"max_step": step})


def _section(title: str, lines: list[str]) -> list[str]:
    return ["*", f"* ---- {title}", *lines] if lines else []


def _about(bench: Bench, names: Mapping[str, Array], dialect: Dialect, level: str) -> list[str]:
    free = sum(node.count for node in bench.circuit.arrays.values() if not node.clamped)
    lines = [
        f"{level} netlist by dsmachine, for {dialect.name}: {dialect.command} FILE",
        f"{counted(free, 'node')}, {counted(len(bench.circuit.terms), 'term')}, {bench.duration:.6g} s from the "
        "initial voltages",
        "C dv/dt = limited sum of currents - g(v) v; currents flow into a node's conveyor input, <node>:x",
        *(comment(note) for note in bench.notes),
        "names, ours = SPICE's:",
        *(f"  {row}" for row in name_table(names)),
    ]
    return [f"* {line}" for line in lines]


# --- sections -------------------------------------------------------------------------------------------


def _inputs(bench: Bench, sheet: Sheet, dialect: Dialect) -> list[str]:
    lines: list[str] = []
    for node in bench.circuit.inputs():
        label = sheet.prefix("")
        value, unit = bench.inputs[node.name], bench.circuit.units(node.name)
        here = sheet.present(node.name)
        lines.append(f"* {comment(node.name)}")
        if not isinstance(value, PiecewiseLinear):
            volts = np.broadcast_to(np.asarray(value, float) * unit, node.shape)[here]
            pairs = enumerate(zip(sheet.names[node.name][here], volts, strict=True))
            lines += [dialect.constant(f"{label}{n}", name, v) for n, (name, v) in pairs]
            continue
        waves = (np.asarray(value.values, float) * unit)[:, here]
        for n, (name, wave) in enumerate(zip(sheet.names[node.name][here], waves.T, strict=True)):
            if np.ptp(wave) == 0:
                lines.append(dialect.constant(f"{label}{n}", name, wave[0]))
            else:
                lines += dialect.waveform(f"{label}{n}", name, value.times, wave, bench.duration)
    return lines


def _nodes(sheet: Sheet) -> list[str]:
    lines: list[str] = []
    for node in sheet.circuit.arrays.values():
        if not node.clamped:
            standing = np.asarray(sheet.circuit.standing_load(node.name))
            layer = f", layer {comment(node.layer)}" if node.layer else ""
            lines += [f"* {comment(node.name)}{layer}", *sheet.node(node, standing)]
    return lines


def _terms(sheet: Sheet) -> list[str]:
    lines: list[str] = []
    for term in sheet.circuit.terms.values():
        reads = " and ".join(comment(view.array) for view in term.sources)
        route = f"{reads} -> " if reads else "-> "
        lines += [f"* {comment(term.name)} ({term.label}): {route}{comment(term.target)}", *sheet.term(term)]
    return lines


def _heat(bench: Bench, sheet: Sheet) -> tuple[list[str], dict[str, tuple[str, float]]]:
    """Lines that integrate each part's heat on a capacitor of 49 fF, and (node, joules per volt) of each part."""
    inputs = {name: _at_end(value, bench) for name, value in bench.inputs.items()}
    power = power_at(operating_point(bench.circuit, inputs), inputs)
    lines, meters = [], {}
    largest = max(power.values(), default=0.0) or 1e-9
    for number, (part, cell) in enumerate(parts(bench.circuit).items(), start=1):
        joules = max(power[part], 1e-3 * largest) * bench.duration
        node = f"heat:{number}"
        written = cell.spice_heat(sheet, node, METER_CAPACITANCE / joules)
        if written:
            lines += [f"* {comment(part)}: {joules:.6g} J", *written, f"Cheat{number} {node} 0 {METER_CAPACITANCE:g}"]
            meters[part] = (node, joules)
    return lines, meters


def _at_end(value: Any, bench: Bench) -> Array:
    return value.at(np.array([bench.duration]))[0] if isinstance(value, PiecewiseLinear) else value


def _analysis(
    bench: Bench,
    sheet: Sheet,
    dialect: Dialect,
    options: Mapping[str, str | float],
    step: float,
    saved: tuple[str, ...],
    meters: list[str],
) -> list[str]:
    circuit = bench.circuit
    lines = [*dialect.option_lines(options), dialect.analysis(bench.shortest, bench.duration, step, sheet.start)]
    given = dict(bench.initial)
    if sheet.start == "op":  # transistors have their inner nodes' rest from the operating point
        given = {name: given.get(name, 0.0) for name in saved}
    for name, value in given.items():
        here = sheet.present(name)
        volts = (np.broadcast_to(np.asarray(value, float), here.shape) * circuit.units(name))[here]
        lines += dialect.initial(*sheet.initial(sheet.names[name][here], volts))
    nodes = [name for array in saved for name in sheet.names[array][sheet.present(array)].tolist()]
    last = sheet.names[saved[-1]][sheet.present(saved[-1])].tolist()
    return [*lines, *dialect.save([*nodes, *meters], sheet.currents), dialect.print(last[:PRINTED])]
