"""``dsmachine crosscheck MODEL --tile … | --block …``: does ngspice find the same voltages?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .. import Error
from ..circuits.words import counted
from ._common import (
    JsonOption,
    OverwriteOption,
    check_output_folder,
    results_console,
    stdout_kept_for_json,
    write_json,
)
from ._options import (
    ActivationOption,
    AllowUnstableOption,
    CalibrationOption,
    ChipSeedOption,
    CouplingOption,
    DeviceCardOption,
    InputResistanceOption,
    LeakageOption,
    ModelArgument,
    PelgromOption,
    SetOption,
    SoftmaxClampOption,
    SoftmaxGainOption,
    SoftmaxOption,
    SpiceModelsOption,
    TaylorOrderOption,
    TechnologyOption,
    TrimOption,
    card_of,
    parse_trim,
    quantity,
    technology_of,
)
from ._part import (
    BlockOption,
    ChipOptions,
    ConveyorOption,
    LevelOption,
    PartPromptOption,
    PositionOption,
    TileOption,
    chosen,
    mapped_part,
    transistors_of_level,
)
from ._progress import stage_progress

if TYPE_CHECKING:
    from ..netlists.crosscheck import CrossCheck

FAILED = 1
RESISTOR = "is ngspice there\nV1 a 0 1\nR1 a 0 1\n.tran 1n 2n\n.end\n"


def crosscheck(
    model: ModelArgument,
    calibration: CalibrationOption = None,
    tile: TileOption = None,
    block: BlockOption = None,
    prompt: PartPromptOption = None,
    position: PositionOption = None,
    level: LevelOption = "behavioural",
    conveyor: ConveyorOption = "ideal",
    spice_models: SpiceModelsOption = None,
    limit: Annotated[float, quantity("1", "NRMSE of the worst array that passes")] = 1e-4,
    energy: Annotated[bool, typer.Option("--energy", help="Compare dissipated joules too, to 1e-3.")] = False,
    engine: Annotated[str, typer.Option(help="pyspice (libngspice), batch (ngspice -b) or neospice.")] = "pyspice",
    timeout: Annotated[float, quantity("s", "What ngspice may take")] = 600.0,
    technology: TechnologyOption = "cmos45",
    settings: SetOption = None,
    softmax: SoftmaxOption = None,
    taylor_order: TaylorOrderOption = None,
    activation: ActivationOption = "tanh-pair",
    coupling: CouplingOption = "buffered",
    device_card: DeviceCardOption = None,
    pelgrom: PelgromOption = False,
    trim: TrimOption = "none",
    chip_seed: ChipSeedOption = 0,
    input_resistance: InputResistanceOption = 0.0,
    leakage: LeakageOption = False,
    softmax_clamp: SoftmaxClampOption = None,
    softmax_gain: SoftmaxGainOption = 1.0,
    allow_unstable: AllowUnstableOption = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for netlist, log and plot, kept if it passes too.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a part of a model with ngspice.

    Both get the same inputs. Exit code 1 if they differ by more than the limit.
    """
    select = chosen(tile, block)
    if not limit > 0:
        raise Error(f"--limit {limit} lets nothing pass: give a number above 0")
    if not timeout > 0:
        raise Error(f"--timeout {timeout} leaves ngspice no time: give a number above 0")
    if output is not None:
        check_output_folder(output, overwrite=overwrite)
    card = card_of(device_card)
    transistors = transistors_of_level(level, card, spice_models, conveyor)
    devices = ChipOptions(pelgrom, parse_trim(trim), chip_seed)
    options = {
        "technology": technology_of(technology, settings),
        "softmax": softmax, "order": taylor_order, "activation": activation,
        "coupling": coupling, "device_card": card,
        "input_resistance": input_resistance, "leakage": leakage,
        "softmax_clamp": softmax_clamp, "softmax_gain": softmax_gain, "allow_unstable": allow_unstable,
    }  # fmt: skip
    with stdout_kept_for_json(as_json):
        found = _check(
            mapped=(model, calibration, prompt, select, position, options, devices),
            tile=tile is not None,
            level=level,
            transistors=transistors,
            limit=limit,
            energy=energy,
            engine=engine,
            timeout=timeout,
            folder=output,
            keep=output is not None,
        )
    if as_json:
        write_json(summary(found))
    else:
        _show(results_console(), found)
    if not found.passed:
        raise typer.Exit(FAILED)


def _check(mapped: tuple[Any, ...], *, tile: bool, engine: Any, **options: Any) -> CrossCheck:
    from .. import crosscheck as check
    from ..netlists.ngspice import run_netlist

    run_netlist(RESISTOR, engine=engine)  # asked before any work: is it installed?
    with stage_progress() as stage:
        stage("calibrate and map")
        part = mapped_part(*mapped, tile=tile)
        return check(
            part.machine, select=part.select, inputs=part.inputs, position=part.position, engine=engine,
            told=lambda what, share: stage.done(f"{what}, {part.select}", share), **options,
        )  # fmt: skip


def summary(found: CrossCheck) -> dict[str, Any]:
    """What --json prints."""
    return {
        "title": found.title,
        "passed": found.passed,
        "nrmse": found.nrmse,
        "limit": found.limit,
        "worst": found.worst,
        "by_array": found.by_array,
        "energy_ratio": found.energy_ratio,
        "energy_limit": found.energy_limit,
        "nodes": found.nodes,
        "points": found.points,
        "duration_s": found.duration,
        "engine": found.engine,
        "version": found.version,
        "options": found.options,
        "tolerance": found.tolerance,
        "seconds": found.seconds,
        "netlist": found.netlist,
        "log": found.log,
        "plot": found.picture,
    }


def _show(console: Console, found: CrossCheck) -> None:
    verdict = "agrees with" if found.passed else "DISAGREES with"
    rows = {
        "part": f"{found.title}: {counted(found.nodes, 'node')}",
        "verdict": f"{verdict} {found.version} ({found.engine})",
        "NRMSE": f"{found.nrmse:.2g} in {found.worst}, limit {found.limit:g}",
    }
    if found.energy_ratio is not None:
        rows["energy"] = f"{found.energy_ratio - 1:+.2g} of what ngspice dissipates, limit {found.energy_limit:g}"
    rows["time"] = f"{found.duration * 1e9:.0f} ns in {counted(found.points, 'point')}"
    if found.netlist is not None:
        rows["kept"] = str(found.netlist.parent)
    for name, text in rows.items():
        console.print(f"{name:<8} {text}", soft_wrap=True)
