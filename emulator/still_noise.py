"""Noise that stands still while the machine is read: every node rests beside where its elders put it.

    x = rest(elders as they are) + s ξ,        ξ standard normal, anew for each sample, node and reading
    s² = kT ΣG/(C U² λ g₀)                     thermal: what the node has alone, λ its own decay
    s = σ full scale,  or σ                    of a given σ, as a share of full scale or in units of the activation

A reading costs one rest rather than a run in time, so training can be made of it. It is noise injected layer by layer,
slower than the cascade. Thermal noise is not slow: each later lag filters it, and of n equal ones in a row the last has
left √(C(2n, n)/4ⁿ) of the deviation that the first node has alone, 0.52 of 4, 0.40 of 12. So this is too much noise
rather than too little; `transient(noise=…)` has it in time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.cells import Signals
from ..circuits.errors import Error, shown
from .agitation import agitation, moving
from .normals import array_key
from .operating_point import decay
from .plan import Plan, Stage
from .request import checked_noise

Array = Any
UNITS = ("full-scale", "activation")


@dataclass(frozen=True)
class StillNoise:
    """level: "thermal", or σ in 0 … 1; seed: which numbers; unit: of σ, "full-scale" or "activation"."""

    level: str | float
    seed: int = 0
    unit: str = "full-scale"

    def __post_init__(self) -> None:
        checked_noise(self.level, self.seed)
        if self.level == "off":
            raise Error("noise 'off' makes none: leave it out")
        if self.unit not in UNITS:
            raise Error(f"noise unit {shown(self.unit)} is unknown: use {' or '.join(UNITS)}")

    def at(self, plan: Plan, reading: int) -> Shaken:
        """What shakes the nodes in reading number 0, 1, …"""
        return Shaken(self, plan, checks.whole("reading", reading, 0, 2**60))


@dataclass(frozen=True)
class Shaken:
    """One reading. unshaken: where arrays rested before, as far as they have been shaken."""

    noise: StillNoise
    plan: Plan
    reading: int
    unshaken: dict[str, Array] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, stage: Stage, x: Signals) -> Array:
        """Values (batch, *shape) of an array that rests at x[its name], shaken."""
        own = x[stage.name]
        if stage.node.is_inner:
            return own
        self.unshaken[stage.name] = own
        stream = np.random.Philox(key=array_key(self.noise.seed, stage.name), counter=(0, 0, self.reading, 0))
        drawn = np.random.Generator(stream).standard_normal(own.shape, dtype=own.dtype)  # on the host, for all devices
        return own + self._spread(stage, x) * self.plan.backend.array(drawn)

    def on_cycle(self, stage: Stage, samples: slice) -> Stage:
        """As it is: arrays of a cycle are not shaken."""
        return stage

    def _spread(self, stage: Stage, x: Signals) -> Array:
        """s, (batch, *shape) or broadcastable."""
        xp, level = self.plan.backend.xp, self.noise.level
        if not isinstance(level, str) and self.noise.unit == "activation":
            return level * self.plan.backend.array(np.asarray(self.plan.circuit.arrays[stage.name].present, float))
        found = agitation(self.plan, stage, level)
        assert found is not None
        if found.still is None:
            return xp.sqrt(found.scale * (found.power / 2))
        siemens = stage.own(stage.gamma(x)) + found.still + (moving(found.laws, x) if found.laws else 0.0)
        return xp.sqrt(found.scale * siemens / (2 * decay(stage, x)))
