"""``dsmachine characterize``: the device card of a coupling unit, as ngspice measures its transistors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from ..emulator.files import check_target
from ._common import JsonOption, OverwriteOption, print_table, results_console, stdout_kept_for_json, write_json
from ._options import SetOption, SpiceModelsOption, TechnologyOption, parse_set, quantity
from ._progress import stage_progress

if TYPE_CHECKING:
    from ..circuits.devices.card import DeviceCard
    from ..circuits.devices.linearity import Linearity

SHARES = (1.0, 0.5, 0.2, 0.1)  # of the largest conductance


def characterize(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The device card to write (HDF5).", show_default=False)
    ],
    unit: Annotated[str, typer.Option(help="Transistors of a coupling: single, pair or quad.")] = "pair",
    technology: TechnologyOption = "cmos45",
    spice_models: SpiceModelsOption = None,
    nfet: Annotated[str | None, typer.Option(help="Which n-channel model, where a file has several.")] = None,
    width: Annotated[
        float | None, quantity("m", "W of a transistor", default="the technology's coupling.width")
    ] = None,
    length: Annotated[
        float | None, quantity("m", "L of a transistor", default="the technology's coupling.length")
    ] = None,
    corner: Annotated[str, typer.Option(help="Corner of the technology: TT, SS or FF.")] = "TT",
    temperature: Annotated[float | None, quantity("K", "Of the chip", default="the technology's")] = None,
    vdd: Annotated[float | None, quantity("V", "Supply", default="the technology's")] = None,
    settings: SetOption = None,
    bias: Annotated[float | None, quantity("V", "Mean gate voltage of a quad")] = None,
    tolerance: Annotated[float, quantity("1", "Largest residual, as a share of the largest current")] = 1e-3,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            help="Also measure a cell: tanh, rectifier, softmax, feedback or transit; repeat. [default: none]"
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="pyspice, batch or neospice.")] = "pyspice",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the transistors of a coupling in ngspice.

    Sweeps current over gate and voltage and factors it into as few products as the tolerance allows.
    """
    from .. import characterize as measured
    from .. import load_models, load_technology, save_device

    check_target(output, overwrite=overwrite)
    overrides = parse_set(settings, f"technology {technology!r}")
    with stdout_kept_for_json(as_json), stage_progress() as stage:
        stage(f"sweep a {unit}")
        card = measured(
            cast(Any, unit), technology=technology, models=load_models(spice_models or (), nfet=nfet), width=width,
            length=length, corner=corner, temperature=temperature, vdd=vdd, overrides=overrides, bias=bias,
            tolerance=tolerance, cells=cell or (), engine=cast(Any, engine),
        )  # fmt: skip
        spread = load_technology(technology, overrides=overrides).mismatch.of(card.width * card.length)
        rows = _rows(card, spread)
        save_device(card, output, overwrite=overwrite)
    if as_json:
        write_json({"output": output, **card_facts(card), "linearity": [asdict(row) for row in rows]})
    else:
        _show(results_console(), card, rows, output)


def _rows(card: DeviceCard, spread: tuple[float, float]) -> list[Linearity]:
    """Linearity at shares of the largest conductance, at full scale."""
    from ..circuits.devices.linearity import linearity

    gates = [float(card.control(share * card.conductance(card.reach))) for share in SHARES]
    return [linearity(card, gate, card.full_scale, spread=spread) for gate in gates]


def card_facts(card: DeviceCard) -> dict[str, object]:
    """What --json has of a card."""
    names = "unit width length common_mode vdd temperature full_scale reach bias rank error".split()
    return {name: getattr(card, name) for name in names} | {
        "degree": card.coefficients.shape[1] - 1,
        "even_rank": card.even.rank if card.even else 0,
        "conductance": float(card.conductance(card.reach)),
        "swing": float(card.volts[-1]),
        "cells": {name: cell.error for name, cell in card.cells.items()},
        **asdict(card.origin),
    }


def card_lines(card: DeviceCard) -> dict[str, str]:
    """A card in words, by the name of the line."""
    from ..circuits.cells.mos.rails import KELVIN

    origin = card.origin
    return {
        "device": f"{card.unit} of {origin.model} ({origin.models}), {card.width * 1e9:.4g} nm × "
        f"{card.length * 1e6:.4g} µm, {origin.corner}, {card.temperature - KELVIN:.4g} °C",
        "swept": f"gate to {card.vdd:.4g} V, ±{card.volts[-1]:.4g} V about {card.common_mode:.4g} V, by "
        f"{origin.version} ({origin.engine})",
        "factors": f"rank {card.rank}, degree {card.coefficients.shape[1] - 1}, within {card.error:.2%} of the "
        f"largest current (asked: {origin.tolerance:.2%})",
        "cells": ", ".join(f"{name} within {cell.error:.2%}" for name, cell in card.cells.items()) or "none",
        "finger": f"{card.conductance(card.reach) * 1e6:.4g} µS at {card.reach:.4g} V",
    }


def _show(console: Console, card: DeviceCard, rows: list[Linearity], output: Path) -> None:
    for name, text in card_lines(card).items():
        console.print(f"{name:<8} {text}", soft_wrap=True)
    console.print()
    print_table(console, _table(rows))
    console.print(
        f"\nHD of a sine of {card.full_scale:.3g} V; offset: its rectified mean; σ by Pelgrom, untrimmed",
        soft_wrap=True,
    )
    console.print(f"{output}: device card", soft_wrap=True)


def _table(rows: list[Linearity]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("control", "conductance", "1 % linear to", "HD2", "HD3", "offset", "σ offset", "σ conductance"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.control:.3f} V",
            f"{row.conductance * 1e6:.3g} µS",
            f"±{row.linear_range * 1e3:.0f} mV",
            f"{row.hd2:.2%}",
            f"{row.hd3:.2%}",
            f"{row.offset:.2%}",
            f"{row.offset_sigma:.2%}",
            f"{row.conductance_sigma:.1%}",
        )
    return table
