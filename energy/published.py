"""The DS-LLM paper's tables as printed, and the rule by which its DS latencies and joules follow, recomputed.

    inference (table 3)   t = N L             E = 2.7 W t         N: test samples of a task, L: a latency of the model
    training  (table 2)   t = 10 N_train L    E = 8.5 W t
    table 7, table 4      TTFT = L            1/L tokens/s        3.6e6 / (2.7 W · L) tokens/kWh
    GPU                   E = 800 W t         (table 7: means over tasks of t/N, and of N/E)

Every DS cell of tables 2 and 3 is reproduced to its printed digits from five latencies, two sets of sample counts and
two powers: the cells do not depend on a task but through its size, and not on length or batch. How the rule was found
stands in `data/ds_llm_tables.json`. Numbers are decimals with the digits that are printed; arithmetic is exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Any

Cells = Mapping[str, Decimal]  # by task
KWH = Decimal("3.6E6")  # joules
TRAINED = ("GPT2", "GPT2-M", "OPT1.3B")  # models over which the printed averages of inference are taken
INFERENCE, TRAINING = "table3", "table2"
SUFFIX = {INFERENCE: "-DS", TRAINING: "-DS-ECL"}  # of the DS row of a model


@dataclass(frozen=True)
class Cost:
    """Seconds and joules of one system, by task."""

    seconds: Cells
    joules: Cells


@dataclass(frozen=True)
class Rate:
    """A row of table 7 or 4: seconds to the first token (None in table 4), tokens a second, tokens a kWh."""

    ttft: Decimal | None
    tokens_per_s: Decimal
    tokens_per_kwh: Decimal


@dataclass(frozen=True)
class Rule:
    """What the DS cells are made of: latency [s] of each model, samples of each task, watts.

    gpu_samples: over which the GPU's times of table 3 are a steady time a sample (GLUE's development sets).
    """

    latency: Mapping[str, Decimal]
    samples: Cells
    training_samples: Cells
    gpu_samples: Cells
    training_latencies: Decimal
    inference_power: Decimal
    training_power: Decimal
    gpu_power: Decimal
    how: str

    def inference(self, model: str) -> Cost:
        """Table 3's row of a model on the DS machine."""
        seconds = {task: n * self.latency[model] for task, n in self.samples.items()}
        return Cost(seconds, {task: t * self.inference_power for task, t in seconds.items()})

    def training(self, model: str) -> Cost:
        """Table 2's row of a model on the DS machine."""
        step = self.training_latencies * self.latency[model]
        seconds = {task: n * step for task, n in self.training_samples.items()}
        return Cost(seconds, {task: t * self.training_power for task, t in seconds.items()})

    def rate(self, model: str) -> Rate:
        """Table 7's row of a model on the DS machine."""
        latency = self.latency[model]
        return Rate(latency, 1 / latency, KWH / (self.inference_power * latency))

    def gpu_rate(self, cost: Cost) -> Rate:
        """Table 7's row of a model on the GPUs, from its row of table 3: seconds over test sizes that were not run."""
        count = len(self.samples)
        ttft = sum((cost.seconds[task] / n for task, n in self.samples.items()), Decimal(0)) / count
        efficiency = sum((n / cost.joules[task] for task, n in self.samples.items()), Decimal(0)) / count
        return Rate(ttft, 1 / ttft, KWH * efficiency)


