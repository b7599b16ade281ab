"""Converters of 4 to 12 bits: weights as written, inputs as loaded, logits as read; one of them at a time."""

from __future__ import annotations

from typing import Any

import dsmachine as ds
from dsmachine.circuits.cells import Converter
from dsmachine.circuits.reference import perplexity

from .bench import Bench, Rows

BITS = range(4, 13)


def run(bench: Bench) -> None:
    rows = Rows("converters", fresh=bench.fresh)
    if all(any(r["bits"] == bits for r in rows.rows) for bits in BITS) and len(rows.rows) >= 3 * len(BITS):
        return
    circuit = bench.circuit()
    logits, _ = bench.read(circuit)
    for bits in BITS:
        rows.row({"converter": "logits (ADC)", "bits": bits}, lambda bits=bits: _read(bench, circuit, logits, bits))
    for bits in BITS:
        inputs = {"embed": Converter(bits).nodes(circuit, "embed", bench.inputs["embed"])}
        rows.row({"converter": "inputs (DAC)", "bits": bits}, lambda inputs=inputs: bench.score(circuit, inputs))
    for bits in BITS:
        rows.row(
            {"converter": "weights (DAC)", "bits": bits},
            lambda bits=bits: bench.score(ds.fabricate(circuit, weight_bits=bits)),
        )


def _read(bench: Bench, circuit: Any, logits: Any, bits: int) -> dict[str, Any]:
    return {"perplexity": perplexity(Converter(bits).nodes(circuit, "logits", logits), bench.ids), "saturated": 0}
