"""The same machine on other text: the soliloquy is quoted everywhere, and what a model recites is easily lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dsmachine as ds
from dsmachine.circuits.reference import perplexity

from .bench import Bench, Rows

SKIPPED = (0, 3000)  # characters after the soliloquy's first
CHIPS: dict[str, dict[str, float]] = {
    "β 1 %": {"mismatch": 0.01},
    "β 2 %": {"mismatch": 0.02},
    "V_t 0.3 %": {"vt_mismatch": 0.003},
    "offset 0.3 %": {"offset": 0.003},
    "branch offset 10 mV": {"branch_offset": 0.01},
}
CELLS: dict[str, dict[str, float]] = {
    "scores held at ±8 nats": {"softmax_clamp": 8.0},
    "gain 1.17": {"softmax_gain": 1.17},
}


def run(bench: Bench) -> None:
    rows = Rows("passages", fresh=bench.fresh)
    others = [replace(bench, skipped=skipped) for skipped in SKIPPED]
    rows.row({"machine": "reference"}, lambda: _of(others, lambda b: perplexity(b.reference, b.ids)))
    circuit = bench.circuit()
    for name, spread in CHIPS.items():
        rows.row({"machine": name}, lambda spread=spread: _scores(others, ds.fabricate(circuit, **spread)))
    for name, options in CELLS.items():
        rows.row({"machine": name}, lambda options=options: _scores(others, bench.circuit(**options)))


def _scores(others: list[Bench], machine: Any) -> dict[str, float]:
    return _of(others, lambda bench: bench.score(machine)["perplexity"])


def _of(others: list[Bench], value: Any) -> dict[str, float]:
    return {f"from character {bench.skipped}": float(value(bench)) for bench in others}
