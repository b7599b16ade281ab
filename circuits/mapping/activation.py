"""GELU as a circuit (paper A.2a; DESIGN §4), from pre-activations x:

    q = x²,  u = c (x + 0.044715 x q),  t = tanh(u),  y = x/2 + x t/2          c = sqrt(2/π)

`tanh-pair`: t from a differential pair. `taylor`: t = u − u³/3 + 2u⁵/15 by products. `paper`: as printed there, with
u/2 in place of u and u⁵/5, whose error of up to 0.23 is the paper's, kept for comparison.
ReLU is a rectifier.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from ..errors import Error
from .builder import Builder

SERIES = {"taylor": (1.0, -1 / 3, 2 / 15), "paper": (1.0, -1 / 3, 1 / 5)}
ACTIVATIONS = ("tanh-pair", "taylor", "paper")


def map_gelu(b: Builder, name: str, pre: str, width: int, activation: str) -> str:
    """Nodes from `pre` (P, width) to the activation; returns its name."""
    if activation not in ACTIVATIONS:
        raise Error(f"activation {activation!r} is unknown: use {', '.join(ACTIVATIONS)}")
    shape = (b.positions, width)
    square, arg, tanh, act = (f"{name}.{part}" for part in ("square", "arg", "tanh", "act"))
    scale = sqrt(2 / pi) * (0.5 if activation == "paper" else 1.0)
    reach = b.ranges.spread(pre, shape)  # its margin goes into the powers too
    b.nodes(square, shape, spread=reach**2)
    b.circuit.multiply(square, pre, pre, square, "pd,pd->pd")
    b.nodes(arg, shape, spread=scale * (reach + 0.044715 * reach**3))
    b.each(f"{arg}.signal", pre, arg, scale)
    b.circuit.multiply(f"{arg}.cube", square, pre, arg, "pd,pd->pd", gain=0.044715 * scale)
    if activation == "tanh-pair":
        b.nodes(tanh, shape, spread=np.ones(shape))
        b.circuit.tanh(tanh, arg, tanh, tail_current=b.technology.tanh.tail_current)
    else:
        _series(b, name, arg, tanh, shape, SERIES[activation])
    b.nodes(act, shape)
    b.each(f"{act}.half", pre, act, 0.5)
    b.circuit.multiply(act, tanh, pre, act, "pd,pd->pd", gain=0.5)
    return act


def _series(
    b: Builder, name: str, arg: str, tanh: str, shape: tuple[int, ...], series: tuple[float, float, float]
) -> None:
    """t = a₁u + a₃u³ + a₅u⁵ from powers u², u³, u⁵."""
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


def map_relu(b: Builder, name: str, pre: str, width: int) -> str:
    """A rectifier a node; returns the activation's name."""
    act = f"{name}.act"
    b.nodes(act, (b.positions, width))
    b.circuit.rectify(act, pre, act, bias_current=b.technology.rectifier.bias_current)
    return act
