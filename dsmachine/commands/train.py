"""``dsmachine train MODEL --data FILE``: a chip learns, mismatch and all."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .. import Error
from ..circuits.words import counted
from ._common import (
    DeviceOption,
    Interrupted,
    JsonOption,
    OverwriteOption,
    PrecisionOption,
    ResumeOption,
    results_console,
    stdout_kept_for_json,
    write_json,
)
from ._options import (
    ActivationOption,
    CalibrationOption,
    ChipSeedOption,
    MismatchOption,
    ModelArgument,
    OffsetOption,
    SetOption,
    SoftmaxOption,
    TaylorOrderOption,
    TechnologyOption,
    TrimOption,
    VtMismatchOption,
    parse_noise,
    parse_trim,
    technology_of,
)
from ._progress import training_progress

if TYPE_CHECKING:
    from ..training import Trained


def train(
    model: ModelArgument,
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="What is learnt: a text, or a table of sentences.", show_default=False)
    ],
    task: Annotated[
        str,
        typer.Option(
            help="text: next tokens; classify, pairs: the label of a sentence, of two, in GLUE's tables (SST-2, MRPC)."
        ),
    ] = "text",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL=WORD,…",
            help="Of classify and pairs, the word to say for each label: '0= bad,1= good' [default: the label].",
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file as --data, asked before and after, not learnt."),
    ] = None,
    calibration: CalibrationOption = None,
    positions: Annotated[
        int | None, typer.Option(help="Tokens side by side [default: 32, or the context if smaller].")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data [default: 1].")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of all weights, instead of --epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step [default: 8, or all if fewer].")] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, on control capacitors, or adamw, digital.")] = "sgd",
    lr: Annotated[float | None, typer.Option(help="Learning rate [default: 0.01 of sgd, 0.001 of adamw].")] = None,
    lr_of: Annotated[
        str | None,
        typer.Option(
            metavar="model|chip",
            help="What lr is the rate of: weights as the model has them, or programmed values, norms' gains folded in "
            "[default: model of adamw, chip of sgd].",
        ),
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of a step's gradients, of adamw.")] = None,
    data_seed: Annotated[int, typer.Option(help="Order of the samples.")] = 0,
    technology: TechnologyOption = "cmos45",
    settings: SetOption = None,
    softmax: SoftmaxOption = None,
    taylor_order: TaylorOrderOption = None,
    activation: ActivationOption = "tanh-pair",
    mismatch: MismatchOption = 0.0,
    vt_mismatch: VtMismatchOption = 0.0,
    offset: OffsetOption = 0.0,
    trim: TrimOption = "none",
    chip_seed: ChipSeedOption = 0,
    noise: Annotated[
        str, typer.Option(help="While it learns and is asked: off, thermal, or σ of every node (0.01 or 1%).")
    ] = "off",
    noise_unit: Annotated[
        str, typer.Option(help="What σ is a share of: full-scale, or activation, the model's own unit.")
    ] = "full-scale",
    noise_seed: Annotated[int, typer.Option(help="Which noise.")] = 0,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "numpy",
    energy: Annotated[bool, typer.Option(help="Weigh the first sample: joules and seconds of the machine.")] = True,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Keep what is learnt there (HDF5), after every step; without, it is lost."),
    ] = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on one chip, mismatch and all.

    In each step the machine settles on a batch of samples, its adjoint circuit to the gradients that this chip's own
    devices give, and every programmed weight moves along them. --resume goes on with what -o kept.
    """
    from .. import training
    from ..circuits.checkpoints import load_model

    options: dict[str, Any] = {
        "task": task, "labels": parse_labels(labels), "validation": validation, "positions": positions,
        "epochs": epochs, "steps": steps, "batch": batch, "optimizer": optimizer, "lr": lr, "lr_of": lr_of,
        "clip": clip, "data_seed": data_seed, "technology": technology_of(technology, settings),
        "softmax": softmax, "order": taylor_order, "activation": activation,
        "mismatch": mismatch, "vt_mismatch": vt_mismatch, "offset": offset, "trim": parse_trim(trim),
        "chip_seed": chip_seed, "noise": parse_noise(noise), "noise_unit": noise_unit, "noise_seed": noise_seed,
        "precision": precision, "device": device, "energy": energy, "output": output, "overwrite": overwrite,
        "resume": resume, "command": ["dsmachine", *sys.argv[1:]],
    }  # fmt: skip
    kept = resume if output is None else output
    with stdout_kept_for_json(as_json), _said_how_to_go_on(kept), training_progress() as told:
        found = training.train(load_model(model, calibration=calibration), data, told=told, **options)
    if as_json:
        write_json(found.summary())
    else:
        _show(results_console(), found, kept)


def parse_labels(text: str | None) -> dict[str, str] | None:
    """The word of each label.

    >>> parse_labels("0=bad,1=good")
    {'0': 'bad', '1': 'good'}
    """
    if text is None:
        return None
    found: dict[str, str] = {}
    for part in text.split(","):
        label, equals, word = part.partition("=")
        if not (label and equals and word) or label in found:
            raise Error(
                f"--labels {part!r} is not understood: write LABEL=WORD once for each label, such as 0=bad,1=good"
            )
        found[label] = word
    return found


@contextlib.contextmanager
def _said_how_to_go_on(kept: Path | None) -> Iterator[None]:
    """Ctrl-C in here says what is kept."""
    from ..emulator.training_file import load_training

    try:
        yield
    except KeyboardInterrupt:
        steps = 0
        with contextlib.suppress(Error):
            steps = len(load_training(kept)["loss"]) if kept is not None else 0
        if not steps:
            raise
        raise Interrupted(
            f"{kept} has {counted(steps, 'step')}: the same command with --resume {kept} goes on"
        ) from None


def _show(console: Console, found: Trained, kept: Path | None) -> None:
    from ..circuits.units import engineering

    share = found.at_rails / found.learner.count
    rows = {
        "model": f"{found.model.name}, chip {found.chip['chip_seed']}, {counted(found.learner.count, 'weight')}",
        "steps": f"{found.steps} by {found.optimizer}, {counted(found.course.batch, 'sample')} each",
        "loss": _change(found.loss, "{:.4f}") + " nat, of the first and the last step's samples",
        "accuracy": _change(found.accuracy, "{:.1%}"),
    }
    if found.validation:
        loss, accuracy = found.validation["loss"], found.validation["accuracy"]
        rows["validation"] = f"loss {_change(loss, '{:.4f}')} nat, accuracy {_change(accuracy, '{:.1%}')}"
    ends = f"{counted(found.at_rails, 'weight')} ({share:.2%}) at an end of their range"
    rows["at rails"] = f"{ends}, {found.rails_before:,} before"
    if found.joules is not None and found.energy is not None:
        each = ", ".join(f"{phase} {engineering(joules, 'J')}" for phase, joules in found.joules.items())
        rows["energy"] = f"{engineering(found.energy, 'J')}; of a sample: {each}"
        rows["machine"] = f"{engineering(found.seconds or 0.0, 's')} for all samples, one after another"
    if kept is not None:
        rows["run file"] = str(kept)
    for name, text in rows.items():
        console.print(f"{name:<12} {text}", soft_wrap=True)


def _change(values: list[float], form: str) -> str:
    return f"{form.format(values[0])} → {form.format(values[-1])}"
