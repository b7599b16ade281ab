"""Write docs/claims.md: each claim of the DS-LLM paper, what the emulator finds, the command that shows it.

    python tools/claims.py            # prints the page
    python tools/claims.py --write    # puts it into docs/claims.md; a test fails while the page is older than its facts

Figures are read from the results in this repository or worked out here; none is typed in.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import tanh
from pathlib import Path
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.families import parameters
from dsmachine.circuits.shapes import SHAPES
from dsmachine.energy.published import INFERENCE, TRAINED, TRAINING, as_printed, published
from dsmachine.energy.report import engineering
from dsmachine.energy.systems import Machine, machines_of_shapes

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "claims.md"
YES, IF, NO, LATER = "reproduced", "with a condition", "not reproduced", "not emulated yet"
PAPER, TECHNOLOGY = published(), ds.load_technology("cmos45")
WAFER = 46255e-6  # m², the wafer that appendix A.1 b) mentions


@dataclass(frozen=True)
class Finding:
    """where: section of the paper; claim: in our words; verdict: one of the four above; found: facts."""

    where: str
    claim: str
    verdict: str
    found: str
    command: str


def result(name: str) -> list[dict[str, Any]]:
    """Rows of a result file."""
    rows: list[dict[str, Any]] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["rows"]
    return rows


def findings() -> Iterator[Finding]:
    """All of them, in the order of the paper."""
    yield from _mapping()
    yield from _approximations()
    yield from _speed_and_energy()
    yield from _robustness()
    yield from _training()


# --- sections 2 and 3 -------------------------------------------------------------------------------


def _mapping() -> Iterator[Finding]:
    yield Finding(
        "2.1, eq. 1–3",
        "The Hamiltonian of symmetric couplings falls until the machine rests.",
        YES,
        "Along relaxing circuits with a cycle it never rises.",
        "pytest tests/systems/test_hamiltonian.py",
    )
    weight = 0.5
    rests = _rest_of_a_layer(2 * weight), _rest_of_a_layer(weight)
    yield Finding(
        "3.2, eq. 7–9",
        "A linear layer rests at XWᵀ with h = 1 and J = 2w.",
        IF,
        f"With eq. 2's dynamics J = w does: for w = {weight:g} and x = 0.1 the node rests at {rests[1]:.3g}, with "
        f"J = 2w at {rests[0]:.3g}. Eq. 8 hides a factor 2 that eq. 2 and 9 do not have.",
        "python tools/claims.py",
    )
    best = min(result("pretrained_parity")[1:], key=lambda row: abs(row["against reference"]))
    settled = result("pretrained_settled")[0]
    yield Finding(
        "3.3, eq. 13–14",
        "A whole trained transformer maps onto one machine that relaxes to its output.",
        YES,
        f"SmolLM2-135M, {best['of positions']} tokens: perplexity within {abs(best['against reference']):.0e} of the "
        f"digital reference, largest logit error {best['logit_error']:.0e}, where every node and score has room. "
        f"All positions relax at once from zero to {settled['settle_bits']:g} bits in {settled['settled_ns']:.0f} ns.",
        "python benchmarks/pretrained_model.py --parts parity settled",
    )
    yield Finding(
        "3.3 c), eq. 12",
        "The weighted sum rests at attention's output with h = ½ Σf.",
        IF,
        "By eq. 2 a node rests at Σ f v / h: with h = ½ Σf that is twice eq. 6. The emulator takes h = Σf and has "
        "transformers' logits.",
        "pytest tests/mapping",
    )


def _rest_of_a_layer(coupling: float) -> float:
    """Where C dy/dt = J x − y rests for x = 0.1."""
    circuit = ds.Circuit("layer")
    circuit.clamp("x", (1,))
    circuit.nodes("y", (1,))
    circuit.couple("J", "x", "y", [[coupling]])
    return float(ds.operating_point(circuit, {"x": [0.1]}).logical("y").reshape(-1)[0])


def _approximations() -> Iterator[Finding]:
    roots = np.roots([1 / 6, 1 / 2, 1, 1])
    root = float(roots[np.isreal(roots)][0].real)
    yield Finding(
        "3.3 b), eq. 10, table 6",
        "A third-order series in place of exp keeps the accuracy, or betters it.",
        IF,
        f"The series is negative below {root:.3f}, where it would ask a node for negative feedback. A model fine-tuned "
        f"with it works: held-out loss of the bundled one {_loss('-taylor3'):.3f} nats a character, {_loss(''):.3f} "
        "with exact softmax. A pretrained model whose Σe is not positive is refused.",
        "dsmachine anneal tiny-shakespeare-taylor3 --prompt Romeo; "
        "dsmachine anneal smollm2 --softmax taylor --prompt Romeo",
    )
    x = np.linspace(-4, 4, 8001)
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    gelu, halved = (0.5 * x * (1 + np.tanh(inner / d)) for d in (1, 2))
    yield Finding(
        "A.2, eq. 17",
        "GELU with a halved argument of tanh.",
        NO,
        f"The halved argument is off from GELU by up to {np.abs(halved - gelu).max():.2f}. The default here is the "
        "whole argument and a tanh pair.",
        "dsmachine anneal tiny-shakespeare --activation paper --prompt Romeo",
    )
    printed, exact = (1 - 1 / 3 + fifth for fifth in (1 / 5, 2 / 15))
    yield Finding(
        "A.2, eq. 18",
        "tanh by its series to fifth order.",
        IF,
        f"The coefficient of x⁵ is 2/15, not 1/5: at x = 1 the printed series gives {printed:.3f}, with 2/15 "
        f"{exact:.3f}, tanh {tanh(1):.3f}. Both diverge beyond.",
        "python tools/claims.py",
    )


def _loss(suffix: str) -> float:
    """Held-out loss that the bundled model's card states."""
    card = (ROOT / "circuits" / "models" / f"tiny-shakespeare{suffix}" / "README.md").read_text()
    return float(card.split("Held-out loss: **")[1].split(" ")[0])


