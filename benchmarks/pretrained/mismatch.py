"""Devices that differ: relative (β), additive (Vt) and node offsets; what trim has to leave; which devices matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import dsmachine as ds
from dsmachine.circuits.cells.node import NodeArray
from dsmachine.circuits.cells.term import Term
from dsmachine.circuits.reference import perplexity

from .bench import Bench, Rows

LEVELS = {
    "mismatch": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3),
    "vt_mismatch": (0.001, 0.003, 0.01, 0.02),
    "offset": (0.001, 0.003, 0.01, 0.03, 0.1),
}
BRACKETS = {"mismatch": (0.003, 0.012), "vt_mismatch": (0.001, 0.004), "offset": (0.0003, 0.0012)}
DEVICE = {"mismatch": 0.02, "vt_mismatch": 0.02, "offset": 0.06}  # 120n/1µ: 10 mV of Vt, 1.5 %·µm of β, 15 mV of a node
DEVICES = "β 2 %, V_t 2 %, offset 6 %"
LOSS = 0.05  # of perplexity, which the trim may cost
HALVINGS = 3
CHIPS = (0, 1)
KINDS: dict[str, Callable[[Term], bool]] = {
    "the checkpoint's weights": lambda term: term.kind == "coupling" and term.programmable,
    "fixed couplings (skips, rotations, halves)": lambda term: term.kind == "coupling" and not term.programmable,
    "products": lambda term: term.kind == "product",
}
WHERE = {
    "residual stream": ("resid", "resid_mid"),
    "norms": ("root", "norm"),
    "queries and keys": ("q", "k", "q_rope", "k_rope"),
    "scores and probabilities": ("score", "prob"),
    "values and context": ("v", "context"),
    "feed-forward": ("gate", "up", "arg", "tanh", "silu", "act"),
    "logits": ("logits",),
}


def run(bench: Bench) -> None:
    rows = Rows("mismatch", fresh=bench.fresh)
    study = Study(bench)
    for kind, levels in LEVELS.items():
        for level in levels:
            key = {"imperfection": kind, "sigma": level, "trim": "none", "chip": 0}
            rows.row(key, lambda kind=kind, level=level: study.score(0, **{kind: level}))
    trims = Rows("trim", fresh=bench.fresh)
    found = {kind: [study.threshold(trims, kind, chip) for chip in CHIPS] for kind in LEVELS}
    _trimmed(rows, study, {kind: min(sigmas) for kind, sigmas in found.items()})


def _trimmed(rows: Rows, study: Study, found: dict[str, float]) -> None:
    """The devices as they come, and after a trim to what was found, and to a half and a quarter of it."""
    key = {"imperfection": "all three, as devices come", "sigma": DEVICES, "chip": 0}
    rows.row(key | {"trim": "none"}, lambda: study.score(0, **DEVICE))
    for share in (1.0, 0.5, 0.25):
        trim = {
            "write-verify": share * min(found["mismatch"], found["vt_mismatch"]),
            "auto-zero": share * found["offset"],
        }
        said = ", ".join(f"{name} {100 * sigma:.3g} %" for name, sigma in trim.items())
        rows.row(key | {"trim": said}, lambda trim=trim: study.score(0, trim=trim, **DEVICE))


def where(bench: Bench) -> None:
    """Which devices matter: one kind of term, or the offsets of one kind of array, at a time."""
    rows, study = Rows("where", fresh=bench.fresh), Study(bench)
    for kind, chosen in KINDS.items():
        for what, level in (("mismatch", 0.02), ("vt_mismatch", 0.001)):
            key = {"imperfection": what, "sigma": level, "only in": kind}
            rows.row(key, lambda c=chosen, w=what, s=level: study.score(0, terms=c, **{w: s}))
    for kind, names in WHERE.items():
        key = {"imperfection": "offset", "sigma": 0.003, "only in": kind}
        rows.row(key, lambda names=names: study.score(0, arrays=lambda a: _last(a) in names, offset=0.003))


def _last(node: NodeArray) -> str:
    return node.name.rsplit(".", 1)[-1]


class Study:
    """One circuit and the chips made of it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.circuit = cache(bench.circuit)

    @property
    def ideal(self) -> float:
        return perplexity(self.bench.reference, self.bench.ids)

    def score(
        self,
        chip: int,
        terms: Callable[[Term], bool] | None = None,
        arrays: Callable[[NodeArray], bool] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Perplexity of a chip; where terms or arrays are chosen, of one that is ideal but for those (offsets)."""
        made = ds.fabricate(self.circuit(), seed=chip, **options)
        if terms is not None or arrays is not None:
            ideal = self.circuit()
            kept = [t for t in ideal.terms.values() if terms is None or not terms(t)]
            nodes = [n for n in ideal.arrays.values() if arrays is None or not arrays(n)]
            made = replace(made, circuit=made.circuit.with_terms(kept, nodes))
        return self.bench.score(made)

    def threshold(self, rows: Rows, kind: str, chip: int) -> float:
        """σ at which perplexity is LOSS above the ideal's on one chip: bisection on log σ."""
        low, high = BRACKETS[kind]
        for halving in range(HALVINGS):
            sigma = float(f"{math.sqrt(low * high):.3g}")
            if self.loses(rows, kind, chip, halving, sigma):
                high = sigma
            else:
                low = sigma
        if low == BRACKETS[kind][0] and self.loses(rows, kind, chip, HALVINGS, low):
            return low  # at most: it is under the bracket
        return math.sqrt(low * high)

    def loses(self, rows: Rows, kind: str, chip: int, halving: int, sigma: float) -> bool:
        """Whether this much costs more than LOSS; halving: its place in the bisection."""
        key = {"imperfection": kind, "chip": chip, "halving": halving}
        found = rows.row(key, lambda: {"sigma": sigma} | self.score(chip, **{kind: sigma}))
        return bool(found["perplexity"] > (1 + LOSS) * self.ideal)
