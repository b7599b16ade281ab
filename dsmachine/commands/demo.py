"""``dsmachine demo``: the main job on the bundled model, from a prompt to a report that a person can open."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .. import Error
from ..circuits.words import counted
from ._common import OverwriteOption, check_output_folder, messages_console, results_console
from ._progress import SettledShare, StageProgress, stage_progress

if TYPE_CHECKING:
    from ..continuation import Continuation
    from ..netlists.crosscheck import CrossCheck
    from ..tasks import Annealed

MODEL = "tiny-shakespeare"
PROMPT = "ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is"
WRITTEN = 16  # characters that the machine writes on its own
BLOCK, BLOCK_PROMPT = "h.0", "ROME"  # what ngspice checks: every coupling of the first block, four positions
FAILED = 1


@dataclass(frozen=True)
class Shown:
    """What the demo found; check is None where ngspice could not be asked, and `missing` says why."""

    annealed: Annealed
    continuation: Continuation
    check: CrossCheck | None
    missing: str


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for everything it makes.")] = Path("demo"),
    overwrite: OverwriteOption = False,
) -> None:
    """Anneal the bundled model, weigh it, check a whole block against ngspice, leave a report. Under a minute."""
    folder = check_output_folder(output, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with stage_progress() as stage:
        shown = _run(folder, stage)
        stage("pictures and report")
        _leave(folder, shown)
    _tell(results_console(), shown, folder)
    if shown.check is None:
        messages_console().print(f"error: {shown.missing}", soft_wrap=True)
    if shown.check is None or not shown.check.passed:
        raise typer.Exit(FAILED)


def _run(folder: Path, stage: StageProgress) -> Shown:
    from .. import tasks
    from ..circuits.checkpoints import load_model
    from ..circuits.mapping.model import map_model
    from ..continuation import continue_prompt

    model = load_model(MODEL)
    observers = [*tasks.recorders(), SettledShare(stage, 8)]
    annealed = tasks.anneal(model, PROMPT, tolerance=5e-4, observers=observers, stage=stage)
    annealed.save(folder / "run.h5", overwrite=True, command=["dsmachine", *sys.argv[1:]])
    stage(f"writing {WRITTEN} characters")
    machine = map_model(model, len(annealed.tokens) + WRITTEN)
    continuation = continue_prompt(model, machine, PROMPT)
    try:
        return Shown(annealed, continuation, _check(folder, stage), "")
    except Error as missing:
        return Shown(annealed, continuation, None, str(missing))


def _check(folder: Path, stage: StageProgress) -> CrossCheck:
    """Every coupling of one block, all positions, in ngspice."""
    from ..circuits.checkpoints import load_model
    from ..circuits.mapping.model import map_model
    from ..netlists.crosscheck import crosscheck

    model = load_model(MODEL)
    circuit = map_model(model, len(BLOCK_PROMPT))
    inputs = {"embed": model.embed(model.encode(BLOCK_PROMPT))}
    part = f"block {BLOCK}, {counted(len(BLOCK_PROMPT), 'position')}"
    return crosscheck(
        circuit, select=BLOCK, inputs=inputs, folder=folder / "crosscheck", keep=True,
        told=lambda what, share: stage.done(f"{what}, {part}", share),
    )  # fmt: skip


def _leave(folder: Path, shown: Shown) -> None:
    """Pictures and the page that shows them."""
    from .. import plots
    from ..animation import save_front_animation
    from ..report import write_report

    run = shown.annealed.run
    pictures: dict[str, Callable[[], Any]] = {
        "front": lambda: plots.plot_front(run),
        "settling": lambda: plots.plot_settling(run),
        "waveforms": lambda: plots.plot_waveforms(run),
        "energy": lambda: plots.plot_energy(shown.annealed.energy),
    }
    captions = {
        "front": "The front runs through the model: bits settled of every array against time",
        "settling": "Distance from the operating point, the worst array of each layer",
        "waveforms": "Chosen nodes",
        "energy": "Joules by part: drawn from the supply, and dissipated in elements",
    }
    paths = {}
    for name, draw in pictures.items():
        path = folder / f"{name}.png"
        plots.save_figure(draw(), path, overwrite=True)
        paths[captions[name]] = path
    save_front_animation(run, folder / "front.gif", overwrite=True)
    texts = (shown.continuation.text, shown.continuation.reference)
    write_report(shown.annealed, shown.check, folder / "report.html", paths, continuation=texts, overwrite=True)


def _tell(console: Console, shown: Shown, folder: Path) -> None:
    from ..circuits.units import engineering

    annealed, said = shown.annealed, shown.continuation
    tokens, energy = len(annealed.tokens), annealed.energy.to_json()
    rows = {
        "prompt": repr(PROMPT),
        "machine": repr(said.text),
        "digital": repr(said.reference),
        "written": f"{len(said.anneal_s)} characters in {engineering(sum(said.anneal_s), 's')} of machine time",
        "settled": f"{tokens} tokens to {annealed.settle_bits:g} bits after "
        f"{engineering(annealed.oracle_time or float('nan'), 's')} (timer {engineering(annealed.timer_time, 's')})",
        "logits": f"within {annealed.logit_error:.2g} of the digital reference's range",
        "ngspice": _verdict(shown),
        "energy": f"{engineering(energy['total'] / tokens, 'J')} a token drawn from the supply, of which",
    }
    for name, text in rows.items():
        console.print(f"{name:<9} {text}", soft_wrap=True)
    for part, cost in sorted(energy["by_part"].items(), key=lambda item: -item[1]["drawn"]):
        drawn, heat = (engineering(cost[kind] / tokens, "J") for kind in ("drawn", "dissipated"))
        console.print(f"          {part:<14} {drawn:>9} drawn, {heat:>9} dissipated", soft_wrap=True)
    console.print(f"          not counted: {'; '.join(energy['excluded'])}", soft_wrap=True)
    console.print(f"\n{folder}/report.html shows it all", soft_wrap=True)


def _verdict(shown: Shown) -> str:
    check = shown.check
    if check is None:
        return "not asked: it is not installed"
    word = "agrees" if check.passed else "DISAGREES"
    part = f"block {BLOCK}, {counted(check.nodes, 'node')}"
    return f"{word}: {part}, NRMSE {check.nrmse:.1e} (limit {check.limit:g}), {check.version}"
