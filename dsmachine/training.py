"""A chip learns on what is read to it: forward rest, backward rest, an update of its weights; again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .circuits import checks
from .circuits.checkpoints import Model, as_model
from .circuits.chip import chip_words, fabricate
from .circuits.mapping.model import map_model
from .circuits.technology import Technology, as_technology
from .circuits.words import counted
from .emulator.checkpoint import check_case, same_file
from .emulator.files import check_target
from .emulator.gradients import Gradients
from .emulator.learning import Learner
from .emulator.still_noise import StillNoise
from .emulator.training_file import load_training, save_training
from .energy.training_step import anneal_both, step_report
from .energy.weight_update import by_capacitors, by_converters
from .training_case import case_of, mapped_by, shaken_by, technology_of
from .training_data import Lessons, read_lessons
from .training_rule import rule_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any
SPREADS = ("mismatch", "vt_mismatch", "offset")  # of a chip that learns
log = logging.getLogger(__name__)
POSITIONS = 32
BATCH = 8
SHARE_AT_RAILS = 0.001  # of all weights, more than at the beginning, of which is warned


@dataclass(frozen=True)
class Course:
    """lessons: what is learnt; held_out: what is only asked; batch: samples a step; total: steps; seed: their order."""

    lessons: Lessons
    held_out: Lessons | None
    batch: int
    total: int
    seed: int

    def rows(self, step: int) -> Array:
        """Which samples step number `step` (0, 1, …) learns: each pass has an order of its own."""
        a_pass = len(self.lessons) // self.batch
        order = np.random.default_rng([self.seed, step // a_pass]).permutation(len(self.lessons))
        begin = step % a_pass * self.batch
        return order[begin : begin + self.batch]


@dataclass(repr=False)
class Trained:
    """A chip in training.

    learner: the chip, whose `circuit` has what was learnt; course: what it learns; chip: seed, spreads and trim.
    loss [nat], accuracy: of each step's samples before its update; accuracy is the share of next tokens, or of labels,
    told right. validation: {"loss": [before, after], "accuracy": …} of samples that are not learnt; {} without.
    account: of the first sample (`_weighed`); None where not weighed or not settled. rails_before: programmed values at
    an end of their range before any step. saturated: nodes on their rails in the last step.
    """

    model: Model
    task: str
    learner: Learner
    course: Course
    optimizer: str
    chip: dict[str, Any]
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation: dict[str, list[float]] = field(default_factory=dict)
    account: dict[str, Any] | None = None
    rails_before: int = 0
    saturated: int = 0

    @property
    def steps(self) -> int:
        """Taken so far."""
        return len(self.loss)

    @property
    def at_rails(self) -> int:
        """Programmed values at an end of their range now."""
        return self.learner.at_rails

    @property
    def joules(self) -> dict[str, float] | None:
        """Drawn for the first sample by phase: reset, load, anneal, backward, update."""
        if self.account is None:
            return None
        found = dict.fromkeys(self.account["phases_s"], 0.0)
        for row in self.account["rows"]:
            found[row["phase"]] += row["drawn_j"]
        return found

    @property
    def energy(self) -> float | None:
        """Joules drawn for all samples, as if each cost what the first did."""
        return None if self.joules is None else self.steps * self.course.batch * sum(self.joules.values())

    @property
    def seconds(self) -> float | None:
        """What the machine takes for all samples, one after another, as if each took as long as the first."""
        return None if self.account is None else self.steps * self.course.batch * sum(self.account["phases_s"].values())

    def read(self, lessons: Lessons) -> dict[str, float]:
        """{"loss", "accuracy"} of samples that are asked, not learnt; mean over them."""
        batch = self.course.batch

        def logits(rows: Array) -> Array:
            return self.learner.rest({"embed": self.model.embed(lessons.tokens[rows])}, "logits", int(rows[0]) // batch)

        with self.learner.plan.backend.here():
            return lessons.read(batch, logits)

    def step(self, technology: Technology | None = None) -> None:
        """One batch is read and learnt. technology: to weigh the first of all by."""
        course, learner, rows = self.course, self.learner, self.course.rows(self.steps)
        inputs, backend = {"embed": self.model.embed(course.lessons.tokens[rows])}, learner.plan.backend
        with backend.here():
            targets = course.lessons.targets(rows, self.model.config.vocabulary, backend.xp)
        told = learner.gradients(inputs, targets)
        if technology is not None and not self.loss:
            self.account = _weighed(self, told, inputs, technology)
        with backend.here():
            self.accuracy.append(course.lessons.right(rows, told.seen.there["logits"]))
        learner.update(told.terms.there)
        self.loss.append(float(told.loss.sum()))
        self.saturated = sum(told.forward.saturated.values())

    def plot(self) -> Figure:
        """Loss against steps; see `results_plots.plot_training`."""
        from .results_plots import plot_training

        return plot_training(self)

    def __repr__(self) -> str:
        held = [f"held-out loss {' → '.join(f'{x:.3g}' for x in self.validation['loss'])}"] if self.validation else []
        last = [f"loss {self.loss[0]:.3g} → {self.loss[-1]:.3g}"] if self.loss else []
        return f"{type(self).__name__}({', '.join([repr(self.model.name), counted(self.steps, 'step'), *last, *held])})"

    def summary(self) -> dict[str, Any]:
        """What the command line prints with --json."""
        learner = self.learner
        return {
            "model": self.model.name,
            "task": self.task,
            "steps": self.steps,
            "batch": self.course.batch,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "validation": self.validation or None,
            "energy_j": self.energy,
            "machine_s": self.seconds,
            "energy_of_one_sample_j": self.joules,
            "weights": learner.count,
            "weights_at_rails": {"before": self.rails_before, "after": self.at_rails},
            "saturated_nodes": self.saturated,
            "optimizer": self.optimizer,
            "digital_updates": learner.count * self.steps if learner.optimizer.digital else 0,
            "chip": self.chip,
        }


def train(
    model: Model | str,
    data: str | Path,
    *,
    task: str = "text",
    labels: Mapping[str, str] | None = None,
    validation: str | Path | None = None,
    positions: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    optimizer: str = "sgd",
    lr: float | None = None,
    lr_of: str | None = None,
    clip: float | None = None,
    data_seed: int = 0,
    technology: Technology | str = "cmos45",
    softmax: str | None = None,
    order: int | None = None,
    activation: str = "tanh-pair",
    mismatch: float = 0.0,
    vt_mismatch: float = 0.0,
    offset: float = 0.0,
    trim: Mapping[str, float] | None = None,
    chip_seed: int = 0,
    noise: str | float = "off",
    noise_unit: str = "full-scale",
    noise_seed: int = 0,
    precision: str = "float32",
    device: str = "numpy",
    energy: bool = True,
    output: str | Path | None = None,
    overwrite: bool = False,
    resume: str | Path | None = None,
    command: Sequence[str] = (),
    told: Callable[[Trained], None] = lambda found: None,
) -> Trained:
    """Train a language model on one chip, mismatch and all.

        w ← w − lr · dL/dw,   |G_ij| ≤ coupling.g_max       ("sgd": what control capacitors do)

        found = ds.train("tiny-shakespeare", "plays.txt", validation="held_out.txt", mismatch=0.05, chip_seed=1)
        found.validation["loss"]                        # [before, after], nat
        ds.transient(found.learner.circuit, inputs)     # this chip with what it learnt

    L is the mean over a batch; dL/dw = Σ a x by the chip's own devices, at the operating points of the chip and of its
    adjoint circuit (`emulator/learning.py`). What learns are the programmed couplings and biases of the machine; token
    embeddings, which DACs write, and gains that the mapping folded into couplings are no values of their own.

    data: a file. task: "text", each window of it is a sample and every next token is learnt; "classify" and "pairs",
    tables of one or two sentences and a label, as GLUE has them, where labels = {label: word} says which word is learnt
    after them (`training_data.py`). validation: a file alike, asked before and after, not learnt.
    positions: tokens side by side, so many of a sample (default: 32, or the context if smaller).
    epochs: passes over the data (1), or steps: updates in all. batch: samples a step (default: 8, or all if fewer);
    what is left over of a pass is not used. lr: 0.01 of "sgd", 0.001 of "adamw" (digital, otherwise with PyTorch's
    defaults) unless given. lr_of: what that is the rate of: "model", each weight as the checkpoint has it, so that
    columns with a norm's gain γ folded in move by lr |γ| (default of "adamw"), or "chip", each programmed value (all
    that "sgd" has). clip: norm that a step's gradients together are scaled down to, of "adamw" (default: none).
    data_seed: order of the samples.
    Chip, mapping, precision and device: as `fabricate` and `map_model`.
    noise: "off", "thermal", or σ in 0 … 1 of every node of the forward machine, at every reading, of validation too;
    noise_unit: of σ, "full-scale" or "activation"; see `emulator/still_noise.py`. noise_seed: which.
    energy: weigh what the machine does with the first sample (`energy/training_step.py`).
    output: a training file, written whole after each step; resume: one to go on with, bit for bit on the same device;
    one that has all its steps is only read, which brings the learnt chip back. epochs, steps, device and energy may
    differ from its own. command: kept in the file. told: called after each step with what is found.

    Raises Error for bad data and options, and for a file of another chip, model, data or option.
    """
    rule = rule_of(optimizer, lr, lr_of, clip)
    output, overwrite = _target(output, resume, overwrite)
    kept = None if resume is None else load_training(resume)
    loaded = as_model(model)
    tech = as_technology(technology)
    width = min(POSITIONS, loaded.config.context) if positions is None else positions
    read = partial(read_lessons, loaded, task, positions=checked_positions(loaded, width), labels=labels)
    course = _course(
        read(path=data), None if validation is None else read(path=validation), batch, epochs, steps, data_seed
    )
    circuit = map_model(
        loaded, width, technology=tech, softmax=softmax, order=order, activation=activation,
        precision="float64" if checks.among(precision, ("float64",)) else "float32",
    )  # fmt: skip
    chip = fabricate(circuit, seed=chip_seed, mismatch=mismatch, vt_mismatch=vt_mismatch, offset=offset, trim=trim)
    shaken = None if checks.among(noise, ("off",)) else StillNoise(noise, noise_seed, noise_unit)
    learner = Learner(circuit, chip, tech, rule.made(loaded, circuit), precision=precision, device=device, noise=shaken)
    about = {"chip_seed": chip.seed, **vars(chip.spread), "trim": chip.trim}
    about |= {} if shaken is None else shaken_by(shaken)
    found = Trained(loaded, task, learner, course, optimizer, about, rails_before=learner.at_rails)
    case: dict[str, Any] = {}
    if output is not None:
        options = about | shaken_by(shaken) | rule.asked | {
            "task": task, "labels": labels, "batch": course.batch, "data_seed": course.seed, "precision": precision,
        } | mapped_by(loaded, width, softmax, order, activation) | technology_of(tech)  # fmt: skip
        case = case_of(options, loaded, circuit, course.lessons, course.held_out)
    if kept is not None:
        check_case(str(resume), kept["case"], case)
        _restore(found, kept)
        if found.steps > course.total:
            log.warning(
                "run file %s has %s, more than the %d of this training: it is only read; ask for more than %d steps in "
                "all to go on", resume, counted(found.steps, "step"), course.total, found.steps,
            )  # fmt: skip
    elif course.held_out is not None:
        found.validation = {name: [value] for name, value in found.read(course.held_out).items()}
    while found.steps < course.total:
        found.step(tech if energy else None)
        if output is not None:
            _keep(found, case, command, output, overwrite or found.steps > 1)
        told(found)
    if course.held_out is not None:
        for name, value in found.read(course.held_out).items():
            found.validation[name].append(value)
    _warn(found)
    return found


# --- before ---------------------------------------------------------------------------------------


def checked_positions(model: Model, positions: int) -> int:
    """Tokens side by side, enough to learn from and within the model's context."""
    return checks.whole("positions", positions, 2, model.config.context)


