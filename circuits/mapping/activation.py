"""Activations as circuits (paper A.2a; DESIGN §4).

GELU from pre-activations x:

    q = x²,  u = c (x + 0.044715 x q),  t = tanh(u),  y = x/2 + x t/2          c = sqrt(2/π)

SiLU, gating another array w, from x:

    u = x/2,  t = tanh(u),  y = x/2 + x t/2 = x σ(x),  z = y w

`tanh-pair`: t from a differential pair. `taylor`: t = u − u³/3 + 2u⁵/15 by products. `paper`: GELU as printed there,
with u/2 in place of u and u⁵/5, whose error of up to 0.23 is the paper's, kept for comparison.
ReLU is a rectifier.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from .builder import Builder

Array = Any
SERIES = {"taylor": (1.0, -1 / 3, 2 / 15), "paper": (1.0, -1 / 3, 1 / 5)}
ACTIVATIONS = ("tanh-pair", "taylor", "paper")


def map_gelu(b: Builder, name: str, pre: str, width: int) -> str:
    """Nodes from `pre` (P, width) to the activation; returns its name."""
    shape = (b.positions, width)
    square, arg, act = (f"{name}.{part}" for part in ("square", "arg", "act"))
    scale = sqrt(2 / pi) * (0.5 if b.activation == "paper" else 1.0)
    reach = b.ranges.spread(pre, shape)  # its margin goes into the powers too
    b.nodes(square, shape, spread=reach**2)
    b.circuit.multiply(square, pre, pre, square, "pd,pd->pd")
    b.nodes(arg, shape, spread=scale * (reach + 0.044715 * reach**3))
    b.each(f"{arg}.signal", pre, arg, scale)
    b.circuit.multiply(f"{arg}.cube", square, pre, arg, "pd,pd->pd", gain=0.044715 * scale)
    return _half_and_product(b, _tanh(b, name, arg, shape), pre, act, shape)


def map_gated_silu(b: Builder, name: str, gate: str, up: str, width: int) -> str:
    """Nodes from `gate` and `up` (P, width) to silu(gate) · up; returns its name."""
    shape = (b.positions, width)
    arg, silu, act = (f"{name}.{part}" for part in ("arg", "silu", "act"))
    b.nodes(arg, shape, spread=b.ranges.spread(gate, shape) / 2)
    b.each(arg, gate, arg, 0.5)
    most = np.maximum(b.ranges.spread(gate, shape), b.ranges.spread(silu, shape))  # a series of tanh may pass 1
    _half_and_product(b, _tanh(b, name, arg, shape), gate, silu, shape, most)
    b.nodes(act, shape, spread=b.ranges.spread(silu, shape) * b.ranges.spread(up, shape))
    b.circuit.multiply(act, silu, up, act, "pd,pd->pd")
    return act


def map_relu(b: Builder, name: str, pre: str, width: int) -> str:
    """A rectifier a node; returns the activation's name."""
    act = f"{name}.act"
    b.nodes(act, (b.positions, width))
    b.circuit.rectify(act, pre, act, bias_current=b.technology.rectifier.bias_current)
    return act


def _half_and_product(
    b: Builder, tanh: str, x: str, target: str, shape: tuple[int, ...], spread: Array | None = None
) -> str:
    """y = x/2 + x t/2."""
    b.nodes(target, shape, spread=spread)
    b.each(f"{target}.half", x, target, 0.5)
    b.circuit.multiply(target, tanh, x, target, "pd,pd->pd", gain=0.5)
    return target


def _tanh(b: Builder, name: str, arg: str, shape: tuple[int, ...]) -> str:
    """Nodes of tanh(arg), or of its series."""
    tanh = f"{name}.tanh"
    if b.activation == "tanh-pair":
        b.nodes(tanh, shape, spread=np.ones(shape))
        b.circuit.tanh(tanh, arg, tanh, tail_current=b.technology.tanh.tail_current)
        return tanh
    series = SERIES[b.activation]
    powers = [f"{name}.arg{n}" for n in (2, 3, 5)]
    reach = b.circuit.full_scale(arg)
    for power, n in zip(powers, (2, 3, 5), strict=True):
        b.nodes(power, shape, spread=reach**n)
    b.circuit.multiply(powers[0], arg, arg, powers[0], "pd,pd->pd")
    b.circuit.multiply(powers[1], powers[0], arg, powers[1], "pd,pd->pd")
    b.circuit.multiply(powers[2], powers[0], powers[1], powers[2], "pd,pd->pd")
    b.nodes(tanh, shape, spread=sum(abs(a) * reach**n for a, n in zip(series, (1, 3, 5), strict=True)))
    for source, weight in zip((arg, powers[1], powers[2]), series, strict=True):
        b.each(f"{tanh}.{source.rsplit('.', 1)[1]}", source, tanh, weight)
    return tanh
