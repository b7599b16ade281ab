"""``dsmachine netlist MODEL --tile … | --block …``: a part of a model as SPICE that runs as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..circuits.words import counted
from ..emulator.files import check_target
from ._common import JsonOption, OverwriteOption, results_console, stdout_kept_for_json, write_json
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


def netlist(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="The netlist to write.", show_default=False)],
    calibration: CalibrationOption = None,
    tile: TileOption = None,
    block: BlockOption = None,
    prompt: PartPromptOption = None,
    position: PositionOption = None,
    level: LevelOption = "behavioural",
    conveyor: ConveyorOption = "ideal",
    spice_models: SpiceModelsOption = None,
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
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a part of a model as a SPICE netlist.

    It runs as it stands with ngspice -b.
    """
    from ..netlists.writer import write_netlist

    select = chosen(tile, block)
    check_target(output, overwrite=overwrite)
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
    with stdout_kept_for_json(as_json), stage_progress() as stage:
        stage("calibrate and map")
        part = mapped_part(model, calibration, prompt, select, position, options, devices, tile=tile is not None)
        stage(f"run and write {part.select}")
        written = write_netlist(
            part.machine, output, select=part.select, inputs=part.inputs, position=part.position, level=level,
            transistors=transistors, overwrite=overwrite,
        )  # fmt: skip
    bench = written.bench.circuit
    nodes = sum(node.count for node in bench.arrays.values() if not node.clamped)
    if as_json:
        write_json(
            {
                "output": output,
                "title": written.title,
                "prompt": part.prompt,
                "arrays": list(written.saved),
                "terms": list(bench.terms),
                "nodes": nodes,
                "duration_s": written.bench.duration,
                "options": written.options,
                "bytes": len(written.text.encode()),
            }
        )
        return
    console = results_console()
    console.print(
        f"{output}: {select}, {counted(nodes, 'node')}, {counted(len(bench.terms), 'term')}, "
        f"on the prompt {part.prompt!r}",
        soft_wrap=True,
    )
    console.print(f"run it: ngspice -b {output}", soft_wrap=True)
