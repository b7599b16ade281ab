"""Token after token on the serial machine: one set of couplings, keys and values of earlier tokens on hold capacitors.

The first token's keys and values are loaded through DACs (language models park large values there, which shared nodes
cannot carry); every later token is annealed until it has settled, its keys and values stay in the banks, and the
likeliest token of the last is the next input. Meanwhile the banks droop: a token's own time is that of its phases,
reset, load, anneal and read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .circuits import checks
from .circuits.cells import Product
from .circuits.cells.hold import drooped, leakage
from .circuits.checkpoints import Model, as_model
from .circuits.chip import fabricate, pelgrom_areas
from .circuits.circuit import Circuit
from .circuits.errors import Error
from .circuits.mapping.bank import BANK, HELD, SELECT, WRITE
from .circuits.mapping.model import calibrate, map_model
from .circuits.technology import Technology, as_technology
from .emulator.observers import Observer
from .emulator.run import Run, transient
from .energy.meter import EnergyMeter
from .energy.report import EXCLUDED
from .tasks import check_saturation, logit_error, reference_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
BASIS = "oracle time"  # until when a turn lasts
UNCOUNTED = ("loading the first token", "switching the rotary couplings")


@dataclass(frozen=True)
class Token:
    """One token's turn: its place and id, when it settled [s] (oracle), what the turn took in all [s] and drew [J];
    largest droop of the banks so far, as a share of full scale; likeliest and reference: the next token by the
    machine and by the digital reference of the same text; logit_error: against that reference."""

    place: int
    id: int
    settling_time: float
    seconds: float
    joules: float
    droop: float
    likeliest: int
    reference: int
    logit_error: float


@dataclass(frozen=True)
class Generated:
    """What a serial machine wrote: model, prompt, text (of the new tokens), token by token how; hold: its switches;
    prompt_tokens: how many the prompt has, of which the first is loaded and the others are in `tokens`; excluded: what
    its joules do not count."""

    model: str
    prompt: str
    text: str
    hold: str
    technology: str
    prompt_tokens: int
    tokens: list[Token] = field(default_factory=list)
    excluded: tuple[str, ...] = EXCLUDED + UNCOUNTED

    @property
    def seconds(self) -> float:
        """Machine time in all [s]."""
        return sum(token.seconds for token in self.tokens)

    @property
    def joules(self) -> float:
        """Drawn from the supply in all [J]."""
        return sum(token.joules for token in self.tokens)

    @property
    def agreement(self) -> float:
        """Share of turns whose likeliest token is the digital reference's."""
        return float(np.mean([token.likeliest == token.reference for token in self.tokens]))

    def plot(self) -> Figure:
        """Turn by turn; see `results_plots.plot_generated`."""
        from .results_plots import plot_generated

        return plot_generated(self)

    def summary(self) -> dict[str, Any]:
        """What the command line prints with --json."""
        return {
            "model": self.model,
            "prompt": self.prompt,
            "text": self.text,
            "hold": self.hold,
            "basis": BASIS,
            "technology": self.technology,
            "prompt_tokens": self.prompt_tokens,
            "machine_time_s": self.seconds,
            "energy_j": self.joules,
            "agreement": self.agreement,
            "tokens": [vars(token) for token in self.tokens],
            "excluded": list(self.excluded),
        }


