"""``dsmachine report``: the paper's tables beside what is recomputed, emulated and measured."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import Error
from ..emulator.files import check_target, write_text
from ._common import OverwriteOption, check_output_folder, results_console

if TYPE_CHECKING:
    from ..energy.placement import Placement
    from ..energy.rows import Inputs, Row
    from ..energy.systems import Machine

Pictures = dict[str, tuple[str, Any]]  # file name: (caption, Figure)
FORMATS = ("md", "csv", "latex", "html")


def report(
    tables: Annotated[str, typer.Option(help="Numbers of the paper's tables: some of 2,3,4,7.")] = "2,3,4,7",
    format: Annotated[str, typer.Option("--format", help="md, csv, latex or html.")] = "md",
    runs: Annotated[
        list[Path] | None,
        typer.Option("--runs", metavar="FILE", help="A file of dsmachine anneal -o or train -o; may be given again."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", help="GPT2, GPT2-M, OPT1.3B, OPT2.7B or Llama2-7B [default: all]; with --reproduce a folder."
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="What dsmachine baseline measured [default: the one bundled]."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(help="Put emulated machines on its chips too: brim, ds-gl, ds-tpu, wafer, or a .toml file."),
    ] = None,
    chips: Annotated[
        int | None, typer.Option(min=1, help="Of --machine: so many, in turns [default: as many as it takes].")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write to a file [default: stdout].")] = None,
    reproduce: Annotated[
        str | None, typer.Option("--reproduce", help="table1: accuracies of a classifier, with --model and --glue.")
    ] = None,
    glue: Annotated[
        Path | None, typer.Option("--glue", metavar="DIR", help="GLUE's folders MRPC, QQP, RTE, QNLI, SST-2.")
    ] = None,
    positions: Annotated[int, typer.Option(help="Of --reproduce: tokens that sentences are cut to.")] = 128,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Of --reproduce: so many of each task [default: all].")
    ] = None,
    pictures: Annotated[Path | None, typer.Option("--pictures", help="Write the pictures to a folder.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Show the paper's tables beside this emulator.

    Every value names its source: printed (the paper), recomputed (from the paper's own rule), emulated (with its
    assumptions) or measured (a GPU). With --machine each emulated machine stands there once more, on chips: with
    transfers between them and reprogramming. CSV is long form; html has the pictures inside. With --reproduce table1
    the accuracies of your own classifier on GLUE's sentences, by the digital reference and by its circuit.
    """
    if format not in FORMATS:
        raise Error(f"format {format!r} is unknown: use {', '.join(FORMATS)}")
    if output is not None:
        check_target(output, overwrite=overwrite)
    drawn: Pictures = {}
    if reproduce is not None:
        if runs or baseline or pictures or machine:
            raise Error(
                "--runs, --baseline, --machine and --pictures would be ignored with --reproduce: leave them out"
            )
        found = _reproduced(reproduce, model or [], glue, positions, samples)
    else:
        if pictures is not None:
            check_output_folder(pictures, overwrite=overwrite)
        shown = pictures is not None or format == "html"
        from ..energy.tables import checked_tables

        asked, inputs = checked_tables(tables), _inputs(model or [], runs or [], baseline)
        found, drawn = _tables(asked, _on_chips(inputs, machine, chips, asked), shown)
    text = _text(format, found, drawn)
    if pictures is not None:
        _write_pictures(pictures, drawn)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text, overwrite=overwrite)
        results_console().print(f"written: {output}", soft_wrap=True)


def _tables(asked: Sequence[str], inputs: Inputs, shown: bool) -> tuple[list[Row], Pictures]:
    """Rows of the tables, and their pictures if they are to be shown."""
    from ..energy.tables import rows

    if not shown:
        return rows(asked, inputs), {}
    from ..tables_plots import report_pictures

    return rows(asked, inputs), report_pictures(inputs)


def _text(format: str, found: list[Row], drawn: Pictures) -> str:
    from ..tables_report import as_csv, as_html, as_latex, as_markdown, layouts

    if format == "csv":
        return as_csv(found)
    if format == "html":
        return as_html(layouts(found), dict(drawn.values()))
    return (as_markdown if format == "md" else as_latex)(layouts(found))


