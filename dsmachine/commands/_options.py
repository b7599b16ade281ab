"""Options that several commands have, under one name each and with the same meaning everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import Error
from ..circuits.quantities import known, written_number
from ..circuits.technology_parts import UNITS
from ..circuits.units import si

if TYPE_CHECKING:
    from ..circuits.checkpoints import Model
    from ..circuits.devices.card import DeviceCard
    from ..circuits.technology import Technology

FORMS = {  # by what a quantity is measured in: its name in help, and one written in SI and with a unit
    "1": ("SHARE", "0.02 or 2%"),
    "nat": ("NATS", "12"),
    "V": ("VOLTS", "0.3 or 300mV"),
    "Ω": ("OHMS", "1e3 or 1kΩ"),
    "m": ("METRES", "240e-9 or 240nm"),
    "s": ("SECONDS", "2 or 2000ms"),
    "K": ("KELVIN", "300"),
}


def quantity(unit: str, help: str, default: str = "") -> Any:
    """An option that takes a number in SI or one with a unit, as `--set` does. default: in words, where it is None."""
    name, example = FORMS[unit]

    def parse(text: str | float) -> float:
        if not isinstance(text, str):
            return text  # the default
        try:
            found = written_number(text, repr(text), si(unit)[1])
        except Error as error:
            raise typer.BadParameter(str(error)) from None
        if found is None:
            raise typer.BadParameter(f"{text!r} is no number: write one such as {example}")
        return found

    tail = f" [default: {default}]" if default else ""
    return typer.Option(parser=parse, metavar=name, help=f"{help} ({example}){tail}", show_default=not default)


ModelArgument = Annotated[
    str,
    typer.Argument(
        help="A model by name (tiny-shakespeare, smollm2), a Hugging Face folder or a GGUF file.", show_default=False
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE", help="Text that sets the volts [default: the model's own]."),
]
PositionsOption = Annotated[
    int | None, typer.Option("--positions", help="Tokens side by side [default: 16, or the context if smaller].")
]
TechnologyOption = Annotated[str, typer.Option(help="A bundled technology, or a .toml file.")]
SoftmaxOption = Annotated[
    str | None, typer.Option(help="translinear or taylor [default: as the model was trained].", show_default=False)
]
TaylorOrderOption = Annotated[
    int | None, typer.Option("--taylor-order", help="Order of softmax taylor [default: 3].", show_default=False)
]
ActivationOption = Annotated[str, typer.Option(help="GELU from tanh-pair, taylor or paper.")]
CouplingOption = Annotated[str, typer.Option(help="buffered (one-sided pairs), balanced, or passive.")]
DeviceCardOption = Annotated[
    Path | None,
    typer.Option("--device-card", metavar="FILE", help="Build weights of these transistors (see characterize)."),
]
PelgromOption = Annotated[
    bool, typer.Option("--pelgrom", help="Transistors differ by Pelgrom's law: mismatch.* of the technology, W and L.")
]
TrimOption = Annotated[
    str, typer.Option(help="none, or what trimming leaves: write-verify=σ,auto-zero=σ, shares (0.005 or 0.5%).")
]
ChipSeedOption = Annotated[int, typer.Option(help="Which chip: all static draws.")]
InputResistanceOption = Annotated[float, quantity("Ω", "r_x of every conveyor; 0: ideal")]
LeakageOption = Annotated[bool, typer.Option("--leakage", help="Softmax branches leak at the technology's floor.")]
SoftmaxClampOption = Annotated[
    float | None, quantity("nat", "Hold scores at ± so many nats", default="the reach of the cell")
]
SoftmaxGainOption = Annotated[float, typer.Option(help="Nats the softmax makes of one: calibrated over actual kelvin.")]
MismatchOption = Annotated[float, quantity("1", "Relative σ of conductances")]
VtMismatchOption = Annotated[float, quantity("1", "Additive σ, share of the row's largest conductance")]
OffsetOption = Annotated[float, quantity("1", "σ of node offsets, share of full scale")]
AllowUnstableOption = Annotated[
    bool, typer.Option("--allow-unstable", help="Taylor attention although its Σe is not positive on this model.")
]
SpiceModelsOption = Annotated[
    list[Path] | None,
    typer.Option("--spice-models", metavar="FILE", help="Transistor model cards [default: the bundled ones]."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help='A number of the technology: coupling.width=240e-9, or "=240 nm".'),
]
OVERLAYS = ("temperature", "vdd")
TokensOption = Annotated[str, typer.Option(help="parallel: each position has its own nodes.")]

POSITIONS = 16


def card_of(path: Path | None) -> DeviceCard | None:
    """The device card of `--device-card`, if there is one."""
    from .. import load_device

    return None if path is None else load_device(path)


def positions_of(model: Model, positions: int | None) -> int:
    """What was asked for, or a size that is quickly looked at."""
    return min(POSITIONS, model.config.context) if positions is None else positions


def parse_noise(text: str) -> str | float:
    """ "off", "thermal" or σ as a share of full scale.

    >>> parse_noise("0.01"), parse_noise("1%")
    (0.01, 0.01)
    """
    if text in ("off", "thermal"):
        return text
    sigma = written_number(text, "--noise", "1")
    if sigma is None or not 0 < sigma < 1:
        raise Error(f"--noise {text!r} is unknown: use off, thermal, or σ between 0 and 1 (0.01: 1 % of full scale)")
    return sigma


def parse_trim(text: str) -> dict[str, float]:
    """ "none", or residual spreads by trim.

    >>> parse_trim("write-verify=0.5%,auto-zero=0.001")
    {'write-verify': 0.005, 'auto-zero': 0.001}
    """
    if text == "none":
        return {}
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        sigma = written_number(value, f"--trim {name!r}", "1")
        if sigma is None:
            raise Error(f"--trim {part!r} is not understood: write none, or write-verify=0.005,auto-zero=0.001")
        if name in found:
            raise Error(f"--trim has {name!r} twice: give it once")
        found[name] = sigma
    return found


def parse_set(settings: list[str] | None, of: str, units: Mapping[str, str] | None = None) -> dict[str, float]:
    """Numbers by key, in SI. of: what has them, in messages; units: of what keys are measured in, those of a
    technology's if not given.

    >>> parse_set(["coupling.width=240nm", "supply.vdd=0.9"], "technology 'cmos45'")
    {'coupling.width': 2.4e-07, 'supply.vdd': 0.9}
    """
    found: dict[str, float] = {}
    units = UNITS | {"vdd": UNITS["supply.vdd"]} if units is None else units
    for text in settings or []:
        key, _, value = text.partition("=")
        if (key := key.strip()) in found:
            raise Error(f"--set has {key!r} twice: give it once")
        if key:
            known(key, units, f"key of {of}")
        number = written_number(value, f"--set {key!r}", units[key]) if key else None
        if number is None:
            raise Error(f"--set {text!r} is not understood: write KEY=VALUE, such as coupling.width=240e-9")
        found[key] = number
    return found


def technology_of(name: str, settings: list[str] | None) -> Technology:
    """The technology of `--technology`, with what `--set` says: corner, temperature and vdd as overlays, as a sweep's
    parameters, and its numbers as they are."""
    from .. import load_technology

    corners = [text for text in settings or [] if text.partition("=")[0].strip() == "corner"]
    if len(corners) > 1:
        raise Error("--set has 'corner' twice: give it once")
    corner = corners[0].partition("=")[2].strip() if corners else "TT"
    numbers = parse_set([text for text in settings or [] if text not in corners], f"technology {name!r}")
    if "vdd" in numbers and "supply.vdd" in numbers:
        raise Error(
            f"--set has 'vdd' {numbers['vdd']!r} and 'supply.vdd' {numbers['supply.vdd']!r}: give vdd, which moves "
            "what follows the supply, or supply.vdd, that number alone"
        )
    overlays = {key: numbers.pop(key) for key in OVERLAYS if key in numbers}
    return load_technology(name, corner=corner, overrides=numbers, **overlays)
