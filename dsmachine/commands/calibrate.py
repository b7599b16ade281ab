"""``dsmachine calibrate MODEL``: does the model fit its volts, on text that did not set them?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..circuits.words import counted
from ._common import JsonOption, print_table, results_console, stdout_kept_for_json, write_json
from ._options import (
    ActivationOption,
    AllowUnstableOption,
    CalibrationOption,
    CouplingOption,
    DeviceCardOption,
    InputResistanceOption,
    LeakageOption,
    ModelArgument,
    PositionsOption,
    SetOption,
    SoftmaxClampOption,
    SoftmaxGainOption,
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
    from ..range_report import CalibrationReport
    from ..range_use import Use


def calibrate(
    model: ModelArgument,
    calibration: CalibrationOption = None,
    positions: PositionsOption = None,
    windows: Annotated[int, typer.Option(help="Pieces of calibration text to settle, side by side.")] = 8,
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Weigh every node against its noise.")] = True,
    transient: Annotated[
        bool, typer.Option("--transient/--no-transient", help="Count nodes that saturate on the way.")
    ] = True,
    technology: TechnologyOption = "cmos45",
    settings: SetOption = None,
    softmax: SoftmaxOption = None,
    taylor_order: TaylorOrderOption = None,
    activation: ActivationOption = "tanh-pair",
    coupling: CouplingOption = "buffered",
    device_card: DeviceCardOption = None,
    input_resistance: InputResistanceOption = 0.0,
    leakage: LeakageOption = False,
    softmax_clamp: SoftmaxClampOption = None,
    softmax_gain: SoftmaxGainOption = 1.0,
    tokens: TokensOption = "parallel",
    allow_unstable: AllowUnstableOption = False,
    as_json: JsonOption = False,
) -> None:
    """Report how a model fits its volts.

    Settles pieces of its calibration text that did not set them: use of every range, lost bits, saturation, noise, and
    the strongest devices; --json has every array and term.
    """
    from .. import load_model
    from ..range_report import calibration_report

    with stdout_kept_for_json(as_json), stage_progress() as stage:
        loaded = load_model(model, calibration=calibration)
        found = calibration_report(
            loaded, positions_of(loaded, positions), windows=windows,
            technology=technology_of(technology, settings), noise=noise, transient=transient, stage=stage,
            softmax=softmax, order=taylor_order, activation=activation,
            coupling=coupling, device_card=card_of(device_card),
            input_resistance=input_resistance, leakage=leakage, softmax_clamp=softmax_clamp,
            softmax_gain=softmax_gain, tokens=tokens, allow_unstable=allow_unstable,
        )  # fmt: skip
    if as_json:
        write_json(found.to_json())
    else:
        _show(results_console(), found)


def _show(console: Console, found: CalibrationReport) -> None:
    console.print(f"{found.model}: {counted(found.positions, 'position')} on {found.technology}\n", soft_wrap=True)
    print_table(console, _table(found))
    console.print()
    for name, text in found.lines().items():
        console.print(f"{name:<10} {text}", soft_wrap=True)


def _table(found: CalibrationReport) -> Table:
    """One row a kind of array, the layers together."""
    table = Table(box=None, pad_edge=False)
    table.add_column("arrays", no_wrap=True)
    for title in ("nodes", "median", "worst", "lost bits", "at rest", "on the way", "< 10 σ"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found.by_kind():
        table.add_row(*_cells(row))
    return table


def _cells(row: Use) -> list[str]:
    return [
        row.name if row.arrays == 1 else f"{row.name} × {row.arrays}",
        f"{row.nodes:,}",
        f"{row.median:.0%}",
        f"{row.worst:.0%}",
        f"{row.lost_bits:.1f}",
        f"{row.saturated:,}",
        "" if row.on_the_way is None else f"{row.on_the_way:,}",
        "" if row.quiet is None else f"{row.quiet:.1%}",
    ]
