"""``dsmachine generate MODEL``: continue a prompt on the serial machine, token after token."""

from __future__ import annotations

from typing import Annotated

import typer

from ..circuits.words import counted
from ._common import JsonOption, results_console, stdout_kept_for_json, write_json
from ._options import (
    ActivationOption,
    AllowUnstableOption,
    CalibrationOption,
    ChipSeedOption,
    DeviceCardOption,
    MismatchOption,
    ModelArgument,
    OffsetOption,
    PelgromOption,
    SetOption,
    SoftmaxClampOption,
    SoftmaxOption,
    TaylorOrderOption,
    TechnologyOption,
    TrimOption,
    VtMismatchOption,
    card_of,
    parse_trim,
    quantity,
    technology_of,
)
from ._progress import SettledShare, stage_progress


def generate(
    model: ModelArgument,
    prompt: Annotated[str, typer.Option(help="The text to continue, two tokens or more.", show_default=False)],
    max_new_tokens: Annotated[int, typer.Option(help="Tokens to write.")] = 16,
    hold: Annotated[
        str, typer.Option(help="Switches of the key and value banks: plain, low-leakage, or ideal (no droop).")
    ] = "plain",
    calibration: CalibrationOption = None,
    technology: TechnologyOption = "cmos45",
    settings: SetOption = None,
    softmax: SoftmaxOption = None,
    taylor_order: TaylorOrderOption = None,
    activation: ActivationOption = "tanh-pair",
    device_card: DeviceCardOption = None,
    softmax_clamp: SoftmaxClampOption = None,
    allow_unstable: AllowUnstableOption = False,
    mismatch: MismatchOption = 0.0,
    vt_mismatch: VtMismatchOption = 0.0,
    pelgrom: PelgromOption = False,
    offset: OffsetOption = 0.0,
    trim: TrimOption = "none",
    chip_seed: ChipSeedOption = 0,
    tolerance: Annotated[float, quantity("1", "Local error of the solver, share of full scale")] = 1e-3,
    allow_saturation: Annotated[
        bool, typer.Option("--allow-saturation", help="Read a machine that has nodes on their rails.")
    ] = False,
    settle_bits: Annotated[float, typer.Option(help="Settled means within 2⁻ᵇ: when a token is read.")] = 8,
    precision: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    as_json: JsonOption = False,
) -> None:
    """Continue a prompt on the serial machine: one set of couplings, a token after the other.

    Keys and values of earlier tokens stay on hold capacitors that droop; the first token's are loaded.
    """
    from ..circuits.checkpoints import load_model
    from ..serial import Generated
    from ..serial import generate as run

    options = {
        "max_new_tokens": max_new_tokens, "hold": hold, "technology": technology_of(technology, settings),
        "softmax": softmax, "order": taylor_order, "activation": activation, "device_card": card_of(device_card),
        "softmax_clamp": softmax_clamp, "mismatch": mismatch,
        "vt_mismatch": vt_mismatch, "pelgrom": pelgrom,
        "offset": offset, "trim": parse_trim(trim), "chip_seed": chip_seed,
        "tolerance": tolerance, "settle_bits": settle_bits, "precision": precision,
        "allow_saturation": allow_saturation,
        "allow_unstable": allow_unstable,
    }  # fmt: skip
    with stdout_kept_for_json(as_json), stage_progress() as stage:
        found: Generated = run(
            load_model(model, calibration=calibration), prompt, stage=stage,
            observers=lambda: [SettledShare(stage, settle_bits)], **options,  # type: ignore[arg-type]
        )  # fmt: skip
    if as_json:
        write_json(found.summary())
    else:
        _show(found)


def _show(found: object) -> None:
    from ..circuits.units import engineering
    from ..serial import Generated

    assert isinstance(found, Generated)
    console, turns = results_console(), found.tokens
    last, slowest = turns[-1], max(token.settling_time for token in turns)
    rows = {
        "text": f"{found.prompt}{found.text}",
        "annealed": f"{counted(len(turns), 'token')}, prompt included, in {engineering(found.seconds, 's')} of machine "
        f"time; each read when it had settled (oracle time), after {engineering(slowest, 's')} at the latest",
        "energy": f"{engineering(found.joules / len(turns), 'J')} a token drawn from the supply",
        "not counted": "; ".join(found.excluded),
        "banks": f"{found.hold} switches, drooped by {last.droop:.2%} of full scale at the end",
        "agreement": f"{found.agreement:.0%} of the tokens are the digital reference's choice; "
        f"logit error at the end {last.logit_error:.2g}",
    }
    for name, text in rows.items():
        console.print(f"{name:<11} {text}", soft_wrap=True)
