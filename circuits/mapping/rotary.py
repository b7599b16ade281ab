"""Rotary positions as a circuit (Su et al. 2021; DESIGN §4): 2 × 2 couplings of a fixed size at each position p.

    y₁ = x₁ cos θ − x₂ sin θ,    y₂ = x₂ cos θ + x₁ sin θ,    θ = p ω

x₁ and x₂ are the two halves of a head's nodes (as Llama pairs them).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells import View
from .builder import Builder

Array = Any


def rotate(b: Builder, name: str, heads: tuple[int, ...], frequencies: Array) -> View:
    """Nodes `name`_rope (P, *heads, 2, width/2) from `name` (P, heads·width); frequencies ω (width/2,)."""
    half = len(frequencies)
    target, shape = f"{name}_rope", (b.positions, *heads, 2, half)
    b.nodes(target, shape, spread=b.ranges.spread(target, b.circuit.arrays[name].shape).reshape(shape))
    angle = b.places[:, None] * np.asarray(frequencies)
    angle = angle.reshape(b.positions, *(1,) * (len(heads) + 1), half)
    sign = np.array([[-1.0], [1.0]])
    split = shape[1:]
    b.each(f"{target}.cos", View(name, split=split), target, np.cos(angle))
    b.each(f"{target}.sin", View(name, split=split, mirrored=True), target, sign * np.sin(angle))
    return View(target)