def _write_pictures(folder: Path, drawn: Pictures) -> None:
    from ..plots import save_figure

    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, figure) in drawn.items():
        save_figure(figure, folder / f"{name}.png", overwrite=True)


def _reproduced(table: str, models: list[str], glue: Path | None, positions: int, samples: int | None) -> list[Row]:
    """Rows of table 1 for a user's classifier."""
    from .. import load_model
    from ..glue import accuracies, accuracy_rows, read_glue
    from ._progress import stage_progress

    if table != "table1":
        raise Error(f"table {table!r} is not reproduced: use --reproduce table1")
    if len(models) != 1 or glue is None:
        raise Error("--reproduce table1 needs one model and GLUE's files: give --model DIR --glue DIR")
    tasks, loaded = read_glue(glue, samples), load_model(models[0])
    with stage_progress() as stage:
        return accuracy_rows(loaded.name, list(accuracies(loaded, tasks, positions=positions, stage=stage)))


def _inputs(models: list[str], files: list[Path], baseline: Path | None) -> Inputs:
    """What the tables are made of, for all of the paper's models or those asked for."""
    from ..energy.published import published
    from ..energy.rows import Inputs, paper_name
    from ..energy.systems import (
        is_training,
        learners_of_shapes,
        load_baseline,
        machine_of_run,
        machine_of_training,
        machines_of_shapes,
    )  # fmt: skip

    paper = published()
    chosen = [_known(name, paper.models) for name in models] or list(paper.models)
    runs: dict[bool, list[Machine]] = {False: [], True: []}
    for path in files:
        learns = is_training(path)
        run = machine_of_training(path) if learns else machine_of_run(path)
        if models and paper_name(run.model) not in chosen:
            raise Error(f"run file {path} is of {run.model}, not of {', '.join(chosen)}: leave it or --model out")
        runs[learns].append(run)
    measured = load_baseline(baseline)
    if baseline is not None and measured is not None:
        wanted = {paper.shapes[name] for name in chosen}
        if not wanted & measured.models:
            found, asked = (", ".join(sorted(names)) for names in (measured.models, wanted))
            raise Error(f"baseline {baseline} is of {found}, none of {asked}: measure those, or leave it out")
    shapes = [
        {name: found[shape] for name, shape in paper.shapes.items() if shape in found}
        for found in (machines_of_shapes(), learners_of_shapes())
    ]
    return Inputs(chosen, shapes[0], runs[False], measured, shapes[1], runs[True])


def _on_chips(inputs: Inputs, name: str | None, count: int | None, tables: Sequence[str]) -> Inputs:
    """With each emulated machine that the tables show once more, on chips of a kind."""
    if name is None:
        if count is not None:
            raise Error(f"--chips {count} would be ignored: say of which --machine")
        return inputs
    from ..circuits.technology import load_technology
    from ..energy.machine import load_machine
    from ..energy.placed import on_chips, placement_of

    kind, technology = load_machine(name), load_technology("cmos45")

    places: dict[tuple[str, int], Placement] = {}  # what answers and what learns have the same chips

    def placed(machines: Iterable[Machine]) -> list[Machine]:
        found = []
        for each in machines:
            key = each.model, each.tokens
            if key not in places:
                places[key] = placement_of(each, kind, technology, count)
            found.append(on_chips(each, places[key], technology))
        return found

    answering = placed(each for _, each in inputs.emulated()) if {"3", "4", "7"} & set(tables) else []
    learning = placed(each for _, found in inputs.learning() for each in found) if "2" in tables else []
    return replace(inputs, runs=[*inputs.runs, *answering], trainings=[*inputs.trainings, *learning])


def _known(name: str, known: tuple[str, ...]) -> str:
    from ..energy.rows import paper_name

    found = paper_name(name)
    if found not in known:
        raise Error(f"model {name!r} is not in the paper's tables: use one of {', '.join(known)}")
    return found