# --- section 4 --------------------------------------------------------------------------------------


def _speed_and_energy() -> Iterator[Finding]:
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
    yield Finding(
        "4.3, table 7",
        "Latency a layer grows with the model's width "
        f"(implied: about {np.polyfit(widths**2, theirs, 1)[1] * 1e9:.0f} ns + "
        f"{np.polyfit(widths**2, theirs, 1)[0] * 1e9:.2g} d² ns).",
        NO,
        f"From {widths[0]} to {widths[-1]} nodes of width a layer's share goes from {theirs[0] * 1e9:.0f} to "
        f"{theirs[-1] * 1e9:.0f} ns in the paper; emulated anneals go from {ours[0] * 1e9:.0f} to "
        f"{ours[-1] * 1e9:.0f} ns.",
        report,
    )
    yield Finding(
        "4.3",
        "The machine draws 2.7 W in inference, whatever the model.",
        NO,
        f"Mean power of the emulated machines: {_each(machines, lambda name, m: m.joules / m.latency, 'W')}; without "
        f"refresh {_each(machines, lambda name, m: m.joules_without_refresh / m.latency, 'W')}. "
        "It grows with the weights.",
        report,
    )
    yield Finding(
        "1",
        "Annealing needs no outside energy in theory.",
        NO,
        "Couplings, buffers and conveyors draw from the supply while the machine relaxes: without refresh "
        f"{_each(machines, lambda name, m: m.joules_without_refresh / m.tokens, 'J')} a token.",
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
    """A ratio in whole numbers, all else with an SI prefix."""
    return f"{value:,.0f}×" if unit == "×" else engineering(value, unit)


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
    gpu = {name: PAPER.costs[INFERENCE][name] for name in PAPER.models}
    counts = PAPER.rule.gpu_samples

    def gain(name: str, own: float, what: str) -> float:
        cells = getattr(gpu[name], what)
        return float(np.mean([float(cells[task] / n) for task, n in counts.items()])) / own

    speed = _each(machines, lambda name, m: gain(name, m.latency, "seconds"), "×")
    joules = _each(machines, lambda name, m: gain(name, m.joules, "joules"), "×")
    without = _each(machines, lambda name, m: gain(name, m.joules_without_refresh, "joules"), "×")
    yield Finding(
        "abstract, 4.3",
        "Inference takes less time and less energy than on GPUs.",
        IF,
        f"A sample each, printed GPU over emulated machine of {_tokens(machines)} tokens: speed-up {speed}; energy "
        f"{joules}; without refresh {without}. Refresh takes "
        f"{engineering(TECHNOLOGY.switch.refresh_energy, 'J')} a weight each "
        f"{engineering(TECHNOLOGY.switch.refresh_interval, 's')} and is most of the energy.",
        report,
    )
    five = PAPER.gains(TRAINING, PAPER.models)
    yield Finding(
        "abstract, 4.3",
        f"Training is {claims['training_speedup']:,} times faster and takes {claims['training_energy_reduction']:,} "
        "times less energy.",
        LATER,
        f"The printed cells' means over five models are {five[0]:,.0f} and {five[1]:,.0f}; the machine's side of them "
        "is ten latencies a sample and 8.5 W.",
        "dsmachine report --tables 2",
    )
    llama = machines["Llama2-7B"]
    yield Finding(
        "4.4, table 4",
        "Llama2-7B at 30,300 tokens a second and 4.04·10¹⁰ tokens a kWh.",
        IF,
        f"One token an anneal, emulated: {1 / llama.latency:,.0f} a second, {3.6e6 / llama.joules:.1e} a kWh, without "
        f"refresh {3.6e6 / llama.joules_without_refresh:.1e}. A token there is a sequence told apart, "
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


# --- appendix and training --------------------------------------------------------------------------


def _robustness() -> Iterator[Finding]:
    rows = sorted(result("pretrained_noise"), key=lambda row: row["median rms %"])
    one_sided = [row for row in rows if row["machine"].startswith(("default", "±"))]
    said = "; ".join(f"{row['median rms %']:.1f} % → {row['perplexity']:.3g}" for row in one_sided)
    yield Finding(
        "A.1 e), table 5",
        "Noise of σ 0.05 to 0.15 costs under two points of accuracy.",
        NO,
        f"SmolLM2, not fine-tuned with noise, perplexity {rows[0]['perplexity, noiseless']:.1f} without any: at a "
        f"median thermal noise of the nodes, share of full scale, of {said}. The paper gives σ no unit "
        "and fine-tunes with noise.",
        "python benchmarks/pretrained_model.py --parts noise",
    )
    rows = result("pretrained_mismatch")
    free = next(row for row in rows if row["imperfection"].startswith("all three") and row["trim"] == "none")
    trimmed = [row for row in rows if row["imperfection"].startswith("all three") and row["trim"] != "none"]
    worst = max(trimmed, key=lambda row: row["perplexity"])
    yield Finding(
        "A.1 e), fig. 7",
        "Offsets of σ up to 0.3 are recovered by fine-tuning on the chip.",
        LATER,
        f"Untrained: SmolLM2 with devices as they come ({free['sigma']}) has perplexity {free['perplexity']:.0e}; "
        f"trimmed ({worst['trim']}) {worst['perplexity']:.1f}.",
        "python benchmarks/pretrained_model.py --parts mismatch",
    )
    rows = [row for row in result("pretrained_converters") if row["converter"] == "logits (ADC)"]
    eight, five = (next(row for row in rows if row["bits"] == bits) for bits in (8, 5))
    yield Finding(
        "A.1 f)",
        "Converters are no obstacle.",
        IF,
        f"8 bits at the outputs leave SmolLM2's perplexity at {eight['perplexity']:.1f}, 5 bits at "
        f"{five['perplexity']:.1f}. They cost time: reading a vocabulary takes longer than annealing.",
        "python benchmarks/pretrained_model.py --parts converters; dsmachine report --pictures FOLDER",
    )


def _training() -> Iterator[Finding]:
    yield Finding(
        "3.4, fig. 4–5",
        "Electric-current loss trains a layer, and with the adjoint a deep machine, on the chip.",
        LATER,
        "Eq. 16 needs a softmax at the output, which the paper leaves out.",
        "–",
    )
    yield Finding(
        "4.2, table 1",
        "Accuracies on GLUE are kept.",
        IF,
        "Needs weights and GLUE, which are not here: with both, the accuracies of a classifier and of its circuit. On "
        "made-up sentences the circuit tells the classes that the digital reference tells.",
        "dsmachine report --reproduce table1 --model DIR --glue DIR; pytest tests/test_glue.py",
    )


# --- the page ---------------------------------------------------------------------------------------

HEAD = """# The paper's claims, and what the emulator finds

Written by `python tools/claims.py --write` from results in this repository; do not edit. Emulated machines are of
random weights of each model's shape, ideal and noiseless; what their figures rest on stands under the tables of
`dsmachine report`.

| section | claim | finding | facts | command |
|---|---|---|---|---|
"""


def page() -> str:
    """docs/claims.md."""
    lines = [
        f"| {f.where} | {f.claim} | **{f.verdict}** | {f.found} | {_commands(f.command)} |".replace("\n", " ")
        for f in findings()
    ]
    return HEAD + "\n".join(lines) + "\n"


def _commands(text: str) -> str:
    return "; ".join(f"`{part.strip()}`" if part.strip() != "–" else "–" for part in text.split(";"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
