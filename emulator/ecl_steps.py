"""A layer that trains itself, presentation by presentation: what `transient` of an ECL layer does, in steps.

    rest of the circuit with the weights held  →  I_L        Δw = η [drive(I_L, x, w) − λ w],  η = T/τ  (`ecl.py`)

drive is that of the layer's own cells: −I_L xᵀ, with their range, leak and mismatch. A step is the transient's where
loss and weights hardly move within it; it leaves out

    that I_L falls while weights move      step over transient: η n / (1 − e^(−ηn)),  n = Σ x_j²
    that I_L lags by τ_r = r C_r           (τ_r/τ) (I_L now − I_L before) x, what a presentation begins with

`steps` divides a presentation and takes the first away. Weights stop at ±R. Thermal noise, with Q of `linearized.py`,
is that of a step of T ≫ τ_r seconds: the mean of I_L over it is off by τ_r √(Q/T) ξ, a weight at its end by √(Q T) ξ.
What reaches the layer from before it is taken as quiet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits import checks
from ..circuits.cells.mismatch import Draw
from ..circuits.ecl import EclLayer
from ..circuits.errors import Error, shown
from ..circuits.words import counted
from .linearized import stage_intensity
from .operating_point import solve_operating_point
from .plan import Stage
from .prepare import prepare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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

    def plot(self) -> Figure:
        """Loss against presentations; see `pictures.plot_learned`."""
        from .pictures import plot_learned

        return plot_learned(self)


def ecl_steps(
    layer: EclLayer,
    inputs: Mapping[str, Any],
    seconds: float,
    *,
    weight: Array | None = None,
    steps: int = 1,
    noise: str = "off",
    noise_seed: int = 0,
    precision: str = "float64",
    device: str = "numpy",
) -> Learned:
    """Shows a layer one presentation after another, `seconds` each.

    inputs: of the layer's circuit, the target among them, logical: (N, *shape), or (*shape) where it stays the same.
    weight: where to begin; None: the layer's own. steps: of one presentation.
    noise: "off" or "thermal".

    Warns where weights end at their rails. With η |x|² above 2 steps swing, as those of any gradient descent.
    Raises Error for inputs that do not fit each other or the circuit, and for a `seconds` that is none.
    """
    checks.made("layer", layer, EclLayer, "give what ecl_layer returns")
    inputs = checks.mapping("inputs", inputs, "give a mapping {array: values} of the layer's circuit")
    checks.number("seconds", seconds, "give the seconds of a presentation, above 0", above=0)
    checks.whole("steps", steps, 1, 1_000_000)
    plan = prepare(layer.circuit.clamped(layer.control), precision=precision, device=device)
    backend, node = plan.backend, layer.circuit.arrays[layer.control]
    w = backend.array(_weight(layer, weight)[None])
    eta, loss = layer.rate(seconds) / steps, []
    shaken = _Shaken(layer, seconds / steps, checks.seed("noise_seed", noise_seed)) if _noisy(noise) else None
    with backend.arithmetic():
        cells = [backend.place(term) for term in layer.circuit.into(layer.control)]
        for presented in _presentations(layer, inputs):
            for k in range(steps):
                x = solve_operating_point(plan, presented | {layer.control: w})
                walk: Array = 0.0
                if shaken:
                    rest = {name: backend.host(value) for name, value in x.items()}
                    x[layer.loss], walk = (backend.array(each) for each in shaken(rest))
                if k == 0:
                    loss.append(0.5 * float((x[layer.loss] ** 2).sum()))
                drive = sum((cell.drive(x) for cell in cells), start=-node.ratio * w)
                w = backend.xp.clip(w + eta * drive + walk, -layer.reach, layer.reach)
    found = backend.host(w)[0]
    at_rails = int(np.count_nonzero(np.abs(found) >= layer.reach * (1 - AT_RAIL)))
    if at_rails:
        log.warning("%s of %r at the rails, ±%.3g: a lower η, or a larger largest_weight", counted(at_rails, "weight"),
                    layer.term, layer.reach)  # fmt: skip
    return Learned(found, np.array(loss), at_rails)


def _noisy(noise: str) -> bool:
    if not checks.among(noise, ("off", "thermal")):
        raise Error(f"noise is {shown(noise)}: steps of a layer know 'off' and 'thermal'")
    return noise == "thermal"


class _Shaken:
    """Thermal noise of a step. Called with arrays at rest, on the host: (loss with its noise, what weights walk)."""

    def __init__(self, layer: EclLayer, seconds: float, seed: int) -> None:
        self.plan, self.seconds, self.draw, self.number = prepare(layer.circuit), seconds, Draw(seed), 0
        self.loss, self.control = (self._stage(name) for name in (layer.loss, layer.control))

    def _stage(self, name: str) -> Stage:
        return next(stage for stage in self.plan.stages if stage.name == name)

    def __call__(self, x: Mapping[str, Array]) -> tuple[Array, Array]:
        self.number += 1
        late = self.loss.node.time_constants / self.seconds
        return x[self.loss.name] + late * self._walk(self.loss, x), self._walk(self.control, x)

    def _walk(self, stage: Stage, x: Mapping[str, Array]) -> Array:
        """What noise adds up to in a step: √(Q T) ξ."""
        normal = self.draw(stage.name, f"step {self.number}", (1, *stage.node.shape))
        return np.sqrt(stage_intensity(self.plan, stage, x) * self.seconds) * normal


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
