"""``dsmachine place MODEL``: how many chips of a machine a model takes, and what programming and moving values cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..circuits.words import counted
from ._common import JsonOption, print_table, results_console, stdout_kept_for_json, write_json
from ._options import TechnologyOption, parse_set, technology_of

if TYPE_CHECKING:
    from ..energy.placement import Placement


def place(
    model: Annotated[
        str,
        typer.Argument(
            help="gpt2, gpt2-medium, opt-1.3b, opt-2.7b, llama2-7b, smollm2, a bundled name, a folder or a GGUF file; "
            "weights need not be there.",
            show_default=False,
        ),
    ],
    machine: Annotated[str, typer.Option(help="brim, ds-gl, ds-tpu, wafer, or a .toml file.")] = "ds-tpu",
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Of a prompt [default: 128, or the context].", show_default=False)
    ] = None,
    mode: Annotated[
        str, typer.Option(help="parallel: each position has its own nodes; serial: one token after another.")
    ] = "parallel",
    chips: Annotated[
        int | None, typer.Option(min=1, help="How many are there [default: as many as it takes].", show_default=False)
    ] = None,
    passes: Annotated[bool, typer.Option("--passes/--no-passes", help="Whether too few chips take turns.")] = True,
    technology: TechnologyOption = "cmos45",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help='Of machine or technology: chip.nodes=4000, "link.energy=2 pJ".'
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Place a model on the chips of a machine.

    Nodes, couplings, area, chips and passes; seconds and joules of programming, and of values sent from chip to chip.
    """
    from ..energy.machine import FIELDS, SECTIONS, load_machine
    from ..energy.placement import place as placed

    of_machine = [text for text in settings or [] if text.strip().partition(".")[0] in SECTIONS]
    rest = [text for text in settings or [] if text not in of_machine]
    units = {key: meta["unit"] for key, meta in FIELDS.items()}
    with stdout_kept_for_json(as_json):
        found = placed(
            model,
            load_machine(machine, overrides=parse_set(of_machine, f"machine {machine!r}", units)),
            tokens=tokens,
            mode=mode,
            chips=chips,
            passes=passes,
            technology=technology_of(technology, rest),
        )
    if as_json:
        write_json(vars(found))
    else:
        _show(found)


def _show(found: Placement) -> None:
    from ..circuits.units import engineering
    from ..describe import PLURAL

    console = results_console()
    what = f"{counted(found.tokens, 'token')}, {found.mode}, {found.technology}"
    console.print(f"{found.model} on {found.machine}: {what}\n", soft_wrap=True)
    full = " and ".join(f"{name} to {share:.1%}" for name, share in found.full.items())
    turns = "all at once" if found.passes == 1 else f"in {found.passes:,} passes"
    rows = {
        "nodes": f"{found.nodes:,}",
        **{PLURAL.get(kind, kind): f"{number:,}" for kind, number in found.counts.items()},
        "weights": counted(found.weights, "programmed value"),
        "silicon": f"{_mm2(found.silicon_m2)} in {found.technology}, converters apart",
        "chips": f"{found.chips:,} of {found.needed:,} that hold it, {turns}; filled: {full}",
        "area": f"{_mm2(found.area_m2)} of chips",
    }
    if found.power_w is not None:
        rows["power"] = f"{engineering(found.power_w, 'W')} as published for so many chips"
    if found.cut:
        rows["cut"] = f"{counted(found.cut, 'node')} with too many couplings, into {found.partial_sums:,} partial sums"
    for name, text in rows.items():
        console.print(f"{name:<11} {text}", soft_wrap=True)
    console.print()
    print_table(console, _costs(found))
    console.print("\nNot counted: " + "; ".join(found.excluded) + ".", soft_wrap=True)


def _costs(found: Placement) -> Table:
    from ..circuits.units import engineering

    table = Table(box=None, pad_edge=False)
    for title, side in (("", "left"), ("seconds", "right"), ("joules", "right")):
        table.add_column(title, justify=side, no_wrap=True)  # type: ignore[arg-type]
    costs = {"programming, once": found.programming}
    costs |= {f"reprogramming, each {what}": cost for what, cost in found.reprogramming.items()}
    costs[f"transfer, each prompt: {counted(found.crossing, 'value')}"] = found.transfer
    for name, cost in costs.items():
        table.add_row(name, engineering(cost.seconds, "s"), engineering(cost.joules, "J"))
    return table


def _mm2(area: float) -> str:
    return f"{area * 1e6:,.4g} mm²"
