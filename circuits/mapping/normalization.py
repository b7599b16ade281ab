"""LayerNorm and RMSNorm as circuits (paper A.2b; DESIGN §4):

    μ = Σ x_j / d                      couplings
    δ = x − μ                          couplings; RMSNorm has no mean: δ = x
    τ ds/dt = m (Σ δ²/d + ε) − (m s) s     products into a root node: s = sqrt(var + ε)
    τ dy/dt = m δ − (m s) y                division by feedback that s drives: y = δ / s

m is chosen so that the feedback γ = m s is PEAK at the largest s of calibration. Gain and bias of the norm are folded
into the weights that read y.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells import Feedback
from .builder import Builder

Array = Any
PEAK = 2.0  # feedback at the calibrated range, in units of the node's reference conductance


def map_layer_norm(b: Builder, name: str, source: str, width: int, epsilon: float) -> str:
    """Nodes of one LayerNorm without its gain and bias; returns the name of y (P, width)."""
    mean, diff = f"{name}.mean", f"{name}.diff"
    b.nodes(mean, (b.positions, 1))
    b.fixed(mean, source, mean, np.full((1, width), 1 / width))
    b.nodes(diff, (b.positions, width))
    b.each(f"{diff}.signal", source, diff, 1.0)
    b.fixed(f"{diff}.mean", mean, diff, np.full((width, 1), -1.0))
    return map_rms_norm(b, name, diff, width, epsilon)


def map_rms_norm(b: Builder, name: str, source: str, width: int, epsilon: float) -> str:
    """Nodes of source / sqrt(mean of its squares + ε), without gain; returns the name of y (P, width)."""
    p, floor = b.positions, b.technology.node.feedback_floor
    root, norm = f"{name}.root", f"{name}.norm"
    m = PEAK / b.ranges.spread(root, (p, 1))
    b.nodes(root, (p, 1), feedback=Feedback(root, m, floor))
    b.circuit.multiply(f"{root}.squares", source, source, root, "pd,pd->p", gain=m / width)
    b.circuit.bias(f"{root}.epsilon", root, m * epsilon, programmable=False)
    b.nodes(norm, (p, width), feedback=Feedback(root, m, floor))
    b.each(f"{norm}.signal", source, norm, m)
    return norm
