"""What stands beside the paper in its tables: emulated machines, from run files and by shape, and GPUs as measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..circuits.chip import chip_words
from ..circuits.errors import Error
from ..circuits.shapes import SHAPES
from ..circuits.words import counted
from ..emulator.runfile import format_of, load_run
from ..emulator.training_file import FORMAT as TRAINING_FORMAT
from ..emulator.training_file import load_training
from .report import APART

TRANSFER, REPROGRAMMING = ADDED = ("transfer", "reprogramming")  # what several chips add
SPATIAL = "every weight a device of its own, once for each position; transfers between chips not counted"
LAST = "outputs of the last position read"
LEARNT = "one sample after another, the loss not read"
SYSTEM = "emulated machine"
SHAPES_FILE, LEARNERS_FILE = "data/energy_by_shape.json", "data/training_by_shape.json"
BASELINE_FILE = "data/baseline.json"


@dataclass(frozen=True)
class Machine:
    """An emulated machine's answer to one sequence, the token after it or its class; or what learning one takes.

    tokens: positions annealed side by side, the outputs of the last of which are read; phases [s]; joules_by_part:
    drawn from the supply; assumptions: all that the figures rest on and leave out, in sentences. system: its name in
    tables; sizes: of its model (`Config.plain`), None where not known. beside: what is in none of the phases and parts,
    {name: (seconds, joules)}.
    """

    model: str
    tokens: int
    phases: Mapping[str, float]
    joules_by_part: Mapping[str, float]
    assumptions: tuple[str, ...]
    system: str = SYSTEM
    sizes: Mapping[str, Any] | None = None
    beside: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def latency(self) -> float:
        """Seconds from reset to the end."""
        return sum(self.phases.values())

    @property
    def joules(self) -> float:
        """Drawn from the supply for the whole sequence."""
        return sum(self.joules_by_part.values())

    @property
    def joules_without_refresh(self) -> float:
        """If the weights kept themselves."""
        return self.joules - self.joules_by_part.get("refresh", 0.0)

    @property
    def joules_of_circuits(self) -> float:
        """Of nodes, couplings, cells and converters alone: without refresh and the digital controller."""
        return self.joules - sum(self.joules_by_part.get(part, 0.0) for part in APART)

    @property
    def on_chips(self) -> str:
        """What its name says of chips that it is on, after that of its model; "" where every device is on one."""
        return self.system.removeprefix(SYSTEM)

    def weighed(self) -> dict[str, float]:
        """Joules by what is left out, in words that follow a quantity's name."""
        return {
            "": self.joules,
            " without refresh": self.joules_without_refresh,
            " of the circuits alone": self.joules_of_circuits,
        }


@dataclass(frozen=True)
class Step:
    """A step of a model on a GPU, as `dsmachine baseline` times it: seconds and joules (None: no meter) a token."""

    model: str
    phase: str
    tokens: int
    batch: int
    seconds_per_token: float
    joules_per_token: float | None
    about: str


@dataclass(frozen=True)
class Baseline:
    """Steps of models on one device."""

    device: str
    steps: tuple[Step, ...]

    @property
    def models(self) -> set[str]:
        """Names of those measured."""
        return {step.model for step in self.steps}

    def quickest(self, model: str, phase: str, batch: int | None = None) -> Step | None:
        """The step of least seconds a token; batch: None for any."""
        found = (s for s in self.steps if s.model == model and s.phase == phase and batch in (None, s.batch))
        return min(found, key=lambda step: step.seconds_per_token, default=None)


def is_training(path: str | Path) -> bool:
    """Whether a file is of `dsmachine train -o` rather than of `dsmachine anneal -o`. Raises Error for no such file."""
    return format_of(path) == TRAINING_FORMAT


