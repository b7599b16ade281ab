"""Parity where the machine stops: the passage relaxes from zero until it has settled, and is read there."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np

import dsmachine as ds
from dsmachine.circuits.reference import perplexity
from dsmachine.tasks import argmax_agreement, logit_error

from .bench import Bench, Rows

BITS = 8.0
TOLERANCE = 1e-3  # as `anneal` has it


def run(bench: Bench) -> None:
    rows = Rows("settled", fresh=bench.fresh)
    key = {"tokens": bench.positions, "settle_bits": BITS, "accuracy": "settling"}
    rows.row(key, lambda: _settled(bench))


def _settled(bench: Bench) -> dict[str, Any]:
    circuit = bench.circuit()
    rest, _ = bench.read(circuit)
    run = ds.transient(circuit, bench.inputs, accuracy="settling", tolerance=TOLERANCE, settle_bits=BITS, observers=[])
    logits = run.logical("logits")[0]
    agreed = argmax_agreement(logits, bench.reference)
    assert run.settling_time is not None
    return {
        "settled": run.settled,
        "settled_ns": 1e9 * float(np.max(run.settling_time)),
        "read_ns": 1e9 * run.duration,
        "perplexity": perplexity(logits, bench.ids),
        "at rest": perplexity(rest, bench.ids),
        "reference": perplexity(bench.reference, bench.ids),
        "logit_error": logit_error(logits, bench.reference),
        "logit_error at rest": logit_error(rest, bench.reference),
        "settled from rest": logit_error(logits, rest),
        "argmax agrees": agreed["share"],
        "of positions": agreed["compared"],
        "close": agreed["close"],
        "argmax equal, all": float((logits.argmax(-1) == bench.reference.argmax(-1)).mean()),
        "saturated": sum(run.saturated.values()),
        "elements": run.statistics["elements"],
        "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
