"""Radau IIA collocation on a backend: in an element each node's voltage is a polynomial through its start and p points.

    X = x₀ + (h/τ) A (d − γ X)

The small matrices (`radau.py`) are made in float64 and kept on the device for each distinct h/τ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ..circuits.arrays import matmul
from . import kernels
from .backend import Backend
from .radau import between, chain, end_slope, interpolation, propagator, radau, slopes, tail

Array = Any
Law = Callable[[Array, Array], tuple[Array, Array]]
Guess = Callable[[Array, Array], Array]
GATHERED = 1 << 16  # node values up to which a piece is evaluated in one product


@dataclass(frozen=True)
class Piece:
    """One array's polynomials in `count` elements of equal length in a row.

    length [s]: of one element; start: value at the begin, (batch, *shape); points (count·p, batch, *shape).
    """

    begin: float
    length: float
    count: int
    start: Array
    points: Array

    @property
    def end(self) -> float:
        return self.begin + self.count * self.length


class Collocation:
    """The arithmetic of elements with p points on a backend."""

    def __init__(self, backend: Backend, p: int) -> None:
        self.backend, self.p = backend, p
        self.points_at = radau(p)[0]

    @cached_property
    def _interpolate(self) -> Any:
        return self.backend.kernel(kernels.interpolate_source(self.backend.dtype, self.p), "interpolate")

    # --- polynomials ----------------------------------------------------------------------------------

    def combine(self, weights: Array, start: Array, points: Array) -> Array:
        """Placed weights (m, p + 1) applied to the polynomials of an element: start (…), points (p, …) -> (m, …)."""
        shape = points.shape[1:]
        out = matmul(weights[:, 1:], points.reshape(len(points), -1))
        out += weights[:, :1] * start.reshape(1, -1)
        return out.reshape(len(weights), *shape)

    def end_slope(self, start: Array, points: Array) -> Array:
        """d/ds at the end of an element, s from 0 to 1 in it."""
        return self.combine(self.backend.kept(end_slope, self.p)[None], start, points)[0]

    def slopes(self, start: Array, points: Array) -> Array:
        """d/ds at the points of an element, s from 0 to 1 in it."""
        return self.combine(self.backend.kept(slopes, self.p), start, points)

    def along(self, pieces: Sequence[Piece], times: Array) -> Array:
        """Values at ascending times along pieces in a row, (len(times), batch, *shape)."""
        ends = [int(np.searchsorted(times, piece.end * (1 + 1e-12), side="right")) for piece in pieces[:-1]]
        cuts = [(k, a, b) for k, (a, b) in enumerate(pairwise([0, *ends, len(times)])) if b > a]
        if len(cuts) == 1:
            return self.at(pieces[cuts[0][0]], times)
        out = self.backend.xp.empty((len(times), *pieces[0].start.shape), pieces[0].points.dtype)
        for k, first, stop in cuts:
            self.at(pieces[k], times[first:stop], out[first:stop])
        return out

    def at(self, piece: Piece, times: Array, out: Array | None = None) -> Array:
        """Values at ascending times inside the piece, (len(times), batch, *shape); out: where to, else new memory."""
        place = np.clip((times - piece.begin) / piece.length, 0.0, piece.count)
        which = np.minimum(place.astype(int), piece.count - 1)
        if self.backend.fused:
            return self._launched(piece, which, place - which, out)
        found = self._combined(piece, which, self.backend.array(interpolation(self.p, place - which)))
        if out is None:
            return found
        out[...] = found
        return out

    def _combined(self, piece: Piece, which: Array, weights: Array) -> Array:
        """Values by weights (times, p + 1) of the elements that they are in."""
        if piece.count > 1 and len(which) * piece.points[0].size < GATHERED:
            return self._gathered(piece, which, weights)
        parts = []
        for k in range(which[0], which[-1] + 1):
            inside = np.flatnonzero(which == k)
            if len(inside):
                start = piece.start if k == 0 else piece.points[k * self.p - 1]
                part = weights[inside[0] : inside[-1] + 1]
                parts.append(self.combine(part, start, piece.points[k * self.p : (k + 1) * self.p]))
        return self.backend.xp.concatenate(parts) if len(parts) > 1 else parts[0]

    def _launched(self, piece: Piece, which: Array, places: Array, out: Array | None) -> Array:
        """On a GPU: one kernel, a thread a node; weights are kept, as the same recur and every transfer costs."""
        xp, backend, size = self.backend.xp, self.backend, piece.start.size
        if out is None:
            out = xp.empty((len(which), *piece.start.shape), piece.points.dtype)
        weights = backend.kept(_weights_at, self.p, which.tobytes(), np.round(places, 12).tobytes())
        start, points = xp.ascontiguousarray(piece.start), xp.ascontiguousarray(piece.points)
        arguments = (np.int32(size), np.int32(len(which)), weights, start, points, out)
        self._interpolate(kernels.blocks(size), (kernels.THREADS,), arguments)
        return out

    def _gathered(self, piece: Piece, which: Array, weights: Array) -> Array:
        """Small pieces of many elements: every time's own p + 1 values in one product."""
        xp = self.backend.xp
        row = xp.concatenate([piece.start.reshape(1, -1), piece.points.reshape(len(piece.points), -1)])
        values = row[xp.asarray(which)[:, None] * self.p + xp.arange(self.p + 1)]
        return (weights[:, None, :] @ values).reshape(len(which), *piece.start.shape)

    def tails(self, start: Array, values: Array) -> Array:
        """The two highest Legendre terms of elements in a row: start (…), values (count, p, …) -> (2, count, N)."""
        count = len(values)
        flat = values.reshape(count, self.p, -1)
        matrix = self.backend.kept(tail, self.p)
        out = matrix[:, 1:] @ flat
        out[0] += matrix[:, :1] * start.reshape(1, -1)
        if count > 1:
            out[1:] += matrix[:, :1] * flat[:-1, -1:]
        return out.transpose(1, 0, 2)

    def middles(self, start: Array, element: Array, loss: Callable[[Array], Array]) -> Array:
        """How far loss(x) between the points of one element is from the polynomial through it at them: (p, …)."""
        middle = self.combine(self.backend.kept(_dense_between, self.p), start, element)
        at_points = loss(element)
        sparse = self.backend.kept(_sparse_between, self.p)
        return loss(middle) - (sparse @ at_points.reshape(self.p, -1)).reshape(at_points.shape)

    # --- solving --------------------------------------------------------------------------------------

    def constant(self, ratio: float, gamma: float, start: Array, drive: Array) -> Array:
        """X (count, p, B, *shape) of elements in a row for one γ, ratio = h/τ: X = m x₀ + M d, x₀ the end before."""
        count, p = drive.shape[:2]
        out = self.backend.kept(_gain, p, ratio, gamma) @ drive.reshape(count, p, -1)
        starts = start.reshape(1, -1)
        if count > 1:
            ends = self.backend.kept(_chained, p, ratio, gamma, count)
            starts = ends @ self.backend.xp.concatenate([starts, out[:-1, -1]])
        out += self.backend.kept(_memory, p, ratio, gamma) * starts[:, None, :]
        return out.reshape(drive.shape)

    def paced(
        self, ratio: float, gamma: float, sets: Sequence[tuple[float, Array]], start: Array, drive: Array
    ) -> Array:
        """As `constant`, where nodes run at a few paces: sets of (pace, flat indices of nodes), h/τ = ratio·pace."""
        count, p, batch = drive.shape[:3]
        flat, before = drive.reshape(count, p, batch, -1), start.reshape(batch, -1)
        out = self.backend.xp.empty_like(flat)
        for pace, nodes in sets:
            out[..., nodes] = self.constant(ratio * pace, gamma, before[:, nodes], flat[..., nodes])
        return out.reshape(drive.shape)

    def varying(self, ratio: float, gamma: Array, start: Array, drive: Array) -> Array:
        """X (count, p, B, *shape) of (h/τ) A (d − γX) + x₀ = X for γ (count, p, B, …) varying in time and among nodes.

        Trailing axes along which γ is constant (length 1) share one small matrix. The matrices of all elements are
        solved at once, for the drive and for a unit start; then starts are chained.
        """
        xp = self.backend.xp
        count, p, *shape = drive.shape
        gamma = gamma.reshape(gamma.shape[:2] + (1,) * (drive.ndim - gamma.ndim) + gamma.shape[2:])
        axes = drive.ndim
        while axes > 2 and gamma.shape[axes - 1] == 1:
            axes -= 1
        gamma = xp.broadcast_to(gamma.reshape(gamma.shape[:axes]), drive.shape[:axes]).reshape(count, p, -1)
        lead = gamma.shape[2]
        a = ratio * self.backend.kept(_a, p)
        matrices = self.backend.kept(np.eye, p) + a * gamma.transpose(0, 2, 1)[:, :, None, :]
        right = (a @ drive.reshape(count, p, -1)).reshape(count, p, lead, -1).transpose(0, 2, 1, 3)
        ones = xp.ones((count, lead, p, 1), dtype=drive.dtype)
        solved = xp.linalg.solve(matrices, xp.concatenate([right, ones], axis=3))
        before = start.reshape(lead, 1, -1)
        for element in solved:
            element[:, :, :-1] += element[:, :, -1:] * before
            before = element[:, -1:, :-1]
        return solved[..., :-1].transpose(0, 2, 1, 3).reshape(count, p, *shape)

    def own(self, ratio: float, pace: Array, law: Law, guess: Guess, grain: float, start: Array, drive: Array) -> Array:
        """X (count, p, B, *shape) of nodes whose own voltage bends their equation, one element after another.

        law(x, drive) -> (τ dx/dt, minus its derivative in x), (p, B, *shape) each; guess(start, drive) -> where to
        begin; grain: see `NodeArray.grain`.
        """
        solved = self.backend.xp.empty_like(drive)
        for k in range(len(drive)):
            solved[k] = self._newton(ratio, pace, law, guess(start, drive[k]), grain, start, drive[k])
            start = solved[k, -1]
        return solved

    def _newton(self, ratio: float, pace: Array, law: Law, x: Array, grain: float, start: Array, drive: Array) -> Array:
        """X (p, B, *shape) by Newton from x on X − x₀ − (h/τ) A pace f(X, d) = 0."""
        xp, p, shape = self.backend.xp, self.p, drive.shape
        a = ratio * self.backend.kept(_a, p)
        eye = self.backend.kept(np.eye, p)
        x = xp.broadcast_to(x, shape).reshape(p, -1).copy()
        tolerance = 50 * float(np.finfo(drive.dtype).eps)
        for _ in range(40):
            rate, slope = law(x.reshape(shape), drive)
            miss = x - start.reshape(1, -1) - a @ (pace * rate).reshape(p, -1)
            slope = (pace * slope).reshape(p, -1)
            step = xp.linalg.solve(eye + a * slope.T[:, None, :], miss.T[:, :, None])[:, :, 0].T
            x -= step
            if float(abs(step).max()) <= tolerance * max(float(abs(x).max()), grain):
                break
        return x.reshape(shape)


# --- matrices as a run keeps them ---------------------------------------------------------------------


def _a(p: int) -> Array:
    return radau(p)[1]


def _weights_at(p: int, which: bytes, places: bytes) -> Array:
    """(times, 1 + p + 1): which element, then the weights of its start and points."""
    return np.column_stack([np.frombuffer(which, int), interpolation(p, np.frombuffer(places))])


def _dense_between(p: int) -> Array:
    return between(p)[0]


def _sparse_between(p: int) -> Array:
    return between(p)[1]


def _gain(p: int, ratio: float, gamma: float) -> Array:
    """M of X = m x₀ + M d."""
    return propagator(p, ratio * gamma)[1] / gamma


def _memory(p: int, ratio: float, gamma: float) -> Array:
    """m of X = m x₀ + M d, (p, 1)."""
    return propagator(p, ratio * gamma)[0][:, None]


def _chained(p: int, ratio: float, gamma: float, count: int) -> Array:
    return chain(float(propagator(p, ratio * gamma)[0][-1]), count)
