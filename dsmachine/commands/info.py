"""``dsmachine info MODEL``: the circuit that a model becomes, before anything is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from .. import Error
from ..circuits.words import counted
from ._common import JsonOption, print_table, results_console, stdout_kept_for_json, write_json
from ._kept import show_kept
from ._options import (
    ActivationOption,
    AllowUnstableOption,
    CalibrationOption,
    CouplingOption,
    DeviceCardOption,
    InputResistanceOption,
    ModelArgument,
    PositionsOption,
    SetOption,
    SoftmaxClampOption,
    SoftmaxOption,
    TaylorOrderOption,
    TechnologyOption,
    TokensOption,
    card_of,
    positions_of,
    technology_of,
)
from ._progress import stage_progress

if TYPE_CHECKING:
    from ..circuits.circuit import Circuit


RUN_SUFFIXES = (".h5", ".hdf5")


def info(
    context: typer.Context,
    model: ModelArgument,
    calibration: CalibrationOption = None,
    positions: PositionsOption = None,
    technology: TechnologyOption = "cmos45",
    settings: SetOption = None,
    softmax: SoftmaxOption = None,
    taylor_order: TaylorOrderOption = None,
    activation: ActivationOption = "tanh-pair",
    coupling: CouplingOption = "buffered",
    device_card: DeviceCardOption = None,
    input_resistance: InputResistanceOption = 0.0,
    softmax_clamp: SoftmaxClampOption = None,
    tokens: TokensOption = "parallel",
    allow_unstable: AllowUnstableOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the circuit of a model, or what a file holds.

    Arrays, nodes and devices by layer, volts per logical unit, time constants, score range, lost bits, depth in stages;
    --json has every array and term. Of a file (.h5) of a run, a training,
    a sweep or a device card, show what made it and what came out.
    """
    from .. import load_model, map_model, memory_needed
    from ..circuits.units import engineering
    from ..describe import describe
    from ..tasks import TOLERANCE

    if model.endswith(RUN_SUFFIXES):
        _refuse_of_files(model, context)
        if not show_kept(model, as_json):
            _show_run(model, as_json)
        return
    with stdout_kept_for_json(as_json), stage_progress() as stage:
        stage("calibrate and map")
        loaded = load_model(model, calibration=calibration)
        circuit = map_model(
            loaded,
            positions_of(loaded, positions),
            technology=technology_of(technology, settings),
            softmax=softmax,
            order=taylor_order,
            activation=activation,
            coupling=coupling,
            device_card=card_of(device_card),
            input_resistance=input_resistance,
            softmax_clamp=softmax_clamp,
            tokens=tokens,
            allow_unstable=allow_unstable,
        )
        stage("count")
        memory = memory_needed(circuit, tolerance=TOLERANCE)
        found = {"parameters": loaded.parameters, **describe(circuit), "memory_bytes": vars(memory)}
    if as_json:
        write_json(found)
    else:
        _show(results_console(), circuit, found)
        most = f"{engineering(getattr(memory, memory.largest), 'B')} of it {memory.largest}"
        results_console().print(
            f"memory          {engineering(memory.total, 'B')} to anneal one prompt, {most}", soft_wrap=True
        )


def _refuse_of_files(path: str, context: typer.Context) -> None:
    """Raises Error for an option that says how a model is mapped, where there is none to map: whatever is given but
    the file and --json."""
    for option in context.command.params:
        source = context.get_parameter_source(option.name) if option.name else None
        if option.name not in ("model", "as_json") and source is not None and source.name == "COMMANDLINE":
            raise Error(f"{option.opts[0]} would be ignored: {path} is no model but a result, leave it out")


