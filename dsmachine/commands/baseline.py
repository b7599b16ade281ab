"""``dsmachine baseline MODEL…``: the same models on this machine's GPU, for the report to stand beside the circuit."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from .. import __version__
from ..emulator.files import check_target, write_text
from ._common import (
    JsonOption,
    OverwriteOption,
    print_table,
    results_console,
    stdout_kept_for_json,
    to_plain,
    write_json,
)
from ._options import quantity
from ._progress import stage_progress

BATCHES = (1, 8)


def baseline(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="gpt2, gpt2-medium, opt-1.3b, opt-2.7b, llama2-7b, smollm2 (random weights), or a folder.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write what was measured, as JSON.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt, kept while one more is decoded.")] = 128,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Sequences side by side; may be given again [default: 1 and 8].")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="bfloat16, float16 or float32 [default: bfloat16; on a processor float32].")
    ] = None,
    device: Annotated[str, typer.Option(help="cuda, cuda:1 or cpu.")] = "cuda",
    seconds: Annotated[float, quantity("s", "Repeat each step for at least so long")] = 1.5,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Time models on this machine's GPU by PyTorch and transformers; joules by NVML.

    Prefill (a prompt at once) and decode (one token more), launched by Python and as one CUDA graph: seconds and joules
    a token, idle power beside them. `dsmachine report` picks the file up.
    """
    from ..energy.baseline import measure

    if output is not None:
        check_target(output, overwrite=overwrite)
    with stdout_kept_for_json(as_json), stage_progress() as stage:
        found = measure(
            models, tokens=tokens, batches=batch or BATCHES, precision=precision, device=device, seconds=seconds,
            progress=stage,
        )  # fmt: skip
    found["versions"] |= {"dsmachine": __version__, "python": platform.python_version()}
    found["written"] = datetime.now(UTC).isoformat(timespec="seconds")
    if output is not None:
        write_text(output, json.dumps(to_plain(found), indent=1, allow_nan=False) + "\n", overwrite=overwrite)
    if as_json:
        write_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from ..circuits.units import engineering

    console = results_console()
    idle = "" if found["idle_watts"] is None else f", {found['idle_watts']:.0f} W idle"
    console.print(f"{found['device']}{idle}; energy: {found['energy_source']}\n", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for title in ("model", "phase", "precision", "launch"):
        table.add_column(title, no_wrap=True)
    for title in ("tokens", "batch", "a step", "a token", "J a token", "power"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found["rows"]:
        joules, watts = row["joules_per_token"], row["watts"]
        table.add_row(
            *(row[key] for key in ("model", "phase", "precision", "launch")),
            *(str(row[key]) for key in ("tokens", "batch")),
            *(engineering(row[key], "s") for key in ("step_seconds", "seconds_per_token")),
            "" if joules is None else engineering(joules, "J"),
            "" if watts is None else f"{watts:.0f} W",
        )
    print_table(console, table)
