"""Radau IIA collocation: in an element each node's voltage is a polynomial through its start and p points.

    X = x₀ + (h/τ) A (d − γ X)            A_ij = ∫₀^{c_i} ℓ_j,    c_p = 1

(Hairer & Wanner, Solving ODEs II, IV.5). Stiffly accurate and L-stable; order 2p − 1 at element ends, p inside.
All small matrices are made in float64; a matrix is kept for each distinct h/τ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import Legendre, Polynomial

Array = Any
Law = Callable[[Array, Array], tuple[Array, Array]]
Guess = Callable[[Array, Array], Array]
GATHERED = 1 << 16  # node values up to which a piece is evaluated in one product


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


@lru_cache(maxsize=16)
def _weights(p: int) -> Array:
    return _barycentric(_nodes(p))


def interpolation(p: int, s: Array) -> Array:
    """Matrix (len(s), p + 1) from (start, points) to the polynomial's values at s (0 … 1 in the element)."""
    nodes = _nodes(p)
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
    nodes = _nodes(p)
    middle = (nodes[1:] + nodes[:-1]) / 2
    c = nodes[1:]
    weights = _barycentric(c) / (middle[:, None] - c[None, :])
    return interpolation(p, middle), weights / weights.sum(axis=1, keepdims=True), np.diff(nodes)


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


@dataclass(frozen=True)
class Piece:
    """One array's polynomials in `count` elements of equal length in a row.

    length [s]: of one element; starts: value at the begin, (batch, *shape); points (count·p, batch, *shape).
    """

    begin: float
    length: float
    count: int
    start: Array
    points: Array

    @property
    def end(self) -> float:
        return self.begin + self.count * self.length

    def at(self, p: int, times: Array) -> Array:
        """Values at ascending times inside the piece, (len(times), batch, *shape)."""
        place = np.clip((times - self.begin) / self.length, 0.0, self.count)
        which = np.minimum(place.astype(int), self.count - 1)
        weights = interpolation(p, place - which)
        if self.count > 1 and len(times) * self.points[0].size < GATHERED:
            return self._gathered(p, which, weights)
        parts = []
        for k in range(which[0], which[-1] + 1):
            inside = which == k
            if inside.any():
                start = self.start if k == 0 else self.points[k * p - 1]
                parts.append(combine(weights[inside], start, self.points[k * p : (k + 1) * p]))
        return parts[0] if len(parts) == 1 else self.points.__array_namespace__().concatenate(parts)

    def _gathered(self, p: int, which: Array, weights: Array) -> Array:
        """Small pieces of many elements: every time's own p + 1 values in one product."""
        xp = self.points.__array_namespace__()
        row = xp.concatenate([self.start.reshape(1, -1), self.points.reshape(len(self.points), -1)])
        values = row[xp.asarray(which)[:, None] * p + xp.arange(p + 1)]
        found = xp.asarray(weights, dtype=row.dtype)[:, None, :] @ values
        return found.reshape(len(which), *self.start.shape)


def tails(p: int, start: Array, values: Array) -> Array:
    """The two highest Legendre terms of elements in a row: start (…), values (count, p, …) -> (2, count, …)."""
    xp = values.__array_namespace__()
    matrix = tail(p)
    count = len(values)
    flat = values.reshape(count, p, -1)
    out = xp.asarray(matrix[:, 1:], dtype=values.dtype) @ flat
    first = xp.asarray(matrix[:, :1], dtype=values.dtype)
    out[0] += first * start.reshape(1, -1)
    out[1:] += first * flat[:-1, -1:]
    return out.transpose(1, 0, 2).reshape(2, count, *values.shape[2:])


def solve_constant(m: Array, matrix: Array, gamma: float, start: Array, drive: Array) -> Array:
    """X (count, p, B, *shape) of elements in a row for one constant γ: X = m x₀ + M d/γ, x₀ the end before."""
    xp = drive.__array_namespace__()
    count, p = drive.shape[:2]
    out = xp.asarray(matrix / gamma, dtype=drive.dtype) @ drive.reshape(count, p, -1)
    starts = start.reshape(1, -1)
    if count > 1:
        starts = xp.asarray(chain(float(m[-1]), count), dtype=drive.dtype) @ xp.concatenate([starts, out[:-1, -1]])
    out += xp.asarray(m[:, None], dtype=drive.dtype) * starts[:, None, :]
    return out.reshape(drive.shape)


