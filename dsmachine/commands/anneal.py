"""``dsmachine anneal MODEL --prompt TEXT``: relax a model on a prompt, weigh it, compare it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..circuits.words import counted
from ..emulator.files import check_target
from ._common import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    PrecisionOption,
    ResumeOption,
    results_console,
    said_how_to_go_on,
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
    MismatchOption,
    ModelArgument,
    OffsetOption,
    PelgromOption,
    SetOption,
    SoftmaxClampOption,
    SoftmaxGainOption,
    SoftmaxOption,
    TaylorOrderOption,
    TechnologyOption,
    TokensOption,
    TrimOption,
    VtMismatchOption,
    card_of,
    parse_noise,
    parse_trim,
    quantity,
    technology_of,
)
from ._progress import SettledShare, stage_progress

if TYPE_CHECKING:
    from ..circuits.checkpoints import Model
    from ..tasks import Annealed


def anneal(
    model: ModelArgument,
    prompt: Annotated[str, typer.Option(help="The text to continue.", show_default=False)],
    calibration: CalibrationOption = None,
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
    mismatch: MismatchOption = 0.0,
    vt_mismatch: VtMismatchOption = 0.0,
    pelgrom: PelgromOption = False,
    offset: OffsetOption = 0.0,
    branch_offset: Annotated[float, quantity("V", "σ of the softmax's branches")] = 0.0,
    weight_bits: Annotated[int | None, typer.Option(help="Of the DACs that write weights [default: exact].")] = None,
    dac_bits: Annotated[int | None, typer.Option(help="Of the DACs that write inputs [default: exact].")] = None,
    adc_bits: Annotated[int | None, typer.Option(help="Of the ADCs that read logits [default: exact].")] = None,
    output_class: Annotated[str, typer.Option(help="Of buffers and conveyors, in the joules: AB or A.")] = "AB",
    read: Annotated[
        str, typer.Option(help="Outputs that the ADCs read, in the joules: of the last position, or all.")
    ] = "last",
    weight_hold: Annotated[
        str, typer.Option(help="Switches that weights are kept behind, in the joules: plain or low-leakage.")
    ] = "plain",
    noise: Annotated[
        str, typer.Option(help="off, thermal, or σ of every node, share of full scale (0.01 or 1%).")
    ] = "off",
    flicker: Annotated[
        bool,
        typer.Option("--flicker", help="1/f noise of transistors, frozen: flicker.* of the technology."),
    ] = False,
    trim: TrimOption = "none",
    chip_seed: ChipSeedOption = 0,
    noise_seed: Annotated[int, typer.Option(help="Which noise.")] = 0,
    tolerance: Annotated[
        float | None, quantity("1", "Local error of the solver, share of full scale", default="0.001")
    ] = None,
    settle_bits: Annotated[float, typer.Option(help="Settled means within 2⁻ᵇ: when to stop.")] = 8,
    accuracy: Annotated[
        str | None, typer.Option(help="waveform or settling (looser on the way) [default: waveform].")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="elements or stepper [default: elements; the stepper for noise].")
    ] = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "numpy",
    allow_saturation: Annotated[
        bool, typer.Option("--allow-saturation", help="Read a machine that has nodes on their rails.")
    ] = False,
    allow_unstable: AllowUnstableOption = False,
    timer_prompts: Annotated[int, typer.Option(help="N: the timer is the p99 of N calibration prompts; 0: none.")] = 4,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a run file (HDF5).")] = None,
    overwrite: OverwriteOption = False,
    resume: ResumeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Anneal a model on a prompt.

    Says the prediction beside the digital reference's, settling time, joules by part and the logits' error. Ideal and
    noiseless by default. With -o the run is kept every minute, when it is interrupted and when memory runs out.
    """
    from ..emulator.checkpoint import Checkpoint, same_file

    output = resume if output is None else output
    overwrite = overwrite or (output is not None and same_file(output, resume))
    if output is not None:
        check_target(output, overwrite=overwrite)
    options: dict[str, Any] = {
        "technology": technology_of(technology, settings),
        "softmax": softmax, "order": taylor_order, "activation": activation,
        "coupling": coupling, "device_card": card_of(device_card),
        "input_resistance": input_resistance, "leakage": leakage,
        "softmax_clamp": softmax_clamp, "softmax_gain": softmax_gain,
        "tokens": tokens, "mismatch": mismatch, "vt_mismatch": vt_mismatch, "pelgrom": pelgrom, "offset": offset,
        "branch_offset": branch_offset, "weight_bits": weight_bits, "dac_bits": dac_bits, "adc_bits": adc_bits,
        "output_class": output_class, "read": read, "weight_hold": weight_hold,
        "noise": parse_noise(noise), "flicker": flicker, "trim": parse_trim(trim), "chip_seed": chip_seed,
        "noise_seed": noise_seed,
        "tolerance": tolerance, "settle_bits": settle_bits, "accuracy": accuracy, "method": method,
        "precision": precision, "device": device, "timer_prompts": timer_prompts, "allow_saturation": allow_saturation,
        "allow_unstable": allow_unstable,
    }  # fmt: skip
    from ..circuits.checkpoints import load_model

    if output is not None:
        options |= {"checkpoint": Checkpoint(output, overwrite=overwrite), "resume": resume}
    with stdout_kept_for_json(as_json), said_how_to_go_on(output):
        found = _run(load_model(model, calibration=calibration), prompt, options, recorded=output is not None)
        if output is not None:
            found.save(output, overwrite=True, command=["dsmachine", *sys.argv[1:]])
    if as_json:
        write_json(found.summary())
    else:
        _show(results_console(), found, output)


