"""How far is an erring backward machine's gradient from its chip's: crossbars shared with the forward one, or own?

    python benchmarks/gradients_mismatch.py

Bundled model, 8 windows of 32 positions of its calibration text, all programmed couplings and biases as one vector g.
The chip's own gradient g* comes from an ideal adjoint of the very chip. off: |g − g*|/|g*|; cos: of their angle;
clipped: adjoint nodes on their rails. "none": the ideal model's gradient at the same text, what a digital backward pass
that does not know the chip would take.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import save

import dsmachine as ds

Array = Any
POSITIONS, WINDOWS = 32, 8
SIGMAS = (0.01, 0.03, 0.1)


def vector(found: Any) -> Array:
    return np.concatenate([found.terms[name].reshape(-1) for name in sorted(found.terms)])


def rows() -> list[dict[str, Any]]:
    model = ds.load_model("tiny-shakespeare")
    ids = model.tokenize(model.calibration_text)[: WINDOWS * POSITIONS]
    tokens = np.array(ids).reshape(WINDOWS, POSITIONS)
    inputs, targets = {"embed": model.embed(tokens)}, ds.next_token_targets(tokens, model.config.vocabulary)
    circuit = ds.map_model(model, POSITIONS)
    ideal, own = ds.gradients(circuit, inputs, targets), ds.adjoint(circuit, devices="own")
    table = []
    for kind in ("vt_mismatch", "mismatch"):
        for sigma in SIGMAS:
            chip = ds.fabricate(circuit, seed=1, **{kind: sigma})
            exact = ds.gradients(chip, inputs, targets)
            apart = ds.gradients(chip, inputs, targets, back=own)
            backs = {"shared": exact.calibrated(), "own": apart.calibrated()}
            for devices, back in backs.items():
                erring = ds.fabricate(back, seed=2, **{kind: sigma})
                found = ds.gradients(chip, inputs, targets, back=erring)
                table.append(row(kind, sigma, devices, exact, found))
            table.append(row(kind, sigma, "none", exact, ideal))
    return table


def row(kind: str, sigma: float, devices: str, exact: Any, found: Any) -> dict[str, Any]:
    ours, known = vector(found), vector(exact)
    return {
        "error": kind, "σ": sigma, "loss of the chip": float(exact.loss.mean()), "devices": devices,
        "off": float(np.linalg.norm(ours - known) / np.linalg.norm(known)),
        "cos": float(ours @ known / np.linalg.norm(ours) / np.linalg.norm(known)),
        "clipped": sum(found.backward.saturated.values()),
    }  # fmt: skip


if __name__ == "__main__":
    save("gradients_mismatch", rows())
