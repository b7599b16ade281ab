"""A value of the tables and where it is from; what the tables are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .published import SUFFIX, TRAINED, TRAINING, Cost, Published, published
from .systems import ADDED, Baseline, Machine

PRINTED, RECOMPUTED, EMULATED, MEASURED = "printed", "recomputed", "emulated", "measured"
GPU, DS = "4 × A100", "DS machine"
RULE = "the paper's rule"
AVERAGE = "mean"
ITEM = "of it "  # of quantities that are a share of another


@dataclass(frozen=True)
class Row:
    """One value. value: None where there is none yet, which assumptions then say; assumptions: each a sentence."""

    table: str
    model: str
    system: str
    task: str
    quantity: str
    unit: str
    value: float | None
    source: str
    assumptions: tuple[str, ...] = ()

    @property
    def item(self) -> bool:
        """Whether it is a share of another value of the same system."""
        return self.quantity.startswith(ITEM)


@dataclass(frozen=True)
class Inputs:
    """What the tables are made of. models: those of the paper that are asked for; machines, learners: emulated ones by
    the paper's model, for a sequence answered and for one learnt; runs, trainings: the same of files, each under its
    own model's name; baseline: of a GPU, if there is one."""

    models: Sequence[str]
    machines: Mapping[str, Machine]
    runs: Sequence[Machine]
    baseline: Baseline | None
    learners: Mapping[str, Machine] = field(default_factory=dict)
    trainings: Sequence[Machine] = ()

    def emulated(self) -> list[tuple[str, Machine]]:
        """(model, machine) of all that answers, in the order of the models, then of the runs."""
        return self._named(self.machines, self.runs)

    def systems(self) -> Iterator[tuple[str, list[Machine]]]:
        """(model, its machines): first the paper's models, with or without any, then those of runs alone."""
        yield from self._by_model(self.emulated())

    def learning(self) -> Iterator[tuple[str, list[Machine]]]:
        """As `systems`, of all that learns."""
        yield from self._by_model(self._named(self.learners, self.trainings))

    def _named(self, machines: Mapping[str, Machine], runs: Iterable[Machine]) -> list[tuple[str, Machine]]:
        named = [(name, machines[name]) for name in self.models if name in machines]
        named += [(paper_name(run.model), run) for run in runs]
        order = {name: k for k, name in enumerate(self.models)}
        return sorted(named, key=lambda item: order.get(item[0], len(order)))

    def _by_model(self, named: Iterable[tuple[str, Machine]]) -> Iterator[tuple[str, list[Machine]]]:
        found: dict[str, list[Machine]] = {name: [] for name in self.models}
        for name, machine in named:
            found.setdefault(name, []).append(machine)
        yield from found.items()


def paper_name(model: str) -> str:
    """The paper's name of a model that goes by it or by its shape's; any other as it is.

    >>> paper_name("gpt2-medium"), paper_name("llama2-7b"), paper_name("tiny-shakespeare")
    ('GPT2-M', 'Llama2-7B', 'tiny-shakespeare')
    """
    names = {shape: name for name, shape in published().shapes.items()}
    names |= {name.lower(): name for name in published().models}
    return names.get(model.lower(), model)


def from_paper(table: str, kind: str, model: str, paper: Published) -> Iterator[Row]:
    """GPU and DS machine as printed, the DS machine by the rule."""
    machine = paper.recomputed(kind, model)
    for system, cost, source in (
        (GPU, paper.costs[kind][model], PRINTED),
        (DS, paper.costs[kind][model + SUFFIX[kind]], PRINTED),
        (DS, machine, RECOMPUTED),
    ):
        yield from _cost(table, model, system, cost, source, () if source == PRINTED else (RULE,))


def _cost(table: str, model: str, system: str, cost: Cost, source: str, about: tuple[str, ...]) -> Iterator[Row]:
    for quantity, unit, cells in (("time", "s", cost.seconds), ("energy", "J", cost.joules)):
        for task, value in cells.items():
            yield Row(table, model, system, task, quantity, unit, float(value), source, about)


def gains(table: str, name: str, kind: str, models: Sequence[str], paper: Published) -> Iterator[Row]:
    """Averages of GPU over DS machine; the printed ones beside those of the models that they are averages over."""
    over, printed = ", ".join(models), tuple(models) == (paper.models if kind == TRAINING else TRAINED)
    speed, energy = paper.gains(kind, models)
    claims = (paper.claims[f"{name}_speedup"], paper.claims[f"{name}_energy_reduction"])
    for quantity, claim, value in zip(("speed-up", "energy reduction"), claims, (speed, energy), strict=True):
        if printed:
            yield Row(table, over, DS, AVERAGE, quantity, "×", float(claim), PRINTED, ("average in the abstract",))
        about = "mean over models and tasks of the printed cells' ratios"
        yield Row(table, over, DS, AVERAGE, quantity, "×", float(value), RECOMPUTED, (about,))


def emulated(
    machine: Machine, table: str, model: str, task: str, quantity: str, unit: str, value: float, said: str = ""
) -> Row:
    """A row of an emulated machine; said: what it rests on beside the machine's own assumptions."""
    about = (said, *machine.assumptions) if said else machine.assumptions
    return Row(table, model, machine.system, task, quantity, unit, value, EMULATED, about)


def items(machine: Machine, table: str, model: str) -> Iterator[Row]:
    """Seconds of each phase of a sequence, joules of what chips add, and what is beside the total."""
    for phase, seconds in machine.phases.items():
        yield emulated(machine, table, model, "", f"{ITEM}{phase}", "s", seconds)
    for part in ADDED:
        if part in machine.joules_by_part:
            yield emulated(machine, table, model, "", f"{ITEM}{part}", "J", machine.joules_by_part[part])
    for name, (seconds, joules) in machine.beside.items():
        yield emulated(machine, table, model, "", name, "s", seconds)
        yield emulated(machine, table, model, "", name, "J", joules)


__all__ = ["Inputs", "Row", "emulated", "from_paper", "gains", "items", "paper_name"]
