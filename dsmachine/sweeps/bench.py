"""One measurement of a sweep: a technology, a machine mapped in it, a chip of it, and what it says of a text.

A `Bench` is what all measurements share; a `Laboratory` makes them, and keeps the last machine and chip, which
neighbours in the grid share.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import __version__
from ..circuits import checks
from ..circuits.cells import converter
from ..circuits.checkpoints import Model
from ..circuits.chip import Chip, fabricate, flicker_areas, flickered, pelgrom_areas
from ..circuits.circuit import Circuit
from ..circuits.devices.card import DeviceCard
from ..circuits.errors import Error
from ..circuits.mapping.model import check_options, map_model
from ..circuits.technology import Technology, load_technology
from ..circuits.technology_parts import UNITS
from ..circuits.tokens import window_starts
from ..emulator.backend import Backend
from ..emulator.checkpoint import digest
from ..emulator.levels import ends_of_levels
from ..emulator.plan import Plan
from ..emulator.prepare import prepare
from ..emulator.request import Request
from ..emulator.run import operating_point, transient
from ..energy.meter import EnergyMeter
from ..netlists.device_file import load_device
from ..tasks import reference_values
from ..timer import converted
from .metrics import Reading, Relaxed, of_analysis
from .parameters import ANNEAL, PARAMETERS, RANDOM, READ, defaults

Array = Any
log = logging.getLogger(__name__)
CHIP_OPTIONS = ("mismatch", "vt_mismatch", "offset", "branch_offset", "weight_bits")
MAP_OPTIONS = (
    "softmax", "order", "activation", "coupling", "input_resistance", "leakage", "softmax_clamp", "softmax_gain",
)  # fmt: skip
CONVERTERS = ("dac_bits", "adc_bits", "weight_bits")
TRIMS = ("write-verify", "auto-zero")
MOST_TOGETHER = 8
LONGEST_READ = 1e-3  # seconds of a read window: a million time constants; 120 is somebody's 120 ns
RESULTS_VERSION = 2  # raise it when what a metric means changes between two releases


@dataclass(frozen=True)
class Job:
    """One analysis of one chip. point: parameters by name, all that the analysis depends on."""

    analysis: str
    point: Mapping[str, Any]
    chip: int
    noise_seed: int
    key: str = ""

    @cached_property
    def machine(self) -> Hashable:
        """What jobs of one chip have in common."""
        return (*_stages(self.point, "technology", "map", "chip"), self.point["precision"], self.chip)

    @property
    def noisy(self) -> bool:
        """Whether it reads a machine that noise shakes."""
        return self.analysis == READ and self.point["noise"] != 0

    @property
    def march(self) -> Hashable:
        """What jobs have in common that differ in their level of noise alone."""
        own = tuple((name, value) for name, value in sorted(self.point.items()) if name != "noise")
        return (own, self.chip, self.noise_seed) if self.noisy else self.key


Task = tuple[Job, ...]  # jobs that are measured together


def tasks(jobs: Sequence[Job], places: int) -> list[Task]:
    """Jobs in tasks for so many workers, in their order: levels of noise of one chip together, which share random
    numbers, as long as there is something for every worker."""
    found: dict[Hashable, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.march, []).append(job)
    most = max(1, min(MOST_TOGETHER, len(jobs) // max(places, 1)))
    return [tuple(each[k : k + most]) for each in found.values() for k in range(0, len(each), most)]


@dataclass(frozen=True)
class Bench:
    """tokens: ids of the whole text, of which each machine reads so many `windows`, spread evenly."""

    model: Model
    tokens: Array
    windows: int

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Of the model's numbers and of the text, whatever they are called."""
        model = self.model
        tensors = {name: digest(np.asarray(model.tensors[name])) for name in sorted(model.tensors)}  # one at a time
        return {
            "model": digest([model.config, tensors, model.calibration_text]),
            "text": digest([self.tokens, self.windows]),
        }

    def rows(self, positions: int) -> Array:
        """Tokens (windows, positions)."""
        starts = window_starts(len(self.tokens), positions, self.windows)
        return np.stack([self.tokens[s : s + positions] for s in starts])

    def technology(self, point: Mapping[str, Any]) -> Technology:
        """As the point has it."""
        known: dict[Hashable, Technology] = self.__dict__.setdefault("_technologies", {})
        stage = _stages(point, "technology")
        if stage not in known:
            numbers = {key: value for key, value in point.items() if key in UNITS and key != "temperature"}
            known[stage] = load_technology(
                point["technology"], corner=point["corner"], temperature=point["temperature"], vdd=point["vdd"],
                overrides={key: value for key, value in numbers.items() if value is not None},
            )  # fmt: skip
        return known[stage]

    def check(self, point: Mapping[str, Any]) -> None:
        """Raises Error for whatever `measure` would refuse of a point."""
        tech, card = self.technology(point), card_of(point)
        check_options(self.model, point["positions"], tech, device_card=card, **_taken(point, MAP_OPTIONS))
        if point["positions"] < 2:
            raise Error("positions is 1 and there is no next token to tell: use 2 or more")
        if point["positions"] > len(self.tokens):
            raise Error(f"text has {len(self.tokens)} tokens and positions is {point['positions']}: give a longer text")
        _made(Circuit("of nothing"), point, tech, card, 0, 0)
        for name in CONVERTERS:
            converter(name, point[name])
        _meter(point, tech)
        _ = Backend("cupy" if point["precision"].startswith("tf32") else "numpy", point["precision"])
        noise = _noise(point)
        if point["read_window"] is not None and point["read_window"] > LONGEST_READ:
            longest = f"{LONGEST_READ:g}, such as 120e-9 (120 ns)"
            raise Error(f"read_window is {point['read_window']!r}: it is in seconds, up to {longest}")
        Request(noise=noise, **_taken(point, ("step", "read_window")) if noise != "off" else {})
        Request(**_taken(point, ("tolerance", "settle_bits", "accuracy")))

    def job(self, analysis: str, point: Mapping[str, Any], chip: int, noise_seed: int) -> Job:
        """The job that measures a point, with only what it depends on, so that equal results have equal keys."""
        full = {n: v for n, v in defaults(point).items() if analysis in PARAMETERS[n].analyses}
        if not any(full[name] for name in RANDOM):
            chip = 0
        noisy = analysis == READ and full["noise"] != 0
        if not noisy and analysis == READ:
            full |= {"step": None, "read_window": None}
        if not noisy and not full["flicker"]:
            noise_seed = 0
        return Job(analysis, full, chip, noise_seed, self._key(analysis, full, chip, noise_seed))

    def _key(self, analysis: str, point: Mapping[str, Any], chip: int, noise_seed: int) -> str:
        """What it depends on, by content: files by what is in them, not by their names."""
        tech, card = self._files(_stages(point, "technology"), point)
        own = {n: v for n, v in sorted(point.items()) if PARAMETERS[n].stage != "technology" and n != "device_card"}
        return digest([RESULTS_VERSION, __version__, self.fingerprints, tech, card, analysis, own, chip, noise_seed])

    def _files(self, stage: Hashable, point: Mapping[str, Any]) -> tuple[str, str]:
        """Fingerprints of the technology and of the device card."""
        known: dict[Hashable, tuple[str, str]] = self.__dict__.setdefault("_known", {})
        at = (stage, point["device_card"])
        if at not in known:
            tech, card = self.technology(point), card_of(point)
            known[at] = (digest([tech.get(key) for key in UNITS]), digest(card))
        return known[at]

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.__dataclass_fields__}


