"""Parity: what the ideal machine's rest makes of the reference's logits, by calibration text, headroom and swing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dsmachine.circuits.reference import perplexity
from dsmachine.tasks import argmax_agreement, logit_error

from .bench import Bench, Rows

WIDE = 50.0  # V: no node, and no score, is near it
HEADROOMS = (1.2, 1.5, 2.0, 3.0)


def run(bench: Bench) -> None:
    rows = Rows("parity", fresh=bench.fresh)
    rows.row({"calibration": "–", "headroom": 0, "swing_v": 0}, lambda: {"perplexity": _reference(bench)})
    for calibration in ("long", "short"):
        for headroom in HEADROOMS:
            key = {"calibration": calibration, "headroom": headroom, "swing_v": 0.5}
            rows.row(key, lambda key=key: _compared(bench, **key))
    key = {"calibration": "long", "headroom": 3.0, "swing_v": WIDE}
    rows.row(key, lambda key=key: _compared(bench, **key))


def _reference(bench: Bench) -> float:
    return perplexity(bench.reference, bench.ids)


def _compared(bench: Bench, calibration: str, headroom: float, swing_v: float) -> dict[str, Any]:
    at = replace(bench, calibration=calibration, headroom=headroom)
    logits, saturated = at.read(at.circuit({"supply.swing": swing_v}))
    agreed = argmax_agreement(logits, bench.reference)
    return {
        "perplexity": perplexity(logits, bench.ids),
        "against reference": perplexity(logits, bench.ids) / _reference(bench) - 1,
        "saturated": sum(saturated.values()),
        "arrays with saturated nodes": len(saturated),
        "logit_error": logit_error(logits, bench.reference),
        "argmax agrees": agreed["share"],
        "of positions": agreed["compared"],
        "close": agreed["close"],
        "argmax equal, all": float((logits.argmax(-1) == bench.reference.argmax(-1)).mean()),
    }
