"""White noise behind a rational transfer: its variance in closed form, poles as they come.

    I = (1/2π) ∫ |b(iω)/a(iω)|² dω  over all ω        a(s) = Σ a_k s^k of order n, stable;  b of a lower order

by Åström's recursion (Introduction to Stochastic Control Theory, 1970, ch. 5.2), which takes one order off at a time:
with the highest coefficients first, α = a₀/a₁, β = b₁/a₁,

    I_n = β²/2α + I_{n−1},      a_i ← a_{i+1} − α a_{i+2},  b_i ← b_{i+1} − β a_{i+2}  for odd i, without α, β for even

A pole pair ω₀²/(s² + sω₀/Q + ω₀²) has I = ω₀Q/2, so that white noise of density S has variance S ω₀Q/4 behind it.
Polynomials are lists of coefficients, that of s⁰ first, numbers or arrays that broadcast.
"""

from __future__ import annotations

from typing import Any

Array = Any
Polynomial = list[Any]


def lag(seconds: Array) -> Polynomial:
    """1 + s τ."""
    return trimmed([1.0, seconds])


def trimmed(each: Polynomial) -> Polynomial:
    """Without highest powers whose coefficient is the number 0."""
    while len(each) > 1 and isinstance(each[-1], float) and each[-1] == 0:
        each = each[:-1]
    return each


def product(*factors: Polynomial) -> Polynomial:
    found: Polynomial = [1.0]
    for each in factors:
        more: Polynomial = [0.0] * (len(found) + len(each) - 1)
        for i, x in enumerate(found):
            for k, y in enumerate(each):
                more[i + k] = more[i + k] + x * y
        found = more
    return trimmed(found)


def total(*terms: Polynomial) -> Polynomial:
    longest = max(len(each) for each in terms)
    return trimmed([sum((each[k] for each in terms if k < len(each)), start=0.0) for k in range(longest)])


def scaled(each: Polynomial, seconds: Array) -> Polynomial:
    """With s in units of 1/seconds."""
    return [x / seconds**k for k, x in enumerate(each)]


def at(each: Polynomial, s: Array) -> Array:
    """Its value at s."""
    found: Array = 0.0
    for coefficient in reversed(each):
        found = found * s + coefficient
    return found


def power(above: Polynomial, below: Polynomial) -> Array:
    """I of above/below."""
    a, b = below[::-1], [0.0] * (len(below) - 1 - len(above)) + above[::-1]
    found: Array = 0.0
    while len(a) > 1:
        alpha, beta = a[0] / a[1], b[0] / a[1]
        found = found + beta**2 / (2 * alpha)
        after = [*a[2:], 0.0]
        b = [b[k + 1] - (beta * a[k + 2] if k % 2 else 0.0) for k in range(len(b) - 1)]
        a = [a[k + 1] - (alpha * after[k] if k % 2 else 0.0) for k in range(len(a) - 1)]
    return found
