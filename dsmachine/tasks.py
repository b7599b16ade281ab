"""One call from a prompt to a settled machine: map, fabricate, anneal, weigh, compare with the digital reference."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from .circuits import checks
from .circuits.cells import converter
from .circuits.checkpoints import Model, as_model
from .circuits.chip import Chip, fabricate, flicker_areas, flickered, pelgrom_areas
from .circuits.circuit import Circuit
from .circuits.devices.card import DeviceCard
from .circuits.errors import Error
from .circuits.mapping.model import calibrate, map_model
from .circuits.reference import forward
from .circuits.technology import Technology, as_technology
from .circuits.units import engineering
from .circuits.words import counted
from .emulator.backend import Backend
from .emulator.checkpoint import Checkpoint, checked
from .emulator.errors_by_layer import ErrorByLayer
from .emulator.observers import Observer, Probe
from .emulator.prepare import check_memory, prepare
from .emulator.request import Request, checked_bits, chosen_method
from .emulator.run import Run, operating_point, transient
from .emulator.steps import Noise
from .energy.meter import EnergyMeter, EnergyReport
from .timer import MOST_PROMPTS, converted, timer_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
log = logging.getLogger(__name__)
TOLERANCE = 1e-3  # of the finite elements, where nothing else is asked for


class Agreement(TypedDict):
    """Share of likeliest tokens that agree; how many positions were compared, how many are too close to tell."""

    share: float | None
    compared: int
    close: int


@dataclass(frozen=True, repr=False)
class Annealed:
    """What `anneal` found.

    prompt, tokens: text and its token ids; text: the likeliest next token, decoded; logits (P, V) as read;
    expected: what the digital reference would say; reference: its logits;
    run: the noiseless transient, from zero until settled; read: the noisy window after it (None without noise);
    energy: joules by part until the timer time (without a timer, the oracle time); machine: the chip;
    technology: what it is made in; settle_bits: what settled means; dac_bits, adc_bits: of its converters;
    timer_time [s]: p99 of N calibration prompts' oracle settling times (nan: none asked for, or one has not settled, or
    this prompt has not); wall_s: seconds of each stage (calibrate, map,
    solve, read, timer, reference).
    """

    model: str
    prompt: str
    tokens: list[int]
    text: str
    expected: str
    logits: Array
    reference: Array
    run: Run
    energy: EnergyReport
    machine: Chip
    technology: Technology
    timer_time: float
    settle_bits: float = 8
    dac_bits: int | None = None
    adc_bits: int | None = None
    read: Run | None = None
    wall_s: dict[str, float] = field(default_factory=dict)

    @property
    def logit_error(self) -> float:
        """max over positions of max|Δlogit| / max|logit − mean logit| against the digital reference."""
        return logit_error(self.logits, self.reference)

    @property
    def argmax_agreement(self) -> Agreement:
        """Share of positions whose likeliest token agrees, where the reference's margin exceeds twice the error."""
        return argmax_agreement(self.logits, self.reference)

    @property
    def oracle_time(self) -> float | None:
        """When the machine settled [s]; None if it did not."""
        settled = self.run.settling_time
        return float(settled.max()) if settled is not None and self.run.settled else None

    def plot(self) -> Figure:
        """Logits against the digital reference's; see `results_plots.plot_annealed`."""
        from .results_plots import plot_annealed

        return plot_annealed(self)

    def __repr__(self) -> str:
        settled = "did not settle" if self.oracle_time is None else f"settled at {engineering(self.oracle_time, 's')}"
        joules = engineering(float(np.mean(self.energy.per_token)), "J")
        return (
            f"{type(self).__name__}({self.model!r}, {counted(len(self.tokens), 'token')} → {self.text!r}, {settled}, "
            f"{joules} a token, logit error {self.logit_error:.2g})"
        )

    def summary(self) -> dict[str, Any]:
        """What the command line prints with --json."""
        return {
            "model": self.model,
            "prompt": self.prompt,
            "tokens": len(self.tokens),
            "prediction": self.text,
            "reference_prediction": self.expected,
            "settled": self.run.settled,
            "settle_bits": self.settle_bits,
            "settling_time_s": {"oracle": self.oracle_time, "timer": self.timer_time},
            "energy_j": self.energy.to_json(),
            "logit_error": self.logit_error,
            "argmax_agreement": self.argmax_agreement,
            "saturated_nodes": sum(self.run.saturated.values()),
            "engine": self.run.statistics["engine"],
            "precision": self.run.statistics["precision"],
            "technology": self.machine.circuit.notes["technology"],
            "chip": {"seed": self.machine.seed, **vars(self.machine.spread), "trim": self.machine.trim},
            "flicker": {"area": self.machine.flicker, "seed": self.machine.noise_seed},
            "softmax": {key: self.machine.circuit.notes[key] for key in ("leakage", "softmax_clamp", "softmax_gain")},
            "device_card": self.machine.circuit.notes["device_card"],
            "bits": {"weight": self.machine.weight_bits, "dac": self.dac_bits, "adc": self.adc_bits},
            "noise": self._noise(),
            "wall_s": self.wall_s,
            "predicted_bytes": self.run.statistics.get("predicted_bytes"),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    def save(self, path: str | Path, *, overwrite: bool = False, command: Sequence[str] = ()) -> None:
        """Write the noiseless run as a run file, with all that belongs to it beside it (`load_run(path).extra`).

        command: how it was made, for the record.
        """
        extra: dict[str, Any] = {
            "command": list(command),
            "summary": self.summary(),
            "tokens": self.tokens,
            "logits": self.logits,
            "reference": self.reference,
            "technology": self.technology.describe(),
            "energy": self.energy.rows(),
        }
        self.run.save(path, overwrite=overwrite, extra=extra)

    def _noise(self) -> dict[str, Any] | None:
        if self.read is None:
            return None
        rms = self.read.noise_rms
        worst = max(rms, key=lambda name: rms[name])
        said = {key: self.read.statistics[key] for key in ("noise", "noise_seed", "read_window_s", "engine")}
        return said | {"worst_array": worst, "rms": rms[worst]}


def logit_error(logits: Array, reference: Array) -> float:
    """Worst position's max|Δlogit| / max|logit − mean logit| (DESIGN §2). (P, V) each."""
    spread = np.abs(reference - reference.mean(axis=-1, keepdims=True)).max(axis=-1)
    return float((np.abs(logits - reference).max(axis=-1) / spread).max())


def argmax_agreement(logits: Array, reference: Array) -> Agreement:
    """Of positions whose margin exceeds twice the largest error; no share if there are none."""
    best = np.sort(reference, axis=-1)
    margin = best[:, -1] - best[:, -2]
    clear = margin > 2 * np.abs(logits - reference).max(axis=-1)
    agree = logits.argmax(axis=-1) == reference.argmax(axis=-1)
    share = float(agree[clear].mean()) if clear.any() else None
    return {"share": share, "compared": int(clear.sum()), "close": int((~clear).sum())}


def anneal(
    model: Model | str,
    prompt: str,
    *,
    technology: Technology | str = "cmos45",
    softmax: str | None = None,
    order: int | None = None,
    activation: str = "tanh-pair",
    coupling: str = "buffered",
    device_card: DeviceCard | None = None,
    input_resistance: float = 0.0,
    leakage: bool = False,
    softmax_clamp: float | None = None,
    softmax_gain: float = 1.0,
    tokens: str = "parallel",
    mismatch: float = 0.0,
    vt_mismatch: float = 0.0,
    pelgrom: bool = False,
    offset: float = 0.0,
    branch_offset: float = 0.0,
    weight_bits: int | None = None,
    dac_bits: int | None = None,
    adc_bits: int | None = None,
    output_class: str = "AB",
    read: str = "last",
    weight_hold: str = "plain",
    trim: Mapping[str, float] | None = None,
    chip_seed: int = 0,
    noise: str | float = "off",
    flicker: bool = False,
    noise_seed: int = 0,
    tolerance: float | None = None,
    settle_bits: float = 8,
    accuracy: str | None = None,
    method: str | None = None,
    precision: str = "float32",
    device: str = "numpy",
    allow_saturation: bool = False,
    allow_unstable: bool = False,
    timer_prompts: int = 4,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: str | Path | None = None,
    observers: Sequence[Observer] = (),
    read_observers: Sequence[Observer] = (),
    stage: Callable[[str], None] = lambda name: None,
) -> Annealed:
    """Relax a language model on a prompt, as one circuit, until it has settled; weigh it; compare it.

    Ideal and noiseless by default. Names and units of the imperfections: `map_model`, `fabricate` and `transient`.
    pelgrom, flicker: the card's transistors differ by Pelgrom's law, and have a run's 1/f noise (`flickered`), of the
    technology's coefficients.
    dac_bits, adc_bits: of the converters that write the inputs and read the logits, over each node's rail; 2 … 24,
    None: exact. output_class: "AB" or "A", of buffers and conveyors, in the joules alone. read: outputs of the "last"
    position are converted, or of "all", weight_hold: weights behind "plain" or "low-leakage" switches, both in the
    joules and the latency alone.
    With noise the machine settles without it first and is then read at the end of a noisy window.
    device: "numpy" or "cupy", a GPU; precision: float32, float64 or, on a GPU, tf32 or tf32x3.
    tolerance: of the finite elements, 1e-3 by default. observers see the noiseless transient, read_observers the noisy
    window.
    allow_saturation: read a machine that has nodes on their rails at its operating point, with a warning, instead of
    an Error. allow_unstable: as for `map_model`.
    timer_prompts: N calibration prompts; the timer is the p99 of their N settling times (0: none, timer is nan).
    checkpoint, resume: as for `transient`, of the noiseless run until it has settled; the file stays unfinished until
    `Annealed.save` replaces it.
    stage: told the name of each stage as it begins (for progress bars).
    """
    _check(noise, noise_seed, method, settle_bits, timer_prompts)
    kept = checked(checkpoint, resume, observers)
    kept = replace(kept, stays_open=True) if kept else None
    _ = Backend(device, precision).xp  # before anything long begins
    if checks.among(tokens, ("serial",)):
        raise Error("tokens 'serial' is read token by token: use generate, or tokens 'parallel'")
    dac, adc = converter("dac_bits", dac_bits), converter("adc_bits", adc_bits)
    converter("weight_bits", weight_bits)
    watch = _Stopwatch(stage)
    watch("calibrate")
    tech = as_technology(technology)
    meter = EnergyMeter(
        tech, dac_bits=dac_bits, adc_bits=adc_bits, weight_bits=weight_bits, output_class=output_class, read=read,
        weight_hold=weight_hold,
    )  # fmt: skip
    loaded = as_model(model)
    loaded.check_speaks()
    ids = loaded.encode(prompt)
    series: dict[str, Any] = {"softmax": softmax, "order": order, "activation": activation}
    ranges = calibrate(loaded, len(ids), **series, allow_unstable=allow_unstable)
    watch("map")
    circuit = map_model(
        loaded, len(ids), technology=tech, coupling=coupling, device_card=device_card,
        input_resistance=input_resistance, leakage=leakage, softmax_clamp=softmax_clamp, softmax_gain=softmax_gain,
        tokens=tokens, ranges=ranges, precision="float64" if precision == "float64" else "float32", **series,
    )  # fmt: skip
    chip = fabricate(
        circuit, seed=chip_seed, mismatch=mismatch, vt_mismatch=vt_mismatch, offset=offset,
        branch_offset=branch_offset, trim=trim, weight_bits=weight_bits, **pelgrom_areas(tech, pelgrom, device_card),
    )  # fmt: skip
    chip = flickered(chip, **flicker_areas(tech, flicker, device_card), noise_seed=noise_seed)
    inputs = {"embed": converted(dac, circuit, "embed", loaded.embed(ids))}
    plan = prepare(chip, precision=precision, device=device)
    for prompts in {1, max(timer_prompts, 1)}:  # the timer's are side by side
        check_memory(plan, Request(tolerance=TOLERANCE), prompts)
    check_saturation(chip, operating_point(plan, inputs), allow_saturation)
    watch("solve", "anneal")
    stepped = noise == "off" and method == "stepper"
    run = transient(
        plan, inputs, settle_bits=settle_bits, method="stepper" if stepped else "elements", accuracy=accuracy,
        tolerance=tolerance if stepped or tolerance is not None else TOLERANCE, observers=[meter, *observers],
        checkpoint=kept, resume=resume,
    )  # fmt: skip
    window = None
    if noise != "off":
        watch("read")
        window = transient(plan, inputs, noise=noise, noise_seed=noise_seed, observers=read_observers)
    watch("timer")
    timer = math.nan  # of no use where the prompt itself does not settle
    if run.settled and timer_prompts:
        timer = timer_time(loaded, plan, len(ids), settle_bits=settle_bits, prompts=timer_prompts, dac=dac)
    watch("reference")
    reference = reference_values(loaded, ids, circuit)["logits"]
    watch("")
    settled = np.asarray((run if window is None else window).logical("logits")[0], float)
    logits = converted(adc, circuit, "logits", settled)
    return Annealed(
        model=loaded.name,
        prompt=prompt,
        tokens=ids,
        text=loaded.decode([int(logits[-1].argmax())]),
        expected=loaded.decode([int(reference[-1].argmax())]),
        logits=logits,
        reference=reference,
        run=run,
        energy=_weighed(meter, run, timer),
        machine=chip,
        technology=tech,
        timer_time=timer,
        settle_bits=settle_bits,
        dac_bits=dac_bits,
        adc_bits=adc_bits,
        read=window,
        wall_s=watch.seconds,
    )


def _check(noise: str | float, noise_seed: int, method: str | None, settle_bits: float, timer_prompts: int) -> None:
    """Error for what only the last stages would notice."""
    chosen_method(noise, method, {})
    checked_bits(settle_bits)
    if not checks.among(noise, ("off",)):
        Noise(noise, noise_seed)
    checks.whole("timer_prompts", timer_prompts, 0, MOST_PROMPTS, f"use a whole number, 0 (no timer) … {MOST_PROMPTS}")


def recorders() -> list[Observer]:
    """Observers whose records are worth a run file: the error of each array, and the logits' waveforms."""
    return [ErrorByLayer(), Probe(["logits"])]


def reference_values(model: Model, ids: list[int], circuit: Circuit) -> dict[str, Array]:
    """Activations of the digital reference with the attention and activation that the circuit has, `logits` (P, V)."""
    softmax, _, order = str(circuit.notes["softmax"]).partition(" ")
    activation = str(circuit.notes["activation"])
    return forward(
        model,
        ids,
        softmax="exact" if softmax == "translinear" else "taylor",
        order=int(order or 3),
        activation=None if activation == "tanh-pair" else activation,
    )


def check_saturation(chip: Chip, run: Run, allowed: bool) -> None:
    """Error, or a warning where it is allowed, when a node is on its rail at the operating point: its value is lost."""
    if not run.saturated:
        return
    name, count = max(run.saturated.items(), key=lambda item: item[1])
    total = sum(run.saturated.values())
    ideal = not any(vars(chip.spread).values())
    fix = "calibrate on text like the prompt" if ideal else "lower the chip's mismatch and offset"
    said = (
        f"{counted(total, 'node', 'saturate')} at the operating point, most in {name!r} ({count} of "
        f"{int(np.prod(chip.circuit.arrays[name].shape))})"
    )
    if not allowed:
        raise Error(f"{said}: {fix}, raise supply.headroom, or allow saturation")
    log.warning("%s: their values are lost; the logit error says what that costs", said)


def _weighed(meter: EnergyMeter, run: Run, timer: float) -> EnergyReport:
    """Joules until the timer reads the machine; until it settled where no timer was measured or it fell short."""
    if run.settling_time is None or not run.settled:
        return meter.report()
    oracle = float(run.settling_time.max())
    waits = {"oracle time": oracle} | ({} if math.isnan(timer) else {"timer time": timer})
    if timer >= oracle:
        return meter.report(until=timer, basis="timer time", waits=waits)
    basis = "oracle time" if math.isnan(timer) else "oracle time, later than the timer"
    return meter.report(until=oracle, basis=basis, waits=waits)


class _Stopwatch:
    """Seconds of each stage by its key; calling it ends one stage and begins the next, announced by its label."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self.announce = announce
        self.seconds: dict[str, float] = {}
        self._name, self._begun = "", time.perf_counter()

    def __call__(self, name: str, label: str = "") -> None:
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = now - self._begun
        self._name, self._begun = name, now
        if name:
            self.announce(label or name)
