"""Waveforms of a run kept as the solver has them, piece by piece, to drive another circuit with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .collocation import Piece
from .observers import Element
from .plan import Plan

Array = Any


@dataclass(frozen=True)
class Recorded:
    """A recorded array, or part of one, as a waveform (see `circuits.waveforms.Waveform`): smooth, held at its end.

    pieces in time order, values (…, batch, *shape) in logical units; points: collocation points of an element.
    """

    pieces: tuple[Piece, ...]
    points: int

    @property
    def breakpoints(self) -> Array:
        """None: pieces join to the tolerance of the run that made them."""
        return np.zeros(0)

    @property
    def end(self) -> float:
        """Last recorded time [s]."""
        return self.pieces[-1].end

    def at(self, times: Array) -> Array:
        """Logical values (K, batch, *shape) at ascending times."""
        t = np.minimum(np.asarray(times, float), self.end)
        which = np.searchsorted([piece.end for piece in self.pieces[:-1]], t, side="left")
        parts = [self.pieces[k].at(self.points, t[which == k]) for k in np.unique(which)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Recorder:
    """Observer that keeps arrays' polynomials. nodes: array name -> index into its shape (... for all of it)."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self.index = dict(nodes)
        self._pieces: dict[str, list[Piece]] = {name: [] for name in nodes}
        self._points = 0
        self._host: Any = None

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self._host = plan.backend.host

    def element(self, element: Element) -> None:
        self._points = element.points
        for name in self.index:
            if name in element.initial:
                piece = Piece(
                    element.start,
                    element.length / element.count,
                    element.count,
                    self._picked(name, element.initial[name]),
                    self._picked(name, element.values[name]),
                )
                self._pieces[name].append(piece)

    def _picked(self, name: str, values: Array) -> Array:
        index = self.index[name]
        part = index if isinstance(index, tuple) else (index,)
        picked = values if index is Ellipsis else values[(..., *part)]
        return np.array(self._host(picked))

    def window(self, time: float) -> None:
        pass

    def waveform(self, name: str) -> Recorded:
        """What was recorded of an array."""
        return Recorded(tuple(self._pieces[name]), self._points)