def _run(model: Model, prompt: str, options: dict[str, Any], *, recorded: bool) -> Annealed:
    """Anneal with a progress line; with some waveforms and the error of each layer when it is going to be saved."""
    from .. import tasks

    with stage_progress() as stage:
        watchers = [*(tasks.recorders() if recorded else []), SettledShare(stage, options["settle_bits"])]
        noisy = [SettledShare(stage, None)]
        return tasks.anneal(model, prompt, observers=watchers, read_observers=noisy, stage=stage, **options)


def _show(console: Console, found: Annealed, output: Path | None) -> None:
    rows = {
        "model": f"{found.model}, {counted(len(found.tokens), 'token')}, {_chip(found)}",
        "prediction": f"{found.text!r} after {_tail(found.prompt)}; digital reference {found.expected!r}",
        "settled": _settling(found),
        "logit error": f"{found.logit_error:.2g} of the logits' range",
        "agreement": _agreement(found),
    }
    bits = {name: count for name, count in found.summary()["bits"].items() if count is not None}
    if bits:
        rows["converters"] = ", ".join(f"{name} {count} bits" for name, count in bits.items())
    if found.read is not None:
        said = found.summary()["noise"]
        rows["noise"] = f"{said['noise']}, seed {said['noise_seed']}: rms {said['rms']:.2%} in {said['worst_array']}"
    if output is not None:
        rows["run file"] = str(output)
    for name, text in rows.items():
        console.print(f"{name:<12} {text}", soft_wrap=True)
    console.print()
    console.print(str(found.energy), soft_wrap=True)


def _chip(found: Annealed) -> str:
    from ..circuits.chip import chip_words

    chip = found.machine
    spreads = {k: v for k, v in vars(chip.spread).items() if k != "write_verify"}  # a trim
    return chip_words(chip.seed, spreads | {"flicker": chip.flicker}, chip.trim)


def _tail(prompt: str) -> str:
    return repr(prompt) if len(prompt) <= 40 else "…" + repr(prompt[-40:])


def _settling(found: Annealed) -> str:
    from ..circuits.units import engineering

    if found.oracle_time is None:
        return f"no, not to {found.settle_bits:g} bits in {engineering(found.run.duration, 's')}"
    timer = "" if found.timer_time != found.timer_time else f", timer {engineering(found.timer_time, 's')}"
    return f"to {found.settle_bits:g} bits after {engineering(found.oracle_time, 's')}{timer}"


def _agreement(found: Annealed) -> str:
    said = found.argmax_agreement
    if said["share"] is None:
        return f"no position has a margin beyond the error; all {said['close']} are too close to tell"
    clear = f"{said['share']:.0%} of {counted(said['compared'], 'position')} with a clear margin"
    return clear if not said["close"] else f"{clear}; {said['close']} too close to tell"
