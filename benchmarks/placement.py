"""Published shapes on published machines: chips, area, and what programming and moving values cost.

python benchmarks/placement.py     # a minute
"""

from __future__ import annotations

import sys
from typing import Any

from common import save

import dsmachine as ds
from dsmachine.energy.machine import bundled_machines

MODELS = ("smollm2", "gpt2", "gpt2-medium", "opt-1.3b", "opt-2.7b", "llama2-7b")
TOKENS = 128
CHIPS = {"ds-tpu": 64}  # of the rows that run in passes


def row(model: str, machine: str, mode: str, chips: int | None = None) -> dict[str, Any]:
    found = ds.place(model, machine, tokens=TOKENS, mode=mode, chips=chips)
    again = found.reprogramming["prompt"]
    return {
        "model": model,
        "machine": machine,
        "mode": mode,
        "nodes": found.nodes,
        "couplings": found.counts["coupling"],
        "chips needed": found.needed,
        "chips": found.chips,
        "passes": found.passes,
        "mm²": found.area_m2 * 1e6,
        "W as published": "" if found.power_w is None else found.power_w,
        **{f"{name} filled": share for name, share in found.full.items()},
        "programming s": found.programming.seconds,
        "programming J": found.programming.joules,
        "reprogramming s a prompt": again.seconds,
        "reprogramming J a prompt": again.joules,
        "values sent": found.crossing,
        "transfer s": found.transfer.seconds,
        "transfer J": found.transfer.joules,
    }


def main() -> None:
    rows = []
    for model in MODELS:
        for machine in bundled_machines():
            rows += [row(model, machine, mode) for mode in ("parallel", "serial")]
            if machine in CHIPS:
                rows += [row(model, machine, mode, CHIPS[machine]) for mode in ("parallel", "serial")]
            sys.stderr.write(f"{model} {machine}\n")
    save("placement", rows)


if __name__ == "__main__":
    main()
