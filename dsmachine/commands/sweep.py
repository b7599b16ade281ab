"""``dsmachine sweep MODEL --vary NAME=VALUES``: a grid of parameters × chips × noise seeds, kept by content."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .. import Error
from ..circuits.metadata import plain_text
from ..circuits.words import counted
from ._common import (
    Interrupted,
    JsonOption,
    OverwriteOption,
    print_table,
    results_console,
    stdout_kept_for_json,
    write_json,
)
from ._options import CalibrationOption, ModelArgument
from ._progress import progress

if TYPE_CHECKING:
    from ..sweeps.result import Swept

ROUNDING = 1e-12  # share of a mean, up to which values that differ are the same


def sweep(
    model: ModelArgument,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="An axis: FROM:TO:COUNT[:log] or a list; names: docs/sweeps.md."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter that stays: auto-zero=0.001, supply.swing=0.3."),
    ] = None,
    chips: Annotated[int, typer.Option(help="How many, from chip seed 0 on.")] = 8,
    noise_seeds: Annotated[int, typer.Option(help="How many, from 0 on.")] = 1,
    metric: Annotated[
        str, typer.Option(metavar="METRIC,…", help="perplexity, settling_time, energy, … (docs/sweeps.md).")
    ] = "perplexity",
    limit: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=NUMBER", help="Count the chips within a limit: the yield.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text that is read [default: the calibration text].")
    ] = None,
    windows: Annotated[int, typer.Option(help="Pieces of the text that are read, evenly spread.")] = 4,
    calibration: CalibrationOption = None,
    workers: Annotated[int | None, typer.Option(help="Processes [default: one a core, or one a GPU].")] = None,
    device: Annotated[str | None, typer.Option(help="numpy, cupy, cupy:1 [default: GPUs if there are any].")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Measure on the Dask cluster at tcp://….")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where measurements are kept [default: the user's cache].")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the first metric over the first axes.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the result there (HDF5).")] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sweep any named parameters over chips and noise seeds.

    Every measurement is kept as it is made: a rerun computes only what is new, and goes on where a killed one was.
    """
    from ..circuits.checkpoints import load_model
    from ..emulator.files import check_target
    from ..plots import picture_format, save_figure
    from ..sweeps import sweep as sweeps
    from ..sweeps.grammar import parse_limit, parse_setting, parse_vary

    options: dict[str, Any] = {
        "settings": _table("--set", settings, parse_setting), "limits": _table("--limit", limit, parse_limit),
        "chips": chips, "noise_seeds": noise_seeds, "metrics": [name.strip() for name in metric.split(",")],
        "windows": windows, "text": None if text is None else _read(text),
        "output": output, "overwrite": overwrite,
        "cache": cache, "workers": workers, "device": device, "scheduler": scheduler,
    }  # fmt: skip
    axes = _table("--vary", vary, parse_vary)
    if not axes:
        raise Error("nothing varies: give --vary NAME=VALUES, such as --vary mismatch=0:0.3:7")
    if picture is not None:
        # Where the output is there, the sweep refuses one of another sweep before it measures anything.
        redrawn = overwrite or (output is not None and output.exists())
        check_target(picture, overwrite=redrawn)
        picture_format(picture)
    with stdout_kept_for_json(as_json), _progress() as told:
        found = sweeps.sweep(load_model(model, calibration=calibration), axes, told=told, **options)
        if picture is not None:
            from ..sweeps.plots import plot_sweep

            save_figure(plot_sweep(found, next(iter(found.values))), picture, overwrite=redrawn)
    if as_json:
        write_json(found.summary())
    else:
        _show(results_console(), found, [path for path in (output, picture) if path is not None])


def _table(option: str, given: Sequence[str] | None, parse: Callable[[str], tuple[str, Any]]) -> dict[str, Any]:
    """What an option that may be repeated says, by name."""
    found: dict[str, Any] = {}
    for name, value in map(parse, given or []):
        if name in found:
            raise Error(f"{option} has {name!r} twice: give it once")
        found[name] = value
    return found


def _read(file: Path) -> str:
    text = plain_text(file, f"text {file}", "name a text file")
    if not text:
        raise Error(f"text {file} is empty: name a file with some text")
    return text


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar of measurements; Ctrl-C says what is kept."""
    done = [0, 0]
    with progress() as bar:
        task = bar.add_task("measure", total=None)

        def told(there: int, total: int) -> None:
            done[:] = there, total
            bar.update(task, description=f"measured {there} of {total}", completed=there, total=total)

        try:
            yield told
        except KeyboardInterrupt:
            there, total = done
            raise Interrupted(
                f"{there} of {total} measurements are kept in the cache: the same command goes on"
            ) from None


def _said(value: Any) -> str:
    """A value along an axis."""
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _number(value: float, unit: str) -> str:
    from ..circuits.units import engineering

    if math.isnan(value):
        return "–"
    return f"{value:.4g}" if unit in ("1", "nat") else engineering(value, unit)


def _show(console: Console, found: Swept, written: Sequence[Path]) -> None:
    from ..sweeps.metrics import METRICS

    table = Table(box=None, pad_edge=False)
    for name in found.axes:
        table.add_column(name, justify="right")
    for name in found.values:
        table.add_column(name, justify="right")
        if name in found.limits:
            table.add_column("yield", justify="right")
    for row in found.rows():
        cells = [_said(row[name]) for name in found.axes]
        for name in found.values:
            unit = METRICS[name].unit
            mean, deviation = row[name]["mean"], row[name]["deviation"]
            varies = deviation > ROUNDING * abs(mean)  # not so where it is nan
            cells.append(" ± ".join(_number(value, unit) for value in ([mean, deviation] if varies else [mean])))
            if name in found.limits:
                cells.append(f"{row[name]['yield']:.0%}")
        table.add_row(*cells)
    over = " × ".join([counted(len(found.grid.chips), "chip"), counted(len(found.grid.noise_seeds), "noise seed")])
    of = "" if len(found.grid.chips) * len(found.grid.noise_seeds) == 1 else "mean ± deviation over "
    console.print(f"{found.model}: {of}{over}", soft_wrap=True)
    print_table(console, table)
    console.print(f"{counted(found.computed, 'measurement')} made, {found.known} found in the cache", soft_wrap=True)
    for path in written:
        console.print(f"written: {path}", soft_wrap=True)