def generate(
    model: Model | str,
    prompt: str,
    *,
    max_new_tokens: int = 16,
    hold: str = "plain",
    technology: Technology | str = "cmos45",
    mismatch: float = 0.0,
    vt_mismatch: float = 0.0,
    pelgrom: bool = False,
    offset: float = 0.0,
    trim: Mapping[str, float] | None = None,
    chip_seed: int = 0,
    tolerance: float = 1e-3,
    settle_bits: float = 8,
    precision: str = "float32",
    allow_saturation: bool = False,
    observers: Callable[[], list[Observer]] = list,
    stage: Callable[[str], None] = lambda name: None,
    **mapping: Any,
) -> Generated:
    """Continue a prompt by `max_new_tokens` tokens, the likeliest each time, on the serial machine.

    hold: switches of the banks, "plain", "low-leakage" or "ideal" (no droop). pelgrom: as for `anneal`.
    mapping: options of `map_model`.
    allow_saturation: read a machine that has nodes on their rails at rest, with a warning, instead of an Error.
    observers: makes those of each token's transient; stage: told what begins, for progress bars.
    Raises Error for a prompt of one token (the machine anneals from the second on), beyond the context, and for a turn
    that does not settle.
    """
    tech = as_technology(technology)
    loaded = as_model(model)
    loaded.check_speaks()
    banks = _Banks(leakage(tech, hold), tech)
    ids = loaded.encode(prompt)
    positions = _length(loaded, ids, max_new_tokens)
    stage("calibrate")
    series: dict[str, Any] = {key: mapping[key] for key in ("softmax", "order", "activation") if key in mapping}
    ranges = calibrate(loaded, positions, **series, allow_unstable=bool(mapping.get("allow_unstable")))
    spread = {"mismatch": mismatch, "vt_mismatch": vt_mismatch, "offset": offset, "trim": trim}
    spread |= pelgrom_areas(tech, pelgrom, mapping.get("device_card"))
    settings = {"tolerance": tolerance, "settle_bits": settle_bits, "precision": precision}
    turns: list[dict[str, Any]] = []
    read: list[Array] = []
    for place in range(1, positions):
        stage(f"map token {place + 1}")
        circuit = map_model(loaded, positions, technology=tech, tokens="serial", place=place, ranges=ranges, **mapping)
        if place == 1:
            banks.load(circuit, reference_values(loaded, ids[:1], circuit))
        chip = fabricate(circuit, seed=chip_seed, **spread)  # type: ignore[arg-type]
        inputs = {"embed": loaded.embed(ids[: place + 1])[-1:], SELECT: np.eye(positions)[place], **banks.values}
        stage(f"anneal token {place + 1} of {positions}")
        meter = EnergyMeter(tech)
        run = transient(chip, inputs, observers=[meter, *observers()], **settings)  # type: ignore[arg-type]
        settled = _settled(run, place)
        check_saturation(chip, run, allow_saturation)
        report = meter.report(1, until=settled, basis=BASIS)
        read.append(run.logical("logits")[0, 0])
        turns.append(
            {"place": place, "id": ids[place], "settling_time": settled, "seconds": report.latency}
            | {"joules": float(report.total[0]), "droop": banks.lost}
        )
        banks.keep(run, place)
        banks.wait(report.latency)
        if place == len(ids) - 1:
            ids = [*ids, int(read[-1].argmax())]
    stage("reference")
    expected = reference_values(loaded, ids[:-1], circuit)["logits"][1:]
    tokens = [Token(**turn, **_compared(*rows)) for turn, *rows in zip(turns, read, expected, strict=True)]
    prompted = len(ids) - max_new_tokens
    return Generated(loaded.name, prompt, loaded.decode(ids[prompted:]), hold, tech.name, prompted, tokens)


def _settled(run: Run, place: int) -> float:
    """When a turn may be read [s]. Raises Error where it does not settle."""
    if not run.settled or run.settling_time is None:
        raise Error(
            f"token {place + 1} has not settled after {run.duration * 1e9:.4g} ns: lower settle_bits, or the chip's "
            "mismatch and offset"
        )
    return float(run.settling_time.max())


def _compared(logits: Array, reference: Array) -> dict[str, Any]:
    """What a turn says beside the digital reference, (V,) each."""
    return {
        "likeliest": int(logits.argmax()),
        "reference": int(reference.argmax()),
        "logit_error": logit_error(logits[None], reference[None]),
    }


def _length(model: Model, ids: list[int], more: int) -> int:
    """Tokens that the machine reads in all: prompt and answer but for the last."""
    if len(ids) < 2:
        raise Error("prompt has 1 token: the serial machine loads the first and anneals the rest, give at least two")
    most = model.config.context - len(ids) + 1
    fix = f"use a whole number, 1 … {most}: prompt and answer share the context of {model.name}"
    return len(ids) + checks.whole("max_new_tokens", more, 1, most, fix) - 1


class _Banks:
    """Keys and values on hold capacitors: logical values (positions, …) by the name of their clamped array."""

    def __init__(self, amperes: float, technology: Technology) -> None:
        self.amperes, self.farads = amperes, technology.switch.hold_capacitance
        self.values: dict[str, Array] = {}
        self.lost = 0.0
        self._units: dict[str, Array] = {}
        self._scales: dict[str, Array] = {}

    def load(self, circuit: Circuit, first: Mapping[str, Array]) -> None:
        """Empty banks but for the first token's row, from its activations."""
        for name, node in circuit.arrays.items():
            if name.endswith(HELD):
                write = circuit.terms[name.removesuffix(HELD) + BANK + WRITE]
                assert isinstance(write, Product)
                whole = np.reshape(first[write.b.array], (1, *circuit.arrays[write.b.array].shape))
                self.values[name] = np.zeros(node.shape)
                self.values[name][0] = write.b.of(whole)[0, 0]
                self._units[name], self._scales[name] = circuit.units(name), circuit.full_scale(name)

    def keep(self, run: Any, place: int) -> None:
        """Open the switches of the present token's row."""
        for name, held in self.values.items():
            held[place] = run.logical(name.removesuffix(HELD) + BANK)[0, place]

    def wait(self, seconds: float) -> None:
        """Droop for so long. `lost`: the most that a capacitor can have lost so far, as a share of full scale."""
        for name, held in self.values.items():
            unit = self._units[name]
            self.values[name] = drooped(held * unit, seconds, self.amperes, self.farads) / unit
        volts = min(float(np.min(unit * self._scales[name])) for name, unit in self._units.items())
        self.lost = min(1.0, self.lost + self.amperes * seconds / self.farads / volts)