@dataclass(frozen=True)
class Published:
    """All tables of the paper. Systems are named as printed (GPT2, GPT2-DS, GPT2-DS-ECL, …), tables by their number.

    accuracy (1): percent, by system and task; costs: of tables "table2" and "table3"; rates (7), edge (4);
    noise (5) and taylor (6): rows; claims: the averages of the abstract; shapes: `circuits.shapes` name of each model.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    shapes: Mapping[str, str]
    accuracy: Mapping[str, Cells]
    costs: Mapping[str, Mapping[str, Cost]]
    rates: Mapping[str, Rate]
    edge: Mapping[str, Rate]
    noise: tuple[Mapping[str, Any], ...]
    taylor: tuple[Mapping[str, Any], ...]
    claims: Cells
    rule: Rule
    source: str

    def recomputed(self, table: str, model: str) -> Cost:
        """The DS row of a model by the rule."""
        return self.rule.inference(model) if table == INFERENCE else self.rule.training(model)

    def gains(self, table: str, models: Iterable[str]) -> tuple[Decimal, Decimal]:
        """(speed-up, energy reduction) as the abstract averages them: means over models and tasks of GPU over DS."""
        pairs = [(self.costs[table][m], self.costs[table][m + SUFFIX[table]]) for m in models]
        speed = [gpu.seconds[task] / ds.seconds[task] for gpu, ds in pairs for task in self.tasks]
        energy = [gpu.joules[task] / ds.joules[task] for gpu, ds in pairs for task in self.tasks]
        return mean(speed), mean(energy)

    def gpu_a_sample(self, table: str, model: str) -> tuple[float, float]:
        """(seconds, joules) that the printed GPUs take for a sample, means over tasks: of an inference over development
        sizes, of a training over the training samples, however often they pass."""
        gpu = self.costs[table][model]
        counts = self.rule.gpu_samples if table == INFERENCE else self.rule.training_samples
        seconds, joules = (
            [float(cells[task] / n) for task, n in counts.items()] for cells in (gpu.seconds, gpu.joules)
        )
        return sum(seconds) / len(seconds), sum(joules) / len(joules)

    def gains_at_equal_samples(self, models: Iterable[str]) -> tuple[Decimal, Decimal]:
        """(speed-up, energy reduction) of inference a sample: GPU times over development sizes, DS times over test
        sizes."""
        rule, speed, energy = self.rule, [], []
        for model in models:
            gpu, latency = self.costs[INFERENCE][model], rule.latency[model]
            speed += [gpu.seconds[task] / n / latency for task, n in rule.gpu_samples.items()]
            sample = rule.inference_power * latency
            energy += [gpu.joules[task] / n / sample for task, n in rule.gpu_samples.items()]
        return mean(speed), mean(energy)


def mean(values: Iterable[Decimal]) -> Decimal:
    """Arithmetic mean."""
    each = list(values)
    return sum(each, Decimal(0)) / len(each)


def as_printed(value: Decimal, printed: Decimal) -> Decimal:
    """`value` rounded to the digits of `printed`, halves up as people round.

    >>> as_printed(Decimal("2.625"), Decimal("2.63"))
    Decimal('2.63')
    """
    return value.quantize(printed, ROUND_HALF_UP)


@cache
def published() -> Published:
    """The paper's tables."""
    text = files(__package__).joinpath("data/ds_llm_tables.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return Published(
        tasks=tuple(data["tasks"]),
        models=tuple(data["models"]),
        shapes=data["shapes"],
        accuracy=data["table1"],
        costs={table: {name: _cost(row) for name, row in data[table].items()} for table in (TRAINING, INFERENCE)},
        rates={name: _rate(row) for name, row in data["table7"].items()},
        edge={name: _rate(row) for name, row in data["table4"].items()},
        noise=tuple(data["table5"]),
        taylor=tuple(data["table6"]),
        claims=data["claims"],
        rule=_rule(data["rule"]),
        source=data["source"],
    )


def _cost(row: Mapping[str, Cells]) -> Cost:
    return Cost(row["time_s"], row["energy_J"])


def _rate(row: Cells) -> Rate:
    return Rate(row.get("ttft_s"), row["tokens_per_s"], row["tokens_per_kWh"])


def _rule(data: Mapping[str, Any]) -> Rule:
    return Rule(
        latency=data["latency_s"],
        samples=data["inference_samples"],
        training_samples=data["training_samples"],
        gpu_samples=data["gpu_inference_samples"],
        training_latencies=data["training_latencies"],
        inference_power=data["inference_power_W"],
        training_power=data["training_power_W"],
        gpu_power=data["gpu_power_W"],
        how=data["how"],
    )


__all__ = ["INFERENCE", "TRAINING", "Cost", "Published", "Rate", "Rule", "as_printed", "published"]