def _target(output: str | Path | None, resume: str | Path | None, overwrite: bool) -> tuple[str | Path | None, bool]:
    """Where to write, which is where what is gone on with came from unless said otherwise, and whether over it."""
    if resume is not None:
        checks.path("run file", resume)
    output = resume if output is None else output
    overwrite = overwrite or (output is not None and same_file(output, resume))
    if output is not None:
        check_target(output, overwrite=overwrite)
    return output, overwrite


def _course(
    lessons: Lessons, held_out: Lessons | None, batch: int | None, epochs: int | None, steps: int | None, seed: int
) -> Course:
    count = len(lessons)
    size = checks.whole("batch", min(BATCH, count) if batch is None else batch, 1, count,
                        f"the data has {counted(count, 'sample')}: use 1 … {count}, or more data")  # fmt: skip
    checks.one_of_both("epochs", epochs, "steps", steps)
    passes = checks.whole("epochs", 1 if epochs is None else epochs, 1, 10**6)
    total = passes * (count // size) if steps is None else checks.whole("steps", steps, 1, 10**9)
    return Course(lessons, held_out, size, total, checks.seed("data_seed", seed))


# --- joules ---------------------------------------------------------------------------------------


def _weighed(
    found: Trained, told: Gradients, inputs: Mapping[str, Array], technology: Technology
) -> dict[str, Any] | None:
    """What the machine takes for the first sample, as plain numbers: seconds by phase, joules by part, layer and phase,
    and in words what they are of, rest on and leave out."""
    learner, course = found.learner, found.course
    made = anneal_both(learner.plan, inputs, told, technology)
    if made.settled is None:
        log.warning("the first sample does not settle, forward or backward: joules are not told")
        return None
    circuit = learner.plan.circuit
    if learner.optimizer.digital:
        update = by_converters(circuit, technology, batch=course.batch)
    else:
        update = by_capacitors(circuit, made.back, technology, rate=learner.optimizer.rate, batch=course.batch)
    report = step_report(made, made.settled, update)
    made_as = chip_words(found.chip["chip_seed"], {key: found.chip[key] for key in SPREADS})
    return {
        "model": found.model.name,
        "sizes": found.model.config.plain(),
        "tokens": report.tokens,
        "of": f"first sample of {found.model.name} on {report.technology}, {report.tokens} tokens, loss of "
        f"{made.counting} of them, {made_as}, no noise, each anneal until settled to 8 bits",
        "phases_s": dict(report.phases),
        "rows": report.rows(),
        "assumed": list(report.assumed),
        "excluded": list(report.excluded),
    }


def _warn(found: Trained) -> None:
    stuck = found.at_rails - found.rails_before
    if stuck > SHARE_AT_RAILS * found.learner.count:
        log.warning(
            "%d of %d weights stand at the end of their range, %d before any step: lower lr", found.at_rails,
            found.learner.count, found.rails_before,
        )  # fmt: skip
    if found.saturated:
        log.warning("values are lost of %s on rails in the last step", counted(found.saturated, "node"))


# --- files ----------------------------------------------------------------------------------------


def _keep(found: Trained, case: dict[str, Any], command: Sequence[str], path: str | Path, overwrite: bool) -> None:
    """Write the file as of the last step."""
    weights, memory = found.learner.kept()
    state = {
        "loss": found.loss, "accuracy": found.accuracy, "weights": weights, "optimizer": memory,
        "validation": {k: v[:1] for k, v in found.validation.items()},
        "account": found.account, "rails_before": found.rails_before, "saturated": found.saturated, "case": case,
    }  # fmt: skip
    save_training(path, state, {"command": list(command), "model": found.model.name}, overwrite=overwrite)


def _restore(found: Trained, kept: Mapping[str, Any]) -> None:
    """Stand where a file ends."""
    found.loss, found.accuracy, found.validation = kept["loss"], kept["accuracy"], kept["validation"]
    found.account, found.saturated = kept["account"], kept["saturated"]
    found.learner.restore(kept["weights"], kept["optimizer"], found.steps)