def _show_run(path: str, as_json: bool) -> None:
    """The header of a run file and, of an annealed model, its summary."""
    from .. import load_run
    from ..circuits.units import engineering

    run = load_run(path)
    summary = run.extra.get("summary", {})
    if as_json:
        about = {"circuit": run.name, "analysis": run.analysis, "written": run.written, "versions": run.versions}
        reached = {"unfinished": run.unfinished, "duration_s": run.duration}
        write_json({**about, **reached, "notes": run.notes, "statistics": run.statistics, "summary": summary})
        return
    console = results_console()
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    rows = {"run": f"{run.name}, {run.analysis}, written {run.written}", "versions": versions}
    rows["simulated"] = (
        f"{engineering(run.duration, 's')}, {counted(len(run.outputs), 'array')}, {run.statistics['engine']}"
    )
    if run.unfinished:
        rows["unfinished"] = "stopped there; the command that made it goes on with --resume"
    if run.settled and run.settling_time is not None:
        rows["settled"] = engineering(float(run.settling_time.max()), "s")
    if summary:
        rows["prediction"] = f"{summary['prediction']!r} after {summary['prompt']!r}"
        rows["energy"] = engineering(summary["energy_j"]["total"], "J")
    for name, text in rows.items():
        console.print(f"{name:<12} {text}", soft_wrap=True)


def _show(console: Console, circuit: Circuit, found: dict[str, Any]) -> None:
    from ..circuits.units import engineering
    from ..describe import score_line

    card = found["device_card"]
    made_of = ""
    if card is not None:
        made_of = f" of transistors, {card['unit']} {card['width'] * 1e9:.4g} nm × {card['length'] * 1e6:.4g} µm"
    console.print(
        f"{circuit.name}: {counted(found['positions'], 'position')} on {found['technology']}, "
        f"softmax {found['softmax']}, GELU {found['activation']}, coupling {found['coupling']}{made_of}\n",
        soft_wrap=True,
    )
    print_table(console, _table(circuit))
    console.print()
    print_table(console, _units(found["unit_v"]))
    times = found["time_constant_s"]
    lost = found["lost_bits"]
    said = ", ".join(f"{what} {found['counts'][what]:,}" for what in ("nodes", "couplings", "products"))
    console.print(f"\nparameters      {found['parameters']:,}")
    console.print(f"counts          {said}", soft_wrap=True)
    console.print(f"time constants  {engineering(times['shortest'], 's')} to {engineering(times['longest'], 's')}")
    if found["score_nats"] is not None:
        console.print(f"scores          {score_line(found['score_nats'])}", soft_wrap=True)
    worst = max(lost, key=lambda name: lost[name], default=None)
    console.print("lost bits       " + (f"{lost[worst]:.1f} at most ({worst})" if worst else "none"))
    console.print(f"depth           {found['depth']} stages, the longest way from inputs to outputs")


def _units(found: dict[str, dict[str, float]]) -> Table:
    """One row a kind of array: volts that stand for 1."""
    from ..circuits.units import engineering

    table = Table(box=None, pad_edge=False)
    table.add_column("volts that stand for 1", no_wrap=True)
    table.add_column("least", justify="right", no_wrap=True)
    table.add_column("most", justify="right", no_wrap=True)
    for kind, unit in found.items():
        table.add_row(kind, engineering(unit["least"], "V"), engineering(unit["most"], "V"))
    return table


def _table(circuit: Circuit) -> Table:
    """One row a layer."""
    from ..circuits.units import engineering
    from ..describe import counts, depths

    table = Table(box=None, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for title in ("arrays", "nodes", "couplings", "products", "other", "stages", "τ", "lost bits"):
        table.add_column(title, justify="right", no_wrap=True)
    depth, lost = depths(circuit), circuit.notes["lost_bits"]
    for layer in dict.fromkeys(node.layer for node in circuit.arrays.values()):
        nodes = [node for node in circuit.arrays.values() if node.layer == layer]
        names = {node.name for node in nodes}
        units = counts(circuit, [t for t in circuit.terms.values() if t.target in names], nodes)
        main = [units.pop(key) for key in ("nodes", "couplings", "products")]
        levels = {depth[name] for name in names if name in depth}
        slowest = max((node.time_constant for node in nodes if not node.clamped), default=None)
        table.add_row(
            layer or "input",
            str(len(nodes)),
            *(f"{n:,}" for n in (*main, sum(units.values()))),
            str(len(levels)),
            "" if slowest is None else engineering(slowest, "s"),
            f"{max((lost[n] for n in names if n in lost), default=0):.1f}",
        )
    return table
