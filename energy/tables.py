"""Rows of the paper's tables 2, 3, 4 and 7 in long form: printed, recomputed, emulated and measured side by side.

    printed      the paper
    recomputed   from the paper's own rule (`published.py`), or from counted operations (`digital.py`)
    emulated     by this emulator; its assumptions stand in the row
    measured     on a GPU, by `dsmachine baseline`

Emulated and measured seconds and joules of table 3 are those of one sequence times the paper's test samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..circuits.errors import Error
from ..circuits.shapes import SHAPES
from ..circuits.words import counted
from .digital import operations
from .published import INFERENCE, KWH, TRAINED, Published, Rate, published
from .rows import (
    AVERAGE,
    DS,
    GPU,
    MEASURED,
    PRINTED,
    RECOMPUTED,
    RULE,
    Inputs,
    Row,
    emulated,
    from_paper,
    gains,
    items,
)
from .systems import Baseline, Machine
from .training_rows import training

TABLES = ("2", "3", "4", "7")
DIGITAL, SUMS = "digital 45 nm, MAC", "digital 45 nm, accumulate"
COUNTED = (
    "operations of {tokens} tokens, outputs of the last, at 4.6 pJ a multiply-accumulate and 0.9 pJ an accumulate "
    "(Horowitz 2014); no memory, no control"
)


def checked_tables(asked: str) -> tuple[str, ...]:
    """Numbers of tables from "2,3"; Error for one that is not there."""
    found = tuple(dict.fromkeys(part.strip() for part in asked.split(",") if part.strip()))
    for name in found:
        if name not in TABLES:
            raise Error(f"table {name!r} is not reported: use some of {','.join(TABLES)}")
    if not found:
        raise Error(f"no table is asked for: use some of {','.join(TABLES)}")
    return found


def rows(tables: Sequence[str], inputs: Inputs) -> list[Row]:
    """Rows of these tables, in their order."""
    makers = {"2": training, "3": _inference, "4": _edge, "7": _rates}
    return [row for table in tables for row in makers[table](published(), inputs)]


# --- table 3 --------------------------------------------------------------------------------


def _inference(paper: Published, inputs: Inputs) -> Iterator[Row]:
    for model, machines in inputs.systems():
        if model in paper.models:
            yield from from_paper("3", INFERENCE, model, paper)
            yield from _counted(model, paper, inputs)
            yield from _on_gpu(model, paper, inputs.baseline)
        for machine in machines:
            yield from _annealed(model, machine, paper)
    for models in (TRAINED, paper.models):
        yield from gains("3", "inference", INFERENCE, models, paper)
        speed, energy = paper.gains_at_equal_samples(models)
        about = "GPU times over GLUE's development sizes, DS times over test sizes, each a sample"
        for quantity, value in (("speed-up at equal samples", speed), ("energy reduction at equal samples", energy)):
            yield Row("3", ", ".join(models), DS, AVERAGE, quantity, "×", float(value), RECOMPUTED, (about,))


def _annealed(model: str, machine: Machine, paper: Published) -> Iterator[Row]:
    """The emulated machine, one sample after another."""
    for task, samples in paper.rule.samples.items():
        count = float(samples)
        yield emulated(machine, "3", model, task, "time", "s", count * machine.latency)
        for what, each in machine.weighed().items():
            yield emulated(machine, "3", model, task, f"energy{what}", "J", count * each)
    if model in paper.models:
        yield from _gains_emulated(model, machine, paper)


def _counted(model: str, paper: Published, inputs: Inputs) -> Iterator[Row]:
    """The digital column, of sequences as long as the emulated ones."""
    if model not in inputs.machines:
        return
    tokens = inputs.machines[model].tokens
    found, about = operations(SHAPES[paper.shapes[model]], tokens), COUNTED.format(tokens=tokens)
    for task, samples in paper.rule.samples.items():
        for system, joules in ((DIGITAL, found.joules), (SUMS, found.joules_of_sums)):
            yield Row("3", model, system, task, "energy", "J", float(samples) * joules, RECOMPUTED, (about,))


def _on_gpu(model: str, paper: Published, baseline: Baseline | None) -> Iterator[Row]:
    step = baseline.quickest(paper.shapes[model], "prefill") if baseline else None
    if baseline is None or step is None:
        return
    about = f"sequences of {counted(step.tokens, 'token')}, {step.batch} side by side, {step.about}"
    for task, samples in paper.rule.samples.items():
        answered = float(samples) * step.tokens
        yield Row("3", model, baseline.device, task, "time", "s", answered * step.seconds_per_token, MEASURED, (about,))
        if step.joules_per_token is not None:
            joules = answered * step.joules_per_token
            yield Row("3", model, baseline.device, task, "energy", "J", joules, MEASURED, (about,))


def _gains_emulated(model: str, machine: Machine, paper: Published) -> Iterator[Row]:
    """Printed GPU over the emulated machine, a sample each."""
    seconds, joules = paper.gpu_a_sample(INFERENCE, model)
    yield emulated(machine, "3", model, AVERAGE, "speed-up at equal samples", "×", seconds / machine.latency)
    for what, own in machine.weighed().items():
        yield emulated(machine, "3", model, AVERAGE, f"energy reduction at equal samples{what}", "×", joules / own)


# --- tables 4 and 7 ---------------------------------------------------------------------------------


def _edge(paper: Published, inputs: Inputs) -> Iterator[Row]:
    model = "Llama2-7B"
    if model not in inputs.models:
        return
    for name, rate in paper.edge.items():
        yield from _rate("4", model, DS if name.startswith("DS-LLM") else name, rate, PRINTED)
    yield from _rate("4", model, DS, paper.rule.rate(model), RECOMPUTED, (RULE,), first=False)
    for name, machine in inputs.emulated():
        if name == model:
            yield from _emulated_rate("4", name, machine, first=False)
    yield from _measured_rate("4", model, paper, inputs.baseline, first=False)


def _rates(paper: Published, inputs: Inputs) -> Iterator[Row]:
    rule = paper.rule
    for model, machines in inputs.systems():
        if model in paper.models:
            yield from _rate("7", model, GPU, paper.rates[model], PRINTED)
            gpu = rule.gpu_rate(paper.costs[INFERENCE][model])
            yield from _rate("7", model, GPU, gpu, RECOMPUTED, ("means over tasks of table 3 over its test samples",))
            yield from _rate("7", model, DS, paper.rates[f"{model}-DS"], PRINTED)
            yield from _rate("7", model, DS, rule.rate(model), RECOMPUTED, (RULE,))
            yield from _measured_rate("7", model, paper, inputs.baseline)
        for machine in machines:
            yield from _emulated_rate("7", model, machine)


QUANTITIES = (
    ("time to first token", "s"),
    ("token rate", "token/s"),
    ("energy efficiency", "token/kWh"),
)


def _rate(
    table: str, model: str, system: str, rate: Rate, source: str, about: tuple[str, ...] = (), *, first: bool = True
) -> Iterator[Row]:
    values = (rate.ttft if first else None, rate.tokens_per_s, rate.tokens_per_kwh)
    for (quantity, unit), value in zip(QUANTITIES, values, strict=True):
        if value is not None:
            yield Row(table, model, system, "", quantity, unit, float(value), source, about)


def _emulated_rate(table: str, model: str, machine: Machine, *, first: bool = True) -> Iterator[Row]:
    """One token an anneal, as the paper counts; then a token of the prompt."""
    about = "counted as the paper does, one token an anneal"
    values: list[tuple[str, str, float, str]] = [
        ("time to first token", "s", machine.latency, ""),
        ("token rate", "token/s", 1 / machine.latency, about),
    ]
    each = machine.weighed().items()
    values += [(f"energy efficiency{what}", "token/kWh", float(KWH) / joules, about) for what, joules in each]
    values.append(("time a prompt token", "s", machine.latency / machine.tokens, ""))
    values += [(f"energy a prompt token{what}", "J", joules / machine.tokens, "") for what, joules in each]
    for quantity, unit, value, said in values[0 if first else 1 :]:
        yield emulated(machine, table, model, "", quantity, unit, value, said)
    if first:
        yield from items(machine, table, model)


def _measured_rate(
    table: str, model: str, paper: Published, baseline: Baseline | None, *, first: bool = True
) -> Iterator[Row]:
    """A prompt at once for the first token, one token after another for the rate."""
    if baseline is None:
        return
    shape = paper.shapes[model]
    prompt, token = baseline.quickest(shape, "prefill", 1), baseline.quickest(shape, "decode")
    values: list[tuple[str, str, float, Any]] = []
    if prompt and first:
        values.append(("time to first token", "s", prompt.seconds_per_token * prompt.tokens, prompt))
    if token:
        values.append(("token rate", "token/s", 1 / token.seconds_per_token, token))
        if token.joules_per_token:
            values.append(("energy efficiency", "token/kWh", float(KWH) / token.joules_per_token, token))
    for quantity, unit, value, step in values:
        about = f"{step.phase} of {counted(step.tokens, 'token')}, {step.batch} side by side, {step.about}"
        yield Row(table, model, baseline.device, "", quantity, unit, value, MEASURED, (about,))


__all__ = ["TABLES", "checked_tables", "rows"]