@dataclass
class Laboratory:
    """Makes measurements, one at a time. device: "numpy", "cupy" or "cupy:1"."""

    bench: Bench
    device: str = "numpy"
    _kept: dict[str, tuple[Hashable, Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Laboratory, (self.bench, self.device)  # elsewhere it begins with nothing on the table

    def measure(self, task: Task) -> list[dict[str, float]]:
        """Every metric of each job's analysis, nan where there is none. Raises Error for what cannot be measured."""
        with self._lock:
            return self._measured(task)

    def _measured(self, task: Task) -> list[dict[str, float]]:
        job = task[0]
        point = job.point
        tech = self.bench.technology(point)
        stage = (*_stages(point, "technology", "map"), point["precision"])
        circuit = self._last("circuit", stage, lambda: self._mapped(point, tech))
        run = (job.machine, job.noise_seed if point["flicker"] else None)
        plan = self._last("plan", run, lambda: self._prepared(job, circuit, tech))
        tokens = self.bench.rows(point["positions"])
        embedded = self.bench.model.embed(tokens)
        inputs = {"embed": converted(converter("dac_bits", point["dac_bits"]), circuit, "embed", embedded)}
        if job.analysis == ANNEAL:
            return [of_analysis(ANNEAL, _relaxed(point, plan, inputs, tech))]
        reference = self._last("reference", stage, lambda: self._reference(tokens, circuit))
        return [of_analysis(READ, each) for each in _read(task, plan, inputs, tokens, reference)]

    def _last(self, what: str, key: Hashable, make: Callable[[], Any]) -> Any:
        if what not in self._kept or self._kept[what][0] != key:
            self._kept.pop(what, None)  # not two at a time
            self._kept[what] = (key, make())
        return self._kept[what][1]

    def _mapped(self, point: Mapping[str, Any], tech: Technology) -> Circuit:
        wide = "float64" if point["precision"] == "float64" else "float32"
        return map_model(
            self.bench.model, point["positions"], technology=tech, device_card=card_of(point), precision=wide,
            **_taken(point, MAP_OPTIONS),
        )  # fmt: skip

    def _prepared(self, job: Job, circuit: Circuit, tech: Technology) -> Plan:
        chip = _made(circuit, job.point, tech, card_of(job.point), job.chip, job.noise_seed)
        return prepare(chip, precision=job.point["precision"], device=self.device)

    def _reference(self, tokens: Array, circuit: Circuit) -> Array:
        return np.stack([reference_values(self.bench.model, row.tolist(), circuit)["logits"] for row in tokens])


def card_of(point: Mapping[str, Any]) -> DeviceCard | None:
    """The device card that a point names by its path."""
    return None if point["device_card"] is None else load_device(point["device_card"])


def _made(
    circuit: Circuit, point: Mapping[str, Any], tech: Technology, card: DeviceCard | None, chip: int, noise_seed: int
) -> Chip:
    trim = {name: point[name] for name in TRIMS if point[name] is not None}
    options = _taken(point, CHIP_OPTIONS) | pelgrom_areas(tech, point["pelgrom"], card)
    made = fabricate(circuit, seed=chip, trim=trim, **options)
    return flickered(made, **flicker_areas(tech, point["flicker"], card), noise_seed=noise_seed)


def _read(task: Task, plan: Plan, inputs: Mapping[str, Array], tokens: Array, reference: Array) -> Iterator[Reading]:
    job = task[0]
    outputs: Sequence[Mapping[str, Array]]
    if job.noisy:
        levels, window = [each.point["noise"] for each in task], _taken(job.point, ("step", "read_window"))
        ends = ends_of_levels(plan, inputs, levels, noise_seed=job.noise_seed, **window)
        outputs, saturated = ends.outputs, ends.saturated
    else:
        run = operating_point(plan, inputs)
        outputs, saturated = [run.outputs], run.saturated
    adc = converter("adc_bits", job.point["adc_bits"])
    nodes = sum(array.count for array in plan.circuit.arrays.values() if not array.clamped) * len(tokens)
    for volts in outputs:
        logits = converted(adc, plan.circuit, "logits", volts["logits"] / plan.circuit.units("logits"))
        yield Reading(tokens, np.asarray(logits, float), reference, sum(saturated.values()), nodes)


def _relaxed(point: Mapping[str, Any], plan: Plan, inputs: Mapping[str, Array], tech: Technology) -> Relaxed:
    meter = _meter(point, tech)
    how = _taken(point, ("tolerance", "settle_bits", "accuracy"))
    run = transient(plan, inputs, observers=[meter], **how)
    assert run.settling_time is not None
    times = np.asarray(run.settling_time, float)
    if not run.settled:
        log.warning("a machine has not settled to %g bits in %.3g s", point["settle_bits"], run.duration)
        return Relaxed(times, None)
    return Relaxed(times, meter.report(until=float(times.max()), basis="oracle time"))


def _meter(point: Mapping[str, Any], tech: Technology) -> EnergyMeter:
    return EnergyMeter(tech, **_taken(point, (*CONVERTERS, "output_class")))


def _noise(point: Mapping[str, Any]) -> str | float:
    return "off" if point["noise"] == 0 else point["noise"]


def _taken(point: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: point[name] for name in names}


def _stages(point: Mapping[str, Any], *stages: str) -> tuple[Any, ...]:
    return tuple(sorted((n, v) for n, v in point.items() if PARAMETERS[n].stage in stages))


def text_tokens(model: Model, text: str | None, windows: Any) -> Array:
    """Ids of a text, the calibration text where none is given."""
    checks.whole("windows", windows, 1, 10_000)
    if text is None and not model.calibration_text:
        raise Error(f"model {model.name!r} has no calibration text: give a text")
    said = (model.calibration_text, "calibration text") if text is None else (text, "text")
    return np.asarray(model.tokenize(*said))
