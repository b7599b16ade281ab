"""Losses: what pushes current into the adjoint of the output, ∂L/∂x, as cells (DESIGN §8; the paper's eqs. 14 and 16).

    cross-entropy   L = −Σ target ln softmax(x)        ∂L/∂x = weight softmax(x) − target        weight = Σ_v target
    quadratic       L = ½ Σ weight (x − t)²            ∂L/∂x = weight x − target                 target = weight t

The softmax of eq. 16, which the paper's output layer lacks, is a softmax unit over the output's last axis; `weight`
drives the control ports of products, so that a position that does not count costs no device and no wire.
The quadratic loss is what a sampling resistor sees at a clamped output (eq. 14): I_L ∝ x − t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .arrays import module_of
from .cells import View

if TYPE_CHECKING:
    from .backward import Backward

Array = Any
TARGET, WEIGHT, GRADIENT, PROBABILITY = "loss.target", "loss.weight", "loss.gradient", "loss.probability"
LETTERS = "abcdefgh"


@dataclass(frozen=True)
class Loss:
    """inputs: clamped arrays that it adds; build: adds its cells; value: L (K,) of the output x (K, …) and of them."""

    inputs: tuple[str, ...]
    build: Callable[[Backward, str], None]
    value: Callable[[Array, Any], Array]


def _cross_entropy(back: Backward, output: str) -> None:
    p = back.beside(PROBABILITY, output)
    back.circuit.softmax(p, back.hold(View(output)), p, exists=back.forward.arrays[output].exists)
    _weighed(back, output, p)


def _quadratic(back: Backward, output: str) -> None:
    _weighed(back, output, back.hold(View(output)).array)


def _weighed(back: Backward, output: str, signal: str) -> None:
    """Adjoint of the output += weight · signal − target."""
    shape = back.forward.arrays[output].shape
    _input(back, TARGET, output, shape)
    _input(back, WEIGHT, output, (*shape[:-1], 1))
    part = back.one(View(output))
    assert part is not None
    letters = LETTERS[: len(shape)]
    spec = f"{letters[:-1]}z,{letters}->{letters}z"
    back.circuit.multiply(WEIGHT, WEIGHT, signal, part.name, spec)
    back.circuit.couple(TARGET, TARGET, part.name, -1.0, programmable=False)


def _given(back: Backward, output: str) -> None:
    _input(back, GRADIENT, output, back.forward.arrays[output].shape)
    part = back.one(View(output))
    assert part is not None
    back.circuit.couple(GRADIENT, GRADIENT, part.name, 1.0, programmable=False)


def _input(back: Backward, name: str, output: str, shape: tuple[int, ...]) -> None:
    back.circuit.clamp(name, shape, rail=None, full_scale=1.0, layer=back.forward.arrays[output].layer)


def _sum(values: Array) -> Array:
    return values.reshape(len(values), -1).sum(axis=1)


def _surprise(x: Array, inputs: Any) -> Array:
    xp, top = module_of(x), x.max(axis=-1, keepdims=True)
    total = xp.log(xp.exp(x - top).sum(axis=-1, keepdims=True)) + top
    return _sum(inputs[TARGET] * (total - x))


def _half_square(x: Array, inputs: Any) -> Array:
    target, weight = inputs[TARGET], inputs[WEIGHT]
    goal = target / module_of(x).where(weight == 0, 1, weight)
    return _sum(0.5 * weight * (x - goal) ** 2)


def _product(x: Array, inputs: Any) -> Array:
    return _sum(inputs[GRADIENT] * x)


LOSSES = {
    "cross-entropy": Loss((TARGET, WEIGHT), _cross_entropy, _surprise),
    "quadratic": Loss((TARGET, WEIGHT), _quadratic, _half_square),
    "given": Loss((GRADIENT,), _given, _product),
}
