"""What ``netlist`` and ``crosscheck`` share: a tile or block of a model on a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import Error

if TYPE_CHECKING:
    from ..circuits.cells.mos.design import Transistors
    from ..circuits.checkpoints import Model
    from ..circuits.chip import Chip
    from ..circuits.circuit import Circuit
    from ..circuits.devices.card import DeviceCard
    from ..circuits.technology import Technology

TileOption = Annotated[
    str | None,
    typer.Option(help="TERM[rows,columns], such as 'h.0.mlp.c_fc[0:8,0:8]' (see info --json).", show_default=False),
]
BlockOption = Annotated[
    str | None, typer.Option(help="Every term under a prefix, such as h.0 or h.0.mlp.", show_default=False)
]
PartPromptOption = Annotated[
    str | None, typer.Option("--prompt", help="Input of the model [default: its calibration text begins so].")
]
PositionOption = Annotated[int | None, typer.Option("--position", help="Position of a tile [default: the last].")]
LevelOption = Annotated[str, typer.Option(help="behavioural, or device: transistors of --device-card.")]
ConveyorOption = Annotated[
    str, typer.Option(help="Conveyors and buffers of level device: ideal, or of transistors, class A or AB.")
]

TOKENS = 8


@dataclass(frozen=True)
class ChipOptions:
    """Which chip of transistors is meant: --pelgrom, --trim, --chip-seed."""

    pelgrom: bool
    trim: dict[str, float]
    seed: int

    def __post_init__(self) -> None:
        if not self.pelgrom and (self.trim or self.seed):
            raise Error("--trim and --chip-seed are of transistors that differ: add --pelgrom, or leave them out")

    def made(self, circuit: Circuit, technology: Technology, card: DeviceCard | None) -> Circuit | Chip:
        """This chip of a circuit; the circuit itself where none is meant."""
        from .. import fabricate
        from ..circuits.chip import pelgrom_areas

        spread = pelgrom_areas(technology, self.pelgrom, card)
        return fabricate(circuit, seed=self.seed, trim=self.trim, weight_bits=None, **spread) if spread else circuit


@dataclass(frozen=True)
class Part:
    """A mapped model, its input, and which part of it is meant: arguments of `write_netlist` and `crosscheck`."""

    machine: Circuit | Chip
    prompt: str
    inputs: dict[str, Any]
    select: str
    position: int | None


def chosen(tile: str | None, block: str | None) -> str:
    """The one selection of two options; Error for none and for both."""
    if tile is not None and block is not None:
        raise Error(f"--tile {tile!r} and --block {block!r} exclude each other: give one of them")
    if tile is None and block is None:
        raise Error("neither --tile nor --block is given: name a part, such as --block h.0 or --tile 'wte[0:8,0:8]'")
    return str(tile if block is None else block)


def mapped_part(
    model: str,
    calibration: Path | None,
    prompt: str | None,
    select: str,
    position: int | None,
    options: dict[str, Any],
    devices: ChipOptions,
    *,
    tile: bool,
) -> Part:
    """Map the model for the prompt and check the selection against it."""
    from .. import load_model, map_model
    from ..netlists.selection import parse_selection

    if tile and not select.endswith("]"):
        raise Error(f"--tile {select!r} is not understood: write TERM[rows,columns], or --block for a whole term")
    if not tile and position is not None:
        raise Error(f"--position {position} with --block {select!r}: a block has all positions, leave it out")
    loaded = load_model(model, calibration=calibration)
    if prompt is None:
        prompt = default_prompt(loaded, TOKENS if position is None else max(TOKENS, position + 1))
    ids = loaded.encode(prompt)
    circuit = map_model(loaded, len(ids), **options)
    parse_selection(select, circuit)
    machine = devices.made(circuit, options["technology"], options["device_card"])
    return Part(machine, prompt, {"embed": loaded.embed(ids)}, select, position)


def transistors_of_level(
    level: str, card: DeviceCard | None, models: list[Path] | None, conveyor: str
) -> Transistors | None:
    """What a netlist of level device is made of; None for the other level. Error for what only one of them takes."""
    from .. import load_models
    from ..circuits.cells.mos.design import SUPPORTS
    from ..netlists.supports import transistors_of
    from ..netlists.writer import check_level

    check_level(level)
    if conveyor not in SUPPORTS:
        raise Error(f"--conveyor {conveyor!r} is unknown: use {', '.join(SUPPORTS)}")
    if level != "device":
        for option, given in (("--spice-models", bool(models)), (f"--conveyor {conveyor}", conveyor != "ideal")):
            if given:
                raise Error(f"{option} is of --level device, not {level!r}: leave it out")
        return None
    if card is None:
        raise Error("--level device needs --device-card: make one with dsmachine characterize")
    return transistors_of(card, load_models(models or ()), conveyor=conveyor)


def default_prompt(model: Model, tokens: int) -> str:
    """The first tokens of the calibration text, no more than the context takes."""
    ids = model.tokenize(model.calibration_text, "calibration text")
    return model.decode(ids[: min(tokens, model.config.context)])
