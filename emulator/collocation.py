"""Radau IIA collocation: in an element each node's voltage is a polynomial through its start and p points.

    X = x₀ + (h/τ) A (d − γ X)            A_ij = ∫₀^{c_i} ℓ_j,    c_p = 1

(Hairer & Wanner, Solving ODEs II, IV.5). Stiffly accurate and L-stable; order 2p − 1 at element ends, p inside.
All small matrices are made in float64; a matrix is kept for each distinct h/τ.
"""

from __future__ import annotations

from functools import lru_cache
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
def _nodes(p: int) -> Array:
    return np.concatenate([[0.0], radau(p)[0]])


def _barycentric(nodes: Array) -> Array:
    gaps = nodes[:, None] - nodes[None, :]
    np.fill_diagonal(gaps, 1.0)
    return 1 / gaps.prod(axis=1)


def interpolation(p: int, s: Array) -> Array:
    """Matrix (len(s), p + 1) from (start, points) to the polynomial's values at s (0 … 1 in the element)."""
    nodes = _nodes(p)
    gap = np.asarray(s, float)[:, None] - nodes[None, :]
    exact = gap == 0
    gap[exact] = 1.0
    terms = _barycentric(nodes) / gap
    rows = exact.any(axis=1)
    terms[rows] = exact[rows]
    matrix: Array = terms / terms.sum(axis=1, keepdims=True)
    return matrix


@lru_cache(maxsize=16)
def end_slope(p: int) -> Array:
    """Row (p + 1,): derivative d/ds of the polynomial at s = 1."""
    nodes = _nodes(p)
    w = _barycentric(nodes)
    row = np.zeros(p + 1)
    row[:-1] = (w[:-1] / w[-1]) / (nodes[-1] - nodes[:-1])
    row[-1] = -row[:-1].sum()
    return row


@lru_cache(maxsize=16)
def tail(p: int) -> Array:
    """Matrix (2, p + 1) from (start, points) to the rms size of the two highest Legendre terms of the polynomial."""
    basis = np.stack([Legendre.basis(k, domain=[0, 1])(_nodes(p)) for k in range(p + 1)], axis=1)
    rows = np.linalg.inv(basis)[[p - 1, p]]
    return rows / np.sqrt([[2 * p - 1], [2 * p + 1]])


@lru_cache(maxsize=512)
def propagator(p: int, ratio: float) -> tuple[Array, Array]:
    """For constant γ with ratio = h/τ and γ = 1: X = m x₀ + M d; m (p,), M (p, p). Scale ratio by γ, d by 1/γ."""
    _, a = radau(p)
    inverse = np.linalg.inv(np.eye(p) + ratio * a)
    return inverse @ np.ones(p), inverse @ (ratio * a)


def combine(matrix: Array, start: Array, points: Array) -> Array:
    """matrix (m, p + 1) applied to the polynomials of an element: start (…), points (p, …) -> (m, …)."""
    xp = points.__array_namespace__()
    weights = xp.asarray(matrix, dtype=points.dtype)
    shape = points.shape[1:]
    out = weights[:, 1:] @ points.reshape(len(points), -1)
    out += weights[:, :1] * start.reshape(1, -1)
    return out.reshape(len(matrix), *shape)


def solve_varying(p: int, ratio: float, gamma: Array, start: Array, drive: Array) -> Array:
    """X (p, B, *shape) of (h/τ) A (d − γX) + x₀ = X for γ (p, B, …) that varies in time and among nodes.

    Trailing axes along which γ is constant (length 1) share one small matrix.
    """
    xp = drive.__array_namespace__()
    shape = drive.shape[1:]
    gamma = gamma.reshape(gamma.shape[:1] + (1,) * (drive.ndim - gamma.ndim) + gamma.shape[1:])
    axes = drive.ndim
    while axes > 1 and gamma.shape[axes - 1] == 1:
        axes -= 1
    lead = drive.shape[1:axes]
    gamma = xp.broadcast_to(gamma.reshape(gamma.shape[:axes]), (p, *lead)).reshape(p, -1)
    count = gamma.shape[1]
    a = xp.asarray(ratio * radau(p)[1], dtype=drive.dtype)
    matrices = xp.eye(p, dtype=drive.dtype) + a * gamma.T[:, None, :]
    right = (a @ drive.reshape(p, -1) + start.reshape(1, -1)).reshape(p, count, -1).transpose(1, 0, 2)
    return xp.linalg.solve(matrices, right).transpose(1, 0, 2).reshape(p, *shape)


def solve_root(
    p: int, ratio: float, feedback: Any, standing: Array, offset: Array, start: Array, drive: Array
) -> Array:
    """X of nodes whose own voltage drives their feedback, by Newton on X − x₀ − (h/τ)A(d − γ(X)(X − offset)) = 0."""
    xp = drive.__array_namespace__()
    shape = drive.shape
    a = xp.asarray(ratio * radau(p)[1], dtype=drive.dtype)
    known = a @ drive.reshape(p, -1) + start.reshape(1, -1)
    x = xp.broadcast_to(start, shape).reshape(p, -1).copy()
    eye = xp.eye(p, dtype=drive.dtype)
    tolerance = 50 * float(np.finfo(drive.dtype).eps)
    for _ in range(40):
        full = x.reshape(shape)
        gamma = (feedback.ratio(full) + standing).reshape(p, -1)
        away = (full - offset).reshape(p, -1)
        slope = gamma + feedback.slope(full).reshape(p, -1) * away
        miss = x + a @ (gamma * away) - known
        step = xp.linalg.solve(eye + a * slope.T[:, None, :], miss.T[:, :, None])[:, :, 0].T
        x -= step
        if float(abs(step).max()) <= tolerance * (float(abs(x).max()) + 1e-30):
            break
    return x.reshape(shape)
