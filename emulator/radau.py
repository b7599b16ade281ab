"""The small matrices of Radau IIA collocation (Hairer & Wanner, Solving ODEs II, IV.5), on the host in float64.

    X = x₀ + (h/τ) A (d − γ X)            A_ij = ∫₀^{c_i} ℓ_j,    c_p = 1

Stiffly accurate and L-stable; order 2p − 1 at element ends, p inside.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial import Legendre, Polynomial

Array = Any


@lru_cache(maxsize=16)
def radau(p: int) -> tuple[Array, Array]:
    """Points c (p,) in (0, 1] and matrix A (p, p)."""
    right = Legendre.basis(p, domain=[0, 1]) - Legendre.basis(p - 1, domain=[0, 1])
    c = np.sort(right.roots().real)
    c[-1] = 1.0
    a = np.empty((p, p))
    for j in range(p):
        others = np.delete(c, j)
        basis = Polynomial.fromroots(others) / np.prod(c[j] - others) if p > 1 else Polynomial([1.0])
        a[:, j] = basis.integ()(c)
    return c, a


def quadrature(p: int) -> Array:
    """Weights b (p,) of ∫₀¹: exact for polynomials of degree 2p − 2."""
    return radau(p)[1][-1]


@lru_cache(maxsize=16)
def knots(p: int) -> Array:
    return np.concatenate([[0.0], radau(p)[0]])


def _barycentric(nodes: Array) -> Array:
    gaps = nodes[:, None] - nodes[None, :]
    np.fill_diagonal(gaps, 1.0)
    return 1 / gaps.prod(axis=1)


@lru_cache(maxsize=16)
def _weights(p: int) -> Array:
    return _barycentric(knots(p))


def interpolation(p: int, s: Array) -> Array:
    """Matrix (len(s), p + 1) from (start, points) to the polynomial's values at s (0 … 1 in the element)."""
    nodes = knots(p)
    gap = np.asarray(s, float)[:, None] - nodes[None, :]
    exact = gap == 0
    gap[exact] = 1.0
    terms = _weights(p) / gap
    rows = exact.any(axis=1)
    terms[rows] = exact[rows]
    matrix: Array = terms / terms.sum(axis=1, keepdims=True)
    return matrix


@lru_cache(maxsize=16)
def between(p: int) -> tuple[Array, Array, Array]:
    """Matrices to the middles of the p gaps between start and points, from (start, points) and from points alone; and
    the widths of the gaps."""
    nodes = knots(p)
    middle = (nodes[1:] + nodes[:-1]) / 2
    c = nodes[1:]
    weights = _barycentric(c) / (middle[:, None] - c[None, :])
    return interpolation(p, middle), weights / weights.sum(axis=1, keepdims=True), np.diff(nodes)


def steps(p: int, places: int) -> Array:
    """(p, places, p + 1) from (start, points) to places from one of them to the next."""
    return np.stack([interpolation(p, np.linspace(a, b, places)) for a, b in pairwise(knots(p))])


@lru_cache(maxsize=16)
def end_slope(p: int) -> Array:
    """Row (p + 1,): derivative d/ds of the polynomial at s = 1."""
    nodes = knots(p)
    w = _barycentric(nodes)
    row = np.zeros(p + 1)
    row[:-1] = (w[:-1] / w[-1]) / (nodes[-1] - nodes[:-1])
    row[-1] = -row[:-1].sum()
    return row


@lru_cache(maxsize=16)
def slopes(p: int) -> Array:
    """Matrix (p, p + 1) from (start, points) to the derivative d/ds at the points."""
    nodes = knots(p)
    w = _barycentric(nodes)
    gap = nodes[:, None] - nodes[None, :]
    np.fill_diagonal(gap, 1.0)
    matrix: Array = w[None, :] / w[:, None] / gap
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix[1:]


@lru_cache(maxsize=16)
def tail(p: int) -> Array:
    """Matrix (2, p + 1) from (start, points) to the rms size of the two highest Legendre terms of the polynomial."""
    basis = np.stack([Legendre.basis(k, domain=[0, 1])(knots(p)) for k in range(p + 1)], axis=1)
    rows = np.linalg.inv(basis)[[p - 1, p]]
    return rows / np.sqrt([[2 * p - 1], [2 * p + 1]])


@lru_cache(maxsize=512)
def propagator(p: int, ratio: float) -> tuple[Array, Array]:
    """For constant γ with ratio = h/τ and γ = 1: X = m x₀ + M d; m (p,), M (p, p). Scale ratio by γ, d by 1/γ."""
    _, a = radau(p)
    inverse = np.linalg.inv(np.eye(p) + ratio * a)
    return inverse @ np.ones(p), inverse @ (ratio * a)


@lru_cache(maxsize=128)
def chain(decay: float, count: int) -> Array:
    """Lower triangle (count, count) of decay^(i − j): starts of elements in a row from the first start and what each
    element adds to the next."""
    power = np.subtract.outer(np.arange(count), np.arange(count))
    return np.where(power >= 0, float(decay) ** np.maximum(power, 0), 0.0)
