"""What every operation's mapping needs: the circuit being built, the technology, and ranges in volts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..calibration import Ranges, unit_for
from ..cells import Feedback, View
from ..circuit import Circuit
from ..technology import Technology
from .linear import folded

Array = Any


@dataclass
class Builder:
    """Adds arrays with calibrated units and terms to one circuit.

    positions: P, of a serial machine 1; place: index of its first token, above 0 in a serial machine, whose banks have
    `keys` rows; softmax, order, activation: as `map_model` resolved them; coupling: "buffered", "balanced" or
    "passive"; leakage: softmax branches leak; softmax_clamp [nats]: their scores are held there (None: at the swing);
    softmax_gain: nats per nat of score; all_ranges: with the first
    position apart; layer: label of new arrays; dtype: of the matrices of couplings.
    """

    circuit: Circuit
    technology: Technology
    all_ranges: Ranges
    positions: int
    softmax: str = "translinear"
    order: int = 3
    activation: str = "tanh-pair"
    coupling: str = "buffered"
    leakage: bool = False
    softmax_clamp: float | None = None
    softmax_gain: float = 1.0
    place: int = 0
    rows: int = 0
    layer: str = ""
    dtype: Any = np.float64

    @property
    def serial(self) -> bool:
        """Whether tokens share one set of nodes and find earlier keys and values in banks."""
        return self.rows > 0

    @property
    def keys(self) -> int:
        """Rows of keys that a token may attend to."""
        return self.rows or self.positions

    @property
    def places(self) -> Array:
        """Index of each token in its text, (P,)."""
        return self.place + np.arange(self.positions)

    @cached_property
    def ranges(self) -> Ranges:
        """Of the tokens that are annealed: in a serial machine none of them is the first."""
        return self.all_ranges.rest() if self.serial else self.all_ranges

    def nodes(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        spread: Array | None = None,
        unit: Array | None = None,
        feedback: Feedback | None = None,
        exists: Array | None = None,
        clamped: bool = False,
        stored: bool = False,
        rail: float | None = None,
        position_axis: int = 0,
    ) -> str:
        """A node array whose full scale is `spread` (logical; default: calibrated); `unit` fixed, else from it.

        rail [V]: nodes are held there instead of at the swing, which is meant.
        """
        supply, node = self.technology.supply, self.technology.node
        if spread is None:
            spread = self.ranges.spread(name, shape, position_axis=position_axis)
        each = unit_for(spread, self.technology) if unit is None else unit
        full = np.multiply(each, spread)
        self.circuit.nodes(
            name,
            shape,
            unit=each,
            full_scale=full if full.shape == tuple(shape) else np.broadcast_to(full, shape).copy(),
            rail=supply.swing if rail is None else rail,
            held=rail is not None,
            capacitance=node.capacitance,
            conductance=node.conductance,
            feedback=feedback,
            exists=exists,
            clamped=clamped,
            stored=stored,
            layer=self.layer,
        )
        return name

    def dense(self, name: str, source: str | View, target: str, weight: Array, bias: Array | None = None) -> None:
        """A weight matrix (out, in) of the checkpoint and its bias source, named as there: programmable."""
        self.circuit.couple(name, source, target, self._kept(weight), **self._variant(target))
        if bias is not None:
            self.circuit.bias(f"{name}.bias", target, bias)

    def _kept(self, weight: Array) -> Array:
        """A weight matrix as the circuit has it."""
        return np.asarray(weight, self.dtype, order="C")

    def normed(
        self,
        name: str,
        source: str | View,
        target: str,
        tensors: Mapping[str, Array],
        norm: str,
        weight: Array,
        bias: Array | None,
    ) -> None:
        """`dense`, of nodes that `norm` normalises: its gain and bias in `tensors` are folded in."""
        self.dense(name, source, target, *self._folded(tensors, norm, weight, bias))

    def _folded(
        self, tensors: Mapping[str, Array], norm: str, weight: Array, bias: Array | None
    ) -> tuple[Array, Array | None]:
        return folded(tensors, norm, weight, bias, dtype=self.dtype)

    def fixed(self, name: str, source: str | View, target: str, weight: Array) -> None:
        """A weight matrix (out, in) that the mapping makes: fixed devices."""
        self.circuit.couple(name, source, target, weight, programmable=False, **self._variant(target))

    def each(self, name: str, source: str | View, target: str, weight: Array) -> None:
        """One coupling per node, of weight broadcastable to the target, that the mapping makes: fixed devices."""
        shape = self.circuit.arrays[target].shape
        weight = weight if np.ndim(weight) == 0 else np.broadcast_to(weight, shape).copy()
        self.circuit.couple(name, source, target, weight, elementwise=True, programmable=False, **self._variant(target))

    def _variant(self, target: str) -> dict[str, Any]:
        """How couplings into an array are built; nodes with controlled feedback keep their conveyor."""
        controlled = self.circuit.arrays[target].feedback is not None
        return {"balanced": self.coupling == "balanced", "passive": self.coupling == "passive" and not controlled}