def machine_of_run(path: str | Path) -> Machine:
    """The machine of a run file that `dsmachine anneal -o` wrote.

    Raises Error for what is no run file, and for a run that has no account of its energy.
    """
    run = load_run(path)
    summary = run.extra.get("summary")
    if run.unfinished or not isinstance(summary, Mapping) or "energy_j" not in summary:
        what = "is unfinished" if run.unfinished else "has no account of energy"
        raise Error(f"run file {path} {what}: give one that dsmachine anneal wrote to its end")
    account = summary["energy_j"]
    tokens = int(account["tokens"])
    read = int(account.get("positions_read", tokens))
    return Machine(
        model=str(summary["model"]),
        tokens=tokens,
        phases=_last_read({name: float(cost["seconds"]) for name, cost in account["by_phase"].items()}, read),
        joules_by_part=_by_part(((e["part"], e["phase"], e["drawn_j"]) for e in run.extra["energy"]), read),
        assumptions=(_said_of_run(summary, account), SPATIAL, LAST, *_of_account(account)),
        sizes=run.notes.get("sizes") if run.notes.get("tokens") == "parallel" else None,
    )


def machine_of_training(path: str | Path) -> Machine:
    """The machine that learns a sample of a training file that `dsmachine train -o` wrote.

    Raises Error for what is no training file, and for a training of which no sample was weighed.
    """
    account = load_training(path)["account"]
    if account is None:
        raise Error(f"training file {path} has no account of energy: train without --no-energy, on what settles")
    return Machine(
        model=str(account["model"]),
        tokens=int(account["tokens"]),
        phases=account["phases_s"],
        joules_by_part=_by_part(((e["part"], e["phase"], e["drawn_j"]) for e in account["rows"]), 1),
        assumptions=(account["of"], SPATIAL, LEARNT, *_of_account(account)),
        sizes=account["sizes"],
    )


def _last_read(phases: Mapping[str, float], read: int) -> dict[str, float]:
    """Seconds, or joules, by phase where the outputs of one position are converted instead of those of `read`."""
    return {name: value / max(1, read) if name == "read" else value for name, value in phases.items()}


def _by_part(entries: Iterable[tuple[str, str, float]], read: int) -> dict[str, float]:
    """{part: joules} from (part, phase, joules) of a machine of which so many positions are read: what
    is drawn while it is read is in proportion to the conversions."""
    found: dict[str, float] = {}
    for part, phase, joules in entries:
        found[part] = found.get(part, 0.0) + sum(_last_read({phase: joules}, read).values())
    return found


def _said_of_run(summary: Mapping[str, Any], account: Mapping[str, Any]) -> str:
    spreads = {key: value for key, value in summary["chip"].items() if key not in ("seed", "trim")}
    made = chip_words(summary["chip"].get("seed", 0), spreads)
    noise = summary["noise"] or {}
    return (
        f"{summary['model']} with its weights on {summary['technology']}, {counted(account['tokens'], 'token')} of a "
        f"prompt, read at the {account['until']}, {made}, noise {noise.get('noise', 'off')}"
    )


def _of_account(account: Mapping[str, Any]) -> tuple[str, ...]:
    """What was taken for granted, and what is not counted at all."""
    told = {"taken": account.get("assumed"), "not counted": account["excluded"]}
    return tuple(f"{word}: {'; '.join(lines)}" for word, lines in told.items() if lines)


def machines_of_shapes() -> dict[str, Machine]:
    """By shape: machines of random weights, as `benchmarks/energy_by_shape.py` measured them; empty without its
    file."""
    return _of_shapes(SHAPES_FILE, _machine_of_shape)


def learners_of_shapes() -> dict[str, Machine]:
    """By shape: the same machines learning a sequence, as `benchmarks/training_by_shape.py` measured them."""
    return _of_shapes(LEARNERS_FILE, _learner_of_shape)


def _of_shapes(name: str, made: Callable[[Mapping[str, Any], Mapping[str, Any]], Machine]) -> dict[str, Machine]:
    source = files(__package__).joinpath(name)
    if not source.is_file():
        return {}
    data = json.loads(source.read_text(encoding="utf-8"))
    return {row["model"]: made(row, data["accounts"][row["model"]]) for row in data["rows"]}


