"""Some polynomials of one variable at many places, in one pass over memory.

    ψ_r(v) = Σ_k c_rk v^k,        v = U x

A crossbar multiplies what stands here by matrices, so it must cost little beside them: a processor works on blocks that
stay in its cache, with as few passes as it can (`lowest_powers`); on a GPU all polynomials are one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import module_of

Array = Any
Polynomial = tuple[float, ...]
CACHED = 1 << 15  # values that are worked on together
WORST = 1e3  # condition of a change of basis


def shaped(polynomials: Sequence[Polynomial], x: Array, unit: Array) -> Array:
    """ψ_r(U x), (K, P, r, n), contiguous: x (K, P, n), unit (P or 1, n)."""
    xp = module_of(x)
    out = xp.empty_like(x, shape=(*x.shape[:2], len(polynomials), x.shape[2]), order="C")
    if xp is not np:
        _kernel(tuple(polynomials))(x, unit, *(out[:, :, k] for k in range(len(polynomials))))
        return out
    samples, positions, width = x.shape
    program = _program(tuple(polynomials))
    places = min(positions, max(1, CACHED // width))
    step = max(1, min(samples, CACHED // (width * places)))
    room = xp.empty_like(x, shape=(2 + len(program.powers), step, places, width), order="C")
    for a in range(0, samples, step):
        for b in range(0, positions, places):
            part = x[a : a + step, b : b + places]
            here = unit if len(unit) == 1 else unit[b : b + places]
            program.run(part, here, room[:, : part.shape[0], : part.shape[1]], out[a : a + step, b : b + places])
    return out


@dataclass(frozen=True)
class _Program:
    """ψ_r = c v^a + v^b Q(v^step), with powers that all r share.

    powers: (k, i, j) of v^k = v^i v^j, in an order in which they can be made; sums: (c, a, b,
    coefficients of Q) of each ψ.
    """

    step: int
    powers: tuple[tuple[int, int, int], ...]
    sums: tuple[tuple[float, int, int, tuple[float, ...]], ...]

    def run(self, x: Array, unit: Array, room: Array, out: Array) -> None:
        """Write ψ_r(x·unit) into out (K, P, r, n); room: 2 + powers arrays like x."""
        row, at = room[0], {0: 1.0, 1: room[1]}
        np.multiply(x, unit, out=room[1])
        for place, (k, one, other) in enumerate(self.powers, start=2):
            at[k] = np.multiply(at[one], at[other], out=room[place])
        for place, (c, a, b, rest) in enumerate(self.sums):
            to = out[:, :, place]
            if not rest:
                np.multiply(at[a], c, out=to)
                continue
            np.multiply(at[b if len(rest) == 1 else self.step], rest[-1], out=row)
            for each in rest[-2:0:-1]:
                np.add(row, each, out=row)
                np.multiply(row, at[self.step], out=row)
            if len(rest) > 1:
                np.add(row, rest[0], out=row)
                np.multiply(row, at[b], out=row)
            np.add(row, at[a] if c == 1 else c * at[a], out=to)


@lru_cache(maxsize=256)
def _program(polynomials: tuple[Polynomial, ...]) -> _Program:
    """How to evaluate some polynomials in few passes."""
    step = 1 if any(any(each[0::2]) and any(each[1::2]) for each in polynomials) else 2
    sums: list[tuple[float, int, int, tuple[float, ...]]] = []
    powers: dict[int, tuple[int, int, int]] = {}

    def need(k: int) -> None:
        if k > 1 and k not in powers:
            one, other = (1, 1) if k == 2 else (k - step, step)
            need(one)
            need(other)
            powers[k] = k, one, other

    for each in polynomials:
        a, *more = [k for k, c in enumerate(each) if c] or [0]
        rest = each[more[0] : more[-1] + 1 : step] if more else ()
        sums.append((each[a], a, more[0] if more else 0, rest))
        for k in (a, *more[:1], step if len(rest) > 1 else 0):
            need(k)
    return _Program(step, tuple(powers.values()), tuple(sums))


def lowest_powers(coefficients: Array, reach: float) -> tuple[Array, Array]:
    """(C̃, B): the same span with ψ = B ψ̃, where each of the lowest r powers belongs to one ψ̃ alone.

    coefficients (r, powers), all even, all odd, or mixed; |v| up to `reach`. ψ̃ is cheaper to evaluate; where B would be
    nearly singular, and sums of ψ̃ cancel, ψ stays.
    """
    found = np.asarray(coefficients, float)
    used = np.flatnonzero(found.any(axis=0))[: len(found)]
    mix = found[:, used]
    if len(used) < len(found) or np.linalg.cond(mix * reach**used) > WORST:
        return found, np.eye(len(found))
    reduced = np.linalg.solve(mix, found)
    reduced[:, used] = np.eye(len(found))
    return reduced, mix


def value(polynomial: Polynomial, y: Array) -> Array:
    """ψ(y), in the type of y."""
    powers, step, lowest = _powers(polynomial)
    base = y if step == 1 else y * y
    found = powers[-1] + 0 * y
    for power in powers[-2::-1]:
        found = found * base + power
    return found * y if lowest else found


def derivative(polynomial: Polynomial) -> Polynomial:
    """ψ′."""
    return tuple(k * c for k, c in enumerate(polynomial))[1:] or (0.0,)


def stretched(polynomial: Polynomial, gain: float) -> Polynomial:
    """ψ(gain · v)."""
    return tuple(c * gain**k for k, c in enumerate(polynomial))


def text(polynomial: Polynomial, v: str, number: str = "%.15g") -> str:
    """ψ as an expression of the variable v, for SPICE or, with number "(T)%.17g", CUDA."""
    powers, step, lowest = _powers(polynomial)
    base = v if step == 1 else f"({v})*({v})"
    found = number % powers[-1]
    for power in powers[-2::-1]:
        found = f"{number % power}+{base}*({found})"
    return f"({v})*({found})" if lowest else f"({found})"


def _powers(polynomial: Polynomial) -> tuple[list[float], int, int]:
    """(coefficients that matter, step of their powers, lowest power: 0 or 1)."""
    powers = list(polynomial)
    while len(powers) > 1 and powers[-1] == 0:
        powers.pop()
    if len(powers) > 1 and not any(powers[0::2]):
        return powers[1::2], 2, 1
    if not any(powers[1::2]):
        return powers[0::2], 2, 0
    return (powers[1:], 1, 1) if powers[0] == 0 else (powers, 1, 0)


@lru_cache(maxsize=256)
def _kernel(polynomials: tuple[Polynomial, ...]) -> Any:
    """The polynomials as one elementwise kernel of CuPy's."""
    import cupy

    outputs = ", ".join(f"T y{k}" for k in range(len(polynomials)))
    laws = "; ".join(f"y{k} = {text(each, 'v', '(T)%.17g')}" for k, each in enumerate(polynomials))
    return cupy.ElementwiseKernel("T x, T unit", outputs, f"const T v = x * unit; {laws}", "polynomials")


def padded(shapes: Sequence[Polynomial]) -> Array:
    """Coefficients of polynomials as rows of one array (r, powers)."""
    most = max(len(shape) for shape in shapes)
    return np.array([[*shape, *(0.0,) * (most - len(shape))] for shape in shapes])