@lru_cache(maxsize=128)
def chain(decay: float, count: int) -> Array:
    """Lower triangle (count, count) of decay^(i − j): starts of elements in a row from the first start and what each
    element adds to the next."""
    power = np.subtract.outer(np.arange(count), np.arange(count))
    return np.where(power >= 0, float(decay) ** np.maximum(power, 0), 0.0)


def solve_paced(
    p: int, ratio: float, gamma: float, sets: tuple[tuple[float, Array], ...], start: Array, drive: Array
) -> Array:
    """As `solve_constant`, where nodes run at a few paces: sets of (pace, flat indices of nodes), h/τ = ratio·pace."""
    xp = drive.__array_namespace__()
    count, p, batch = drive.shape[:3]
    flat, before = drive.reshape(count, p, batch, -1), start.reshape(batch, -1)
    out = xp.empty_like(flat)
    for pace, nodes in sets:
        m, matrix = propagator(p, ratio * pace * gamma)
        out[..., nodes] = solve_constant(m, matrix, gamma, before[:, nodes], flat[..., nodes])
    return out.reshape(drive.shape)


def solve_varying(p: int, ratio: float, gamma: Array, start: Array, drive: Array) -> Array:
    """X (count, p, B, *shape) of (h/τ) A (d − γX) + x₀ = X for γ (count, p, B, …) varying in time and among nodes.

    Trailing axes along which γ is constant (length 1) share one small matrix. The matrices of all elements are solved
    at once, for the drive and for a unit start; then starts are chained.
    """
    xp = drive.__array_namespace__()
    count = len(drive)
    shape = drive.shape[2:]
    gamma = gamma.reshape(gamma.shape[:2] + (1,) * (drive.ndim - gamma.ndim) + gamma.shape[2:])
    axes = drive.ndim
    while axes > 2 and gamma.shape[axes - 1] == 1:
        axes -= 1
    gamma = xp.broadcast_to(gamma.reshape(gamma.shape[:axes]), (count, p, *drive.shape[2:axes])).reshape(count, p, -1)
    lead = gamma.shape[2]
    a = xp.asarray(ratio * radau(p)[1], dtype=drive.dtype)
    matrices = xp.eye(p, dtype=drive.dtype) + a * gamma.transpose(0, 2, 1)[:, :, None, :]
    right = (a @ drive.reshape(count, p, -1)).reshape(count, p, lead, -1).transpose(0, 2, 1, 3)
    ones = xp.ones((count, lead, p, 1), dtype=drive.dtype)
    solved = xp.linalg.solve(matrices, xp.concatenate([right, ones], axis=3))
    before = start.reshape(lead, 1, -1)
    for element in solved:
        element[:, :, :-1] += element[:, :, -1:] * before
        before = element[:, -1:, :-1]
    return solved[..., :-1].transpose(0, 2, 1, 3).reshape(count, p, *shape)


def solve_own(p: int, ratio: float, pace: Array, law: Law, guess: Guess, start: Array, drive: Array) -> Array:
    """X (count, p, B, *shape) of nodes whose own voltage bends their equation, one element after another.

    law(x, drive) -> (τ dx/dt, minus its derivative in x), (p, B, *shape) each; guess(start, drive) -> where to begin.
    """
    xp = drive.__array_namespace__()
    solved = xp.empty_like(drive)
    for k in range(len(drive)):
        solved[k] = _own_element(p, ratio, pace, law, guess(start, drive[k]), start, drive[k])
        start = solved[k, -1]
    return solved


def _own_element(p: int, ratio: float, pace: Array, law: Law, x: Array, start: Array, drive: Array) -> Array:
    """X (p, B, *shape) by Newton from x on X − x₀ − (h/τ) A pace f(X, d) = 0."""
    xp = drive.__array_namespace__()
    shape = drive.shape
    a = xp.asarray(ratio * radau(p)[1], dtype=drive.dtype)
    x = xp.broadcast_to(x, shape).reshape(p, -1).copy()
    eye = xp.eye(p, dtype=drive.dtype)
    tolerance = 50 * float(np.finfo(drive.dtype).eps)
    for _ in range(40):
        rate, slope = law(x.reshape(shape), drive)
        miss = x - start.reshape(1, -1) - a @ (pace * rate).reshape(p, -1)
        slope = (pace * slope).reshape(p, -1)
        step = xp.linalg.solve(eye + a * slope.T[:, None, :], miss.T[:, :, None])[:, :, 0].T
        x -= step
        if float(abs(step).max()) <= tolerance * (float(abs(x).max()) + 1e-30):
            break
    return x.reshape(shape)
