"""Parity: what the ideal machine's rest makes of the reference's logits, by calibration text, headroom and swing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dsmachine.circuits.reference import perplexity
from dsmachine.tasks import argmax_agreement, logit_error

from .bench import Bench, Rows

REACH = 17.3  # nats that scores may have at ±0.5 V; the text's go to ±70
WIDE_V, WIDE_NATS = 50.0, 86.0  # beyond any node's, and any score's, range
HEADROOMS = (1.2, 1.5, 2.0, 3.0)


def run(bench: Bench) -> None:
    rows = Rows("parity", fresh=bench.fresh)
    key = {"calibration": "–", "headroom": 0, "swing_v": 0, "scores": 0}
    rows.row(key, lambda: {"perplexity": _reference(bench)})
    cases = [("long", 100.0, WIDE_V, WIDE_NATS), ("long", 2.0, 0.5, WIDE_NATS)]
    _all(bench, rows, cases + [("long", headroom, 0.5, REACH) for headroom in HEADROOMS])


def shorter(bench: Bench) -> None:
    """The same with another, much shorter, calibration text."""
    cases = [("short", headroom, 0.5, nats) for headroom in (1.5, 3.0) for nats in (REACH, WIDE_NATS)]
    _all(bench, Rows("parity", fresh=False), cases)


def _all(bench: Bench, rows: Rows, cases: list[tuple[str, float, float, float]]) -> None:
    for calibration, headroom, swing, nats in cases:
        key = {"calibration": calibration, "headroom": headroom, "swing_v": swing, "scores": nats}
        rows.row(key, lambda key=key: _compared(bench, **key))


def _reference(bench: Bench) -> float:
    return perplexity(bench.reference, bench.ids)


def _compared(bench: Bench, calibration: str, headroom: float, swing_v: float, scores: float) -> dict[str, Any]:
    """scores: nats at which they are held, by volts a nat that no pair has (an ideal divider in front of it)."""
    at = replace(bench, calibration=calibration, headroom=headroom)
    slope = 1.12 * (swing_v / 0.5) * (REACH / scores)
    logits, saturated = at.read(at.circuit({"supply.swing": swing_v, "softmax.slope_factor": slope}))
    agreed = argmax_agreement(logits, bench.reference)
    return {
        "perplexity": perplexity(logits, bench.ids),
        "against reference": perplexity(logits, bench.ids) / _reference(bench) - 1,
        "saturated": sum(saturated.values()),
        "most in": max(saturated, key=lambda name: saturated[name]) if saturated else "–",
        "logit_error": logit_error(logits, bench.reference),
        "argmax agrees": agreed["share"],
        "of positions": agreed["compared"],
        "close": agreed["close"],
        "argmax equal, all": float((logits.argmax(-1) == bench.reference.argmax(-1)).mean()),
    }
