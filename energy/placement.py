"""Placement: a circuit on the chips of a machine, all at once or in passes; what programming and moving values cost.

Chips are filled in the order of the circuit, array by array, until nodes, couplings or (a chip that is filled by area)
silicon run out; arrays are cut between nodes, but never within a row of a softmax, whose branches share a tail. A node
with more couplings than `chip.fan_in` is cut into partial sums, nodes of their own that unit couplings add up.

    spatial      all chips at once: weights are programmed once
    in passes    fewer chips than it takes: P = ⌈needed / there⌉ times, they are programmed, settled and read

    programming  t = max(W t_DAC / (chips n_DAC),  D b / r_memory),          E = W E_write + D b E_memory
    a value that is read on another chip, once, when its chip has settled:
                 t = t_ADC / n_ADC + s b / r + s t_DAC / n_DAC, each shared by the chips that do it,
                 E = E_ADC + s (b E_bit + E_DAC)

W weights written, D of them distinct (positions have copies), b bits of the technology's converters, s chips that read
the value, r and E_bit of the link, or of the memory (written and read) between chips of different passes. Chips of one
array work side by side, arrays one after another. In a serial machine a pass takes a whole prompt, one token after
another; each token that is generated needs all passes anew, and its keys and values. Fixed couplings (skips, means,
rotations) are built in.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..circuits import checks
from ..circuits.checkpoints import load_config
from ..circuits.circuit import Circuit
from ..circuits.config import Config
from ..circuits.errors import Error
from ..circuits.mapping.model import TOKENS as MODES
from ..circuits.mapping.model import check_known
from ..circuits.mapping.sketch import sketch
from ..circuits.technology import Technology, as_technology
from ..circuits.units import engineering
from ..circuits.words import counted
from ..emulator.memory import host_room
from .inventory import Piece, deep, inventory
from .machine import Machine, as_machine
from .packing import Packing, pack, room_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOKENS = 128
BYTES = 20  # a node of a sketch takes while it is counted: 17 to 19 measured
NOWHERE = ("package, cooling", "rows and columns that stay empty on a chip of fixed shape")
EXCLUDED = (
    "annealing, loading of inputs, reading of outputs, refresh of weights, digital controller (see the energy report)",
    *NOWHERE,
)


@dataclass(frozen=True)
class Cost:
    """Seconds and joules."""

    seconds: float
    joules: float


NOTHING = Cost(0.0, 0.0)


@dataclass(frozen=True)
class Placement:
    """A model on a machine.

    Attributes:
        model, machine, technology, mode ("parallel" or "serial"), tokens: what was placed.
        nodes: of the circuit; counts: its cells by kind ("coupling", "product", …).
        silicon_m2: area of all that in the technology, converters apart.
        weights: programmed values, all copies.
        cut: nodes with more couplings than a node may have; partial_sums: nodes that were added for them.
        needed: chips that hold the whole circuit; chips: those that are there; passes: how often these are programmed.
        area_m2, power_w (as published, None where it is not): of the chips that are there.
        full: share of the needed chips' nodes and couplings, or silicon, that is used.
        programming: writing all weights once.
        reprogramming: by occasion, "prompt" (all `tokens`) and in a serial machine "token" (each one generated); none
            of it where all chips are there.
        crossing: values that chips send, of one prompt; transfer: what that costs; stages: arrays of one anneal that
            read what another chip has sent.
        excluded: what is not counted.
    """

    model: str
    machine: str
    technology: str
    mode: str
    tokens: int
    nodes: int
    counts: Mapping[str, int]
    silicon_m2: float
    weights: int
    cut: int
    partial_sums: int
    needed: int
    chips: int
    passes: int
    area_m2: float
    power_w: float | None
    full: Mapping[str, float]
    programming: Cost
    reprogramming: Mapping[str, Cost]
    crossing: int
    stages: int
    transfer: Cost
    excluded: tuple[str, ...] = EXCLUDED

    def plot(self) -> Figure:
        """Seconds and joules by occasion; see `plotting.plot_placement`."""
        from .plotting import plot_placement

        return plot_placement(self)


# --- placing --------------------------------------------------------------------------------------


def place(
    model: str | os.PathLike[str] | Circuit,
    machine: Machine | str = "ds-tpu",
    *,
    tokens: int | None = None,
    mode: str | None = None,
    chips: int | None = None,
    passes: bool = True,
    technology: Technology | str = "cmos45",
) -> Placement:
    """Place a model, of which the sizes are enough, or a circuit.

    model: a shape ("llama2-7b"), a folder, a file or a bundled name; or any Circuit, whose tokens and mode are its own.
    tokens: of a prompt; by default 128, or the context if that is less. mode: "parallel" (unless given): every position
    has its own nodes and couplings; "serial": one set of them for one token after another.
    chips: how many there are; None: as many as it takes. passes: whether it may then run in passes.
    Raises Error for what is unknown, for what does not fit on a chip, and where `chips` are too few without passes.
    """
    tech = as_technology(technology)
    kind = as_machine(machine)
    circuit, layers = _sketched(model, tokens, mode, tech)
    return _packed(circuit, layers, kind, tech, chips, passes)


def place_sizes(
    name: str, config: Config, machine: Machine, technology: Technology, *, tokens: int, chips: int | None = None
) -> Placement:
    """Place a model of these sizes, of so many tokens side by side, on chips that take turns if they are too few."""
    return _packed(_sketch(name, config, tokens, technology), config.layers, machine, technology, chips, True)


def _sketched(
    model: str | os.PathLike[str] | Circuit, tokens: int | None, mode: str | None, technology: Technology
) -> tuple[Circuit, int]:
    """(circuit, blocks that it stands for; 0: those that it has)."""
    if isinstance(model, Circuit):
        if tokens is not None or mode is not None:
            raise Error(f"tokens and mode of {model.name!r} are the circuit's own: leave them out")
        return model, 0
    name, config = load_config(model)
    mode = "parallel" if mode is None else mode
    check_known("mode", mode, MODES)
    least, most = (2 if mode == "serial" else 1), config.context
    fix = f"use a whole number, {least} … {most}, the context of {name}"
    asked = checks.whole("tokens", min(TOKENS, most) if tokens is None else tokens, least, most, fix)
    return _sketch(name, config, asked, technology, mode), config.layers


def _sketch(name: str, config: Config, tokens: int, technology: Technology, mode: str = "parallel") -> Circuit:
    """The circuit to be counted. Raises Error where its arrays do not fit into memory: they are a P + b P² nodes."""
    if mode == "parallel" and (room := host_room()) is not None:
        one, two = (
            sum(math.prod(node.shape) for node in sketch(name, config, few, technology).arrays.values())
            for few in (1, 2)
        )
        bent = (two - 2 * one) / 2
        needed = round(BYTES * tokens * (one - bent + bent * tokens))
        if needed > room:
            raise Error(
                f"counting {name} with {counted(tokens, 'token')} side by side needs {engineering(needed, 'B')} of "
                f"memory, {engineering(room, 'B')} are free: use fewer tokens, or mode serial"
            )
    return sketch(name, config, tokens, technology, mode)


def _packed(
    circuit: Circuit, layers: int, machine: Machine, technology: Technology, chips: int | None, passes: bool
) -> Placement:
    """Place a circuit that stands for one with so many blocks."""
    pieces = deep(inventory(circuit, technology), layers)
    packing = pack(pieces, room_of(machine, technology), technology, machine.name)
    there = packing.chips if chips is None else checks.whole("chips", chips, 1, 2**31, "give 1 or more")
    if there < packing.chips and not passes:
        raise Error(
            f"{circuit.name} needs {counted(packing.chips, 'chip')} of {machine.name}, {there:,} are there, "
            f"{packing.chips - there:,} too few: give more, or let it run in passes"
        )
    return _placement(circuit, pieces, packing, min(there, packing.chips), machine, technology)


def _placement(
    circuit: Circuit, pieces: Sequence[Piece], packing: Packing, there: int, machine: Machine, technology: Technology
) -> Placement:
    mode, tokens = circuit.notes.get("tokens", "parallel"), circuit.notes.get("positions", 1)
    counts: Counter[str] = Counter()
    for piece in pieces:
        counts.update(piece.counts)
    weights, distinct, held = (
        sum(getattr(piece, name) for piece in pieces) for name in ("weights", "distinct", "held")
    )
    passes = math.ceil(packing.chips / there)
    occasions = {"prompt": 0, "token": held} if mode == "serial" else {"prompt": 0}
    crossing, stages, transfer = transfers(pieces, packing, there, machine, technology)
    turns = tokens if mode == "serial" else 1
    most = room_of(machine, technology).most
    return Placement(
        model=circuit.name,
        machine=machine.name,
        technology=technology.name,
        mode=mode,
        tokens=tokens,
        nodes=sum(piece.nodes for piece in pieces),
        counts=dict(counts),
        silicon_m2=sum(piece.silicon for piece in pieces),
        weights=weights,
        cut=packing.cut,
        partial_sums=packing.partial,
        needed=packing.chips,
        chips=there,
        passes=passes,
        area_m2=there * machine.chip.area,
        power_w=None if machine.chip.power is None else there * machine.chip.power,
        full={
            name: used / (packing.chips * room)
            for name, used, room in zip(("nodes", "couplings", "silicon"), packing.used, most, strict=True)
            if math.isfinite(room)
        },
        programming=_writing(weights, distinct, there, machine, technology),
        reprogramming={
            what: _writing(weights + more, distinct + more, there, machine, technology) if passes > 1 else NOTHING
            for what, more in occasions.items()
        },
        crossing=turns * crossing,
        stages=stages,
        transfer=Cost(turns * transfer.seconds, turns * transfer.joules),
    )


def _writing(written: int, distinct: int, chips: int, machine: Machine, technology: Technology) -> Cost:
    """Of so many values, chips at the same time, their DACs or the memory whichever is slower."""
    converter, bits = technology.converter, distinct * technology.converter.bits
    writing = written / (chips * converter.dac_count) * converter.dac_time
    joules = written * technology.switch.refresh_energy + bits * machine.memory.energy
    return Cost(max(writing, bits / machine.memory.rate), joules)


def transfers(
    pieces: Sequence[Piece], packing: Packing, there: int, machine: Machine, technology: Technology
) -> tuple[int, int, Cost]:
    """(values sent, arrays that read any, their cost) of one anneal with so many chips there. Inputs are loaded, which
    is not counted here.

    Arrays on more than one chip are taken to read all they read from elsewhere.
    """
    converter, bits = technology.converter, technology.converter.bits
    nodes = {piece.array: piece.nodes for piece in pieces}
    leaving: Counter[str] = Counter()
    sent, seconds, joules = 0, 0.0, 0.0
    reading: set[str] = set()
    for piece in pieces:
        here = packing.span[piece.array]
        for read in piece.reads:
            source = packing.span[read.array]
            if not nodes[read.array] or (source == here and here.chips == 1):
                continue
            leaving[read.array] += read.values
            reading.add(piece.array)
            copies = read.values * math.ceil(here.chips / read.blocks)
            senders, readers = (min(span.chips, there) for span in (source, here))
            if source.first // there == here.last // there:
                seconds += copies * bits / (senders * machine.link.lanes * machine.link.rate)
                joules += copies * bits * machine.link.energy
            else:
                seconds += 2 * copies * bits / machine.memory.rate
                joules += 2 * copies * bits * machine.memory.energy
            seconds += math.ceil(copies / (readers * converter.dac_count)) * converter.dac_time
            joules += copies * converter.dac_energy
            sent += copies
    for name, values in leaving.items():
        once = min(values, nodes[name])
        senders = min(packing.span[name].chips, there)
        seconds += math.ceil(once / (senders * converter.adc_count)) * converter.adc_time
        joules += once * converter.adc_energy
    return sent, len(reading), Cost(seconds, joules)
