"""Write docs/claims.md: each claim of the DS-LLM paper, what the emulator finds, the command that shows it.

    python tools/claims.py            # prints the page
    python tools/claims.py --write    # puts it into docs/claims.md; a test fails while the page is older than its facts

Figures are read from the results in this repository or worked out here; none is typed in.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from math import tanh

import numpy as np
from claims_energy import speed_and_energy
from finding import IF, LATER, NO, ROOT, YES, Finding, result

import dsmachine as ds

PAGE = ROOT / "docs" / "claims.md"


def findings() -> Iterator[Finding]:
    """All of them, in the order of the paper."""
    yield from _mapping()
    yield from _approximations()
    yield from speed_and_energy()
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
        "with exact softmax. A pretrained model whose Σe is not positive is refused. A short fine-tuning from exact "
        f"softmax ends {_more(1)}, {_more(3)}, {_more(5)} and {_more(7)} nats over it at orders 1, 3, 5 and 7.",
        "dsmachine anneal tiny-shakespeare-taylor3 --prompt Romeo; "
        "dsmachine anneal smollm2 --softmax taylor --prompt Romeo; python benchmarks/paper_training.py --only table6",
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


def _more(order: int) -> str:
    """Loss increase of a series of some order, mean ± deviation."""
    return next(str(row["loss increase"]) for row in result("paper_table6") if row["order"] == order)


def _loss(suffix: str) -> float:
    """Held-out loss that the bundled model's card states."""
    card = (ROOT / "circuits" / "models" / f"tiny-shakespeare{suffix}" / "README.md").read_text()
    return float(card.split("Held-out loss: **")[1].split(" ")[0])


# --- appendix and training --------------------------------------------------------------------------


def _robustness() -> Iterator[Finding]:
    latest = {row["machine"]: row for row in result("pretrained_noise")}
    rows = sorted(latest.values(), key=lambda row: row["median rms %"])
    one_sided = [row for row in rows if row["machine"].startswith(("default", "±"))]
    said = "; ".join(f"{row['median rms %']:.1f} % → {row['perplexity']:.3g}" for row in one_sided)
    trained = {(row["σ is a share of"], row["σ"]): row for row in result("paper_table5")}
    without, physical = (trained["–", level]["after, %"] for level in (0.0, "thermal"))
    scale, unit = (
        [trained[share, level]["after, %"] for level in (0.05, 0.15)]
        for share in ("full scale", "the activation's unit")
    )
    yield Finding(
        "A.1 e), table 5",
        "Noise of σ 0.05 to 0.15 costs under two points of accuracy.",
        NO,
        f"The paper gives σ no unit. The bundled model, fine-tuned under noise, tells {without} % of next characters "
        f"without any, {physical} % with thermal noise, at σ 0.05 and 0.15 of full scale {scale[0]} and {scale[1]} %, "
        f"of the activation's unit {unit[0]} and {unit[1]} %. SmolLM2, not fine-tuned, has perplexity "
        f"{rows[0]['perplexity, noiseless']:.1f}: at a median thermal noise of the nodes, share of full scale, of "
        f"{said}.",
        "python benchmarks/paper_training.py --only table5; python benchmarks/pretrained_model.py --parts noise",
    )
    rows = result("pretrained_mismatch")
    free = next(row for row in rows if row["imperfection"].startswith("all three") and row["trim"] == "none")
    chips = {(row["σ is"], row["σ"]): row for row in result("paper_fig7")}
    said = "; ".join(
        f"σ {level:g} ({share}): {row['accuracy before, %']} → {row['after, %']} %"
        for (share, level), row in chips.items()
        if level in (0.03, 0.1, 0.3)
    )
    yield Finding(
        "A.1 e), fig. 7",
        "Offsets of σ up to 0.3 are recovered by fine-tuning on the chip.",
        IF,
        f"In part, at σ far smaller. Next characters that the bundled model tells, before and after fine-tuning on the "
        f"same chip ({chips['share of full scale', 0.0]['accuracy before, %']} % without offset): {said}. SmolLM2 with "
        f"devices as they come ({free['sigma']}) has perplexity {free['perplexity']:.0e}, untrained.",
        "python benchmarks/paper_training.py --only fig7; python benchmarks/pretrained_model.py --parts mismatch",
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
        IF,
        "Eq. 16 needs a softmax at the output, which the paper leaves out. A layer trains itself in time, its weights "
        "nodes, as closed forms and ngspice have it; a whole model by the gradients that its adjoint circuit settles "
        "to, which are autograd's. Multipliers with offsets learn something else: auto-zero comes first.",
        "pytest tests/emulator/test_ecl_steps.py tests/netlists/test_ecl.py tests/mapping/test_gradients.py; python "
        "benchmarks/ecl.py",
    )
    yield Finding(
        "4.2, table 1",
        "Accuracies on GLUE are kept.",
        LATER,
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
