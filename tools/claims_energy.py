"""Claims of section 4: seconds, joules and watts, from the rule behind the tables and from emulated machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from finding import IF, NO, Finding, result

import dsmachine as ds
from dsmachine.circuits.families import parameters
from dsmachine.circuits.shapes import SHAPES
from dsmachine.circuits.units import engineering
from dsmachine.energy.published import INFERENCE, TRAINED, TRAINING, as_printed, published
from dsmachine.energy.systems import Machine, learners_of_shapes, load_baseline, machines_of_shapes

PAPER, TECHNOLOGY = published(), ds.load_technology("cmos45")
WAFER = 46255e-6  # m², the wafer that appendix A.1 b) mentions


def speed_and_energy() -> Iterator[Finding]:
    report = "dsmachine report --tables 3,4,7"
    machines = {name: machines_of_shapes()[shape] for name, shape in PAPER.shapes.items()}
    cells = sum(_same(table, model) for table in (TRAINING, INFERENCE) for model in PAPER.models)
    yield Finding(
        "4.3, tables 2 and 3",
        "Fifty measurements each of seconds and joules of the DS machine.",
        IF,
        f"{cells} of 100 cells follow to the last digit from five latencies, sizes of data sets, ten latencies a "
        "training sample, 2.7 W and 8.5 W. They depend on a task by its size alone, and not on length or batch.",
        "pytest tests/energy/test_published.py",
    )
    yield Finding(
        "4.3, table 7",
        f"A sequence takes {_each(machines, lambda name, m: float(PAPER.rule.latency[name]), 's')}.",
        IF,
        f"Emulated, of {_tokens(machines)} random tokens: annealed "
        f"{_each(machines, lambda name, m: m.phases['anneal'], 's')}; with reset, load and read of the last position "
        f"{_each(machines, lambda name, m: m.latency, 's')}, if every weight has a device of its own.",
        report,
    )
    widths = np.array([SHAPES[PAPER.shapes[name]].width for name in PAPER.models])
    layers = np.array([SHAPES[PAPER.shapes[name]].layers for name in PAPER.models])
    theirs = np.array([float(PAPER.rule.latency[name]) for name in PAPER.models]) / layers
    ours = np.array([machines[name].phases["anneal"] for name in PAPER.models]) / layers
    single = [row for row in result("latency_width") if row.get("transformer")]
    first, last = single[0], single[-1]
    yield Finding(
        "4.3, table 7",
        "Latency a layer grows with the model's width "
        f"(implied: about {np.polyfit(widths**2, theirs, 1)[1] * 1e9:.0f} ns + "
        f"{np.polyfit(widths**2, theirs, 1)[0] * 1e9:.2g} d² ns).",
        NO,
        f"From {widths[0]} to {widths[-1]} nodes of width a layer's share goes from {theirs[0] * 1e9:.0f} to "
        f"{theirs[-1] * 1e9:.0f} ns in the paper; emulated anneals go from {ours[0] * 1e9:.0f} to "
        f"{ours[-1] * 1e9:.0f} ns. A transformer layer by itself, from {first['d']} to {last['d']}: "
        f"{first['transformer']:.0f} to {last['transformer']:.0f} ns, of ideal wires "
        f"{first['transformer, no wires']:.0f} to {last['transformer, no wires']:.0f} ns.",
        f"{report}; python benchmarks/latency_width.py",
    )
    yield Finding(
        "4.3",
        "The machine draws 2.7 W in inference, whatever the model.",
        NO,
        f"Mean power of the emulated machines: {_each(machines, lambda name, m: m.joules / m.latency, 'W')}; of the "
        f"circuits alone {_each(machines, lambda name, m: m.joules_of_circuits / m.latency, 'W')}. "
        "It grows with the weights.",
        report,
    )
    yield Finding(
        "1",
        "Annealing needs no outside energy in theory.",
        NO,
        "Couplings, buffers and conveyors draw from the supply while the machine relaxes: with all but "
        f"refresh and controller {_each(machines, lambda name, m: m.joules_of_circuits / m.tokens, 'J')} a token.",
        report,
    )
    yield from _gains(machines, report)


def _same(table: str, model: str) -> int:
    """Cells of a DS row that the rule gives to the last digit."""
    suffix = {TRAINING: "-DS-ECL", INFERENCE: "-DS"}[table]
    found, printed = PAPER.recomputed(table, model), PAPER.costs[table][model + suffix]
    pairs = [(found.seconds[t], printed.seconds[t]) for t in PAPER.tasks]
    pairs += [(found.joules[t], printed.joules[t]) for t in PAPER.tasks]
    return sum(as_printed(ours, theirs) == theirs for ours, theirs in pairs)


def _each(machines: dict[str, Machine], value: Any, unit: str) -> str:
    """A figure of each model in a row."""
    return ", ".join(f"{_said(value(name, m), unit)} ({name})" for name, m in machines.items())


def _said(value: float, unit: str) -> str:
    """A ratio in whole numbers, or ("1") in two digits; all else with an SI prefix."""
    return {"×": f"{value:,.0f}×", "1": f"{value:.2g}"}.get(unit) or engineering(value, unit)


def _tokens(machines: dict[str, Machine]) -> str:
    """How many tokens the sequences have."""
    return " or ".join(str(n) for n in dict.fromkeys(m.tokens for m in machines.values()))


def _gains(machines: dict[str, Machine], report: str) -> Iterator[Finding]:
    claims = PAPER.claims
    few, all_five = PAPER.gains(INFERENCE, TRAINED), PAPER.gains(INFERENCE, PAPER.models)
    equal = PAPER.gains_at_equal_samples(PAPER.models)
    yield Finding(
        "abstract, 4.3",
        f"Inference is {claims['inference_speedup']} times faster and takes {claims['inference_energy_reduction']:,} "
        "times less energy.",
        IF,
        f"Of the printed cells: means {few[0]:.0f} and {few[1]:,.0f} over {', '.join(TRAINED)}; over all five models "
        f"{all_five[0]:.0f} and {all_five[1]:,.0f}. GPU times fit GLUE's development sizes, DS times its test sizes; a "
        f"sample each, the same cells give {equal[0]:.0f} and {equal[1]:,.0f}.",
        "dsmachine report --tables 3",
    )
    seconds, gpu = _printed(INFERENCE)
    speed = _each(machines, lambda name, m: seconds[name] / m.latency, "×")
    joules = _each(machines, lambda name, m: gpu[name] / m.joules, "×")
    without = _each(machines, lambda name, m: gpu[name] / m.joules_without_refresh, "×")
    alone = _each(machines, lambda name, m: gpu[name] / m.joules_of_circuits, "×")
    yield Finding(
        "abstract, 4.3",
        "Inference takes less time and less energy than on GPUs.",
        IF,
        f"A sample each, printed GPU over emulated machine of {_tokens(machines)} tokens, if every weight has a "
        f"device of its own: speed-up {speed}; energy "
        f"{joules}; without refresh {without}; circuits alone {alone}. Refresh takes "
        f"{engineering(TECHNOLOGY.switch.refresh_energy, 'J')} a weight each "
        f"{engineering(TECHNOLOGY.switch.refresh_interval, 's')} and is most of the energy.",
        report,
    )
    yield from _other_gpu(machines)
    five = PAPER.gains(TRAINING, PAPER.models)
    yield Finding(
        "abstract, 4.3",
        f"Training is {claims['training_speedup']:,} times faster and takes {claims['training_energy_reduction']:,} "
        "times less energy.",
        IF,
        f"The printed cells' means over five models are {five[0]:,.0f} and {five[1]:,.0f}; the machine's side of them "
        f"is ten latencies a sample and 8.5 W. {_learning(machines)}",
        "dsmachine report --tables 2; python benchmarks/training_by_shape.py",
    )
    llama = machines["Llama2-7B"]
    yield Finding(
        "4.4, table 4",
        "Llama2-7B at 30,300 tokens a second and 4.04·10¹⁰ tokens a kWh.",
        IF,
        f"One token an anneal, emulated: {1 / llama.latency:,.0f} a second, {3.6e6 / llama.joules:.1e} a kWh, the "
        f"circuits alone {3.6e6 / llama.joules_of_circuits:.1e}. A token there is a sequence told apart, "
        "not one generated.",
        "dsmachine report --tables 4",
    )
    area = parameters(SHAPES["llama2-7b"]) * TECHNOLOGY.coupling.area
    yield Finding(
        "A.1 b)",
        "One chip can hold millions of nodes; area grows with the nodes.",
        IF,
        f"Couplings rule: the weights of Llama2-7B, once, are {area * 1e6:,.0f} mm², {area / WAFER:.0%} of the wafer "
        "named; the parallel machine has them once for each position.",
        "dsmachine info MODEL; python tools/claims.py",
    )


def _printed(table: str) -> tuple[dict[str, float], dict[str, float]]:
    """(seconds, joules) a sample of the printed GPUs, by model."""
    each = {name: PAPER.gpu_a_sample(table, name) for name in PAPER.models}
    return {name: s for name, (s, _) in each.items()}, {name: j for name, (_, j) in each.items()}


def _learning(machines: dict[str, Machine]) -> str:
    """What a machine that learns takes for a sample, and what printed GPUs take over it."""
    learners = learners_of_shapes()
    learning = {name: learners[PAPER.shapes[name]] for name in machines}
    seconds, joules = _printed(TRAINING)
    longer = _each(learning, lambda name, m: m.latency / machines[name].latency, "1")
    power = _each(learning, lambda name, m: m.joules / m.latency, "W")
    alone = _each(learning, lambda name, m: m.joules_of_circuits / m.latency, "W")
    speed = _each(learning, lambda name, m: seconds[name] / m.latency, "×")
    energy = _each(learning, lambda name, m: joules[name] / m.joules, "×")
    circuits = _each(learning, lambda name, m: joules[name] / m.joules_of_circuits, "×")
    return (
        f"Emulated, a sample of {_tokens(learning)} tokens (forward and backward anneal, update of control capacitors) "
        f"takes {longer} times an inference and {power}, the circuits alone {alone}. Printed GPUs, of however many "
        f"passes, over one pass of it: speed-up {speed}, energy {energy}, the circuits alone {circuits}."
    )


def _other_gpu(machines: dict[str, Machine]) -> Iterator[Finding]:
    """What a measured GPU says of the printed ones, if there is a baseline."""
    baseline = load_baseline()
    if baseline is None:
        return
    steps = {name: baseline.quickest(shape, "prefill") for name, shape in PAPER.shapes.items()}
    known = {name: step for name, step in steps.items() if step is not None}
    time = ", ".join(f"{engineering(s.seconds_per_token, 's')} ({name})" for name, s in known.items())
    heat = ", ".join(f"{engineering(s.joules_per_token, 'J')} ({n})" for n, s in known.items() if s.joules_per_token)
    own = _each(machines, lambda name, m: m.joules / m.tokens, "J")
    alone = _each(machines, lambda name, m: m.joules_of_circuits / m.tokens, "J")
    yield Finding(
        "4.3",
        "The GPUs compared with run a naive implementation.",
        IF,
        f"{baseline.device}, a token of a prompt: {time}; {heat}. Emulated machine: {own}; its circuits alone {alone}.",
        "dsmachine baseline gpt2 gpt2-medium opt-1.3b opt-2.7b llama2-7b; dsmachine report --tables 3,7",
    )