def _machine_of_shape(row: Mapping[str, Any], account: Mapping[str, Any]) -> Machine:
    wait = f"read after {row['read_after_s'] * 1e9:.0f} ns: {row['known']}"
    return Machine(
        model=row["model"],
        tokens=row["tokens"],
        phases=_last_read(account["phases_s"], row["tokens"]),
        joules_by_part=_by_part(_entries(account), row["tokens"]),
        assumptions=(_said_of_shape(row, wait), SPATIAL, LAST, *_of_account(account)),
        sizes=SHAPES[row["model"]].plain(),
    )


def _learner_of_shape(row: Mapping[str, Any], account: Mapping[str, Any]) -> Machine:
    forward, backward = (f"{row[way] * 1e9:.0f} ns" for way in ("forward_s", "backward_s"))
    wait = f"a loss after the last; {forward} forward and {backward} backward: {row['known']}"
    return Machine(
        model=row["model"],
        tokens=row["tokens"],
        phases=account["phases_s"],
        joules_by_part=_by_part(_entries(account), 1),
        assumptions=(_said_of_shape(row, wait), SPATIAL, LEARNT, *_of_account(account)),
        sizes=SHAPES[row["model"]].plain(),
    )


def _said_of_shape(row: Mapping[str, Any], wait: str) -> str:
    law = "" if row["built"] == row["layers"] else ", joules of the others as of these (energy/depth.py)"
    return (
        f"random weights (σ 0.02) of {row['model']}'s shape on cmos45, {row['built']} of {row['layers']} layers "
        f"built{law}; {row['tokens']} random tokens; {wait}; ideal chip, no noise"
    )


def _entries(account: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """(part, phase, joules) of an account by part and phase."""
    for part, each in account["joules"].items():
        for phase, joules in each.items():
            yield part, phase, joules


def load_baseline(path: str | Path | None = None) -> Baseline | None:
    """What `dsmachine baseline -o` measured; None: the file that the package brings, or None if it brings none.

    Raises Error for a file that is missing, no JSON, or without rows of models.
    """
    if path is None:
        source = files(__package__).joinpath(BASELINE_FILE)
        if not source.is_file():
            return None
        text = source.read_text(encoding="utf-8")
    else:
        text = _text(path)
    try:
        data = json.loads(text)
        steps = tuple(_step(row) for row in data["rows"])
        if not steps:
            raise ValueError("no rows")
        return Baseline(str(data["device"]), steps)
    except json.JSONDecodeError as problem:
        raise Error(f"baseline {path} is no JSON ({problem}): write it with dsmachine baseline -o") from None
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        what = f"lacks {problem}" if isinstance(problem, KeyError) else f"is not as expected ({problem})"
        raise Error(f"baseline {path} {what}: write it with dsmachine baseline -o") from None


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Error(f"baseline {path} does not exist: measure one with dsmachine baseline MODEL -o {path}") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "no text"
        raise Error(f"baseline {path} cannot be read ({reason}): give a file of dsmachine baseline -o") from problem


def _step(row: Mapping[str, Any]) -> Step:
    joules = row.get("joules_per_token")
    for name in ("tokens", "batch", "seconds_per_token", *([] if joules is None else ["joules_per_token"])):
        value = row[name]
        if not (math.isfinite(float(value)) and float(value) > 0):
            raise ValueError(f"{name} of {row['model']} is {value}")
    said = {key: row.get(key) for key in ("precision", "launch", "weights", "energy_source")}
    return Step(
        model=str(row["model"]),
        phase=str(row.get("phase", "prefill")),
        tokens=int(row["tokens"]),
        batch=int(row["batch"]),
        seconds_per_token=float(row["seconds_per_token"]),
        joules_per_token=None if joules is None else float(joules),
        about=", ".join(f"{key.replace('_', ' ')} {value}" for key, value in said.items() if value is not None),
    )


__all__ = [
    "Baseline", "Machine", "Step", "is_training", "learners_of_shapes", "load_baseline", "machine_of_run",
    "machine_of_training", "machines_of_shapes",
]  # fmt: skip
