"""The softmax cell: where its scores are held, how deep its branches go, how they differ, how warm it is."""

from __future__ import annotations

from typing import Any

import dsmachine as ds

from .bench import Bench, Rows

CLAMPS = (5.7, 8.0, 11.5, 17.0)
GAINS = (0.85, 1.17)
BRANCH_OFFSET = 0.01  # V
CHIPS = (0, 1, 2)


def run(bench: Bench) -> None:
    rows = Rows("softmax", fresh=bench.fresh)
    cases: list[tuple[str, dict[str, Any]]] = [("as mapped, held at ±17.3 nats", {})]
    cases += [(f"held at ±{clamp:g} nats", {"softmax_clamp": clamp}) for clamp in CLAMPS]
    cases += [("leakage 9.2 nats under the row's maximum", {"leakage": True})]
    cases += [(f"gain {gain:g}", {"softmax_gain": gain}) for gain in GAINS]
    for name, options in cases:
        rows.row({"softmax": name, "chip": "–"}, lambda options=options: bench.score(bench.circuit(**options)))
    names = [(f"branch offset {1e3 * BRANCH_OFFSET:g} mV", chip) for chip in CHIPS]
    if all(any(r["softmax"] == n and r["chip"] == c for r in rows.rows) for n, c in names):
        return
    circuit = bench.circuit()
    for name, chip in names:
        rows.row(
            {"softmax": name, "chip": chip},
            lambda chip=chip: bench.score(ds.fabricate(circuit, seed=chip, branch_offset=BRANCH_OFFSET)),
        )
