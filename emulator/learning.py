"""A layer that trains itself, presentation by presentation: what `transient` of an ECL layer does, in steps.

    rest of the circuit with the weights held  →  I_L        Δw = η [drive(I_L, x, w) − λ w],  η = T/τ  (`ecl.py`)

drive is that of the layer's own cells: −I_L xᵀ, with their range, leak and mismatch. A step is the transient's where
loss and weights hardly move within it; it leaves out

    that I_L falls while weights move      step over transient: η n / (1 − e^(−ηn)),  n = Σ x_j²
    that I_L lags by τ_r = r C_r           (τ_r/τ) (I_L now − I_L before) x, what a presentation begins with

`steps` divides a presentation and takes the first away. Weights stop at ±R.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.ecl import EclLayer
from ..circuits.errors import Error
from .operating_point import solve_operating_point
from .prepare import prepare

Array = Any
log = logging.getLogger(__name__)
AT_RAIL = 1e-3  # a weight so close to ±R, as a share of it, stands at its rail


@dataclass(frozen=True)
class Learned:
    """weight: after the last presentation, (out, in). loss: ½ Σ I_L² before each presentation's first step, (N,), in
    squares of the output's logical unit. at_rails: how many weights stand at their rails."""

    weight: Array = field(repr=False)
    loss: Array = field(repr=False)
    at_rails: int


def ecl_steps(
    layer: EclLayer,
    inputs: Mapping[str, Any],
    seconds: float,
    *,
    weight: Array | None = None,
    steps: int = 1,
    precision: str = "float64",
    device: str = "numpy",
) -> Learned:
    """Shows a layer one presentation after another, `seconds` each.

    inputs: of the layer's circuit, the target among them, logical: (N, *shape), or (*shape) where it stays the same.
    weight: where to begin; None: the layer's own. steps: of one presentation.

    Warns where weights end at their rails: steps of η |x|² above 2 drive them there, as they do any gradient descent.
    Raises Error for inputs that do not fit each other or the circuit, and for a `seconds` that is none.
    """
    checks.number("seconds", seconds, "give the seconds of a presentation, above 0", above=0)
    checks.whole("steps", steps, 1, 1_000_000)
    plan = prepare(layer.circuit.clamped(layer.control), precision=precision, device=device)
    backend, node = plan.backend, layer.circuit.arrays[layer.control]
    w = backend.array(_weight(layer, weight)[None])
    eta, loss = layer.rate(seconds) / steps, []
    with backend.arithmetic():
        cells = [backend.place(term) for term in layer.circuit.into(layer.control)]
        for shown in _presentations(layer, inputs):
            for k in range(steps):
                x = solve_operating_point(plan, shown | {layer.control: w})
                if k == 0:
                    loss.append(0.5 * float((x[layer.loss] ** 2).sum()))
                drive = sum((cell.drive(x) for cell in cells), start=-node.ratio * w)
                w = backend.xp.clip(w + eta * drive, -layer.reach, layer.reach)
    found = backend.host(w)[0]
    at_rails = int(np.count_nonzero(np.abs(found) >= layer.reach * (1 - AT_RAIL)))
    if at_rails:
        log.warning("%d weights of %r are at their rails, ±%.3g: a lower η, or a larger largest_weight", at_rails,
                    layer.term, layer.reach)  # fmt: skip
    return Learned(found, np.array(loss), at_rails)


def _weight(layer: EclLayer, weight: Array | None) -> Array:
    """Where to begin, (out, in)."""
    found = np.asarray(checks.values("weight", layer.weight if weight is None else weight), float)
    if found.shape != layer.weight.shape:
        raise Error(f"weight has shape {found.shape}: {layer.term!r} has {layer.weight.shape}")
    return found


def _presentations(layer: EclLayer, inputs: Mapping[str, Any]) -> list[dict[str, Array]]:
    """Inputs of one presentation after another; those without an axis of presentations stay as they are."""
    arrays = layer.circuit.arrays
    values = {name: np.asarray(value) for name, value in inputs.items()}
    long = {name: len(v) for name, v in values.items() if name in arrays and v.ndim == len(arrays[name].shape) + 1}
    if len(set(long.values())) > 1:
        raise Error(f"inputs have {long} presentations: give all the same number")
    count = next(iter(long.values()), 1)
    return [{name: v[k] if name in long else v for name, v in values.items()} for k in range(count)]
