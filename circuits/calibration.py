"""From numbers to volts (DESIGN §3): how many volts a logical unit is, node by node.

Calibration text gives each node the range its activation settles in, the first position apart from the rest (the
attention sink of language models lives there). U puts that range into the swing with headroom to spare,

    U = (swing / headroom) / range,

and gives way where a coupling would need more conductance than its device has: then the node uses less of its
swing, which is reported as lost bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .cells import NodeArray
from .cells.node import KNEE
from .circuit import Circuit
from .errors import Error
from .technology import Technology

Array = Any
MARGIN = 1.25  # other text goes beyond calibration: 2 of 600 windows of held-out plays still put a node on its rail
SMALLEST_SHARE = 0.7  # a node's range is at least this share of the median over its array: quiet nodes may wake
MOST_LOST_BITS = 8.0
PASSIVE_LOAD = 0.9  # of a node's conductance that plain resistors may take
SCALINGS = ("first", "channel", "global")


@dataclass(frozen=True)
class Ranges:
    """max|activation| of each array: (2, *node shape), [0] first position, [1] all others.

    scaling: which nodes share a range, see `scaled`.
    """

    values: Mapping[str, Array]
    scaling: str = "first"

    def scaled(self, scaling: str) -> Ranges:
        """The same text, with ranges shared by more nodes: "channel", all positions alike; "global", one range an
        array, so one unit; "first" (as calibrated): each node its own, the first position apart.

        Where the first position's norm is far larger than the others', their roots are left under the feedback's
        floor: lower `node.feedback_floor` to their share of it.
        """
        if scaling not in SCALINGS:
            raise Error(f"scaling {scaling!r} is unknown: use {', '.join(SCALINGS)}")
        if SCALINGS.index(scaling) < SCALINGS.index(self.scaling):
            raise Error(
                f"ranges scaled {self.scaling!r} no longer know those of {scaling!r}: scale what was calibrated"
            )
        if scaling == "first":
            return self
        shared = {name: np.asarray(value, float) for name, value in self.values.items()}
        for name, value in shared.items():
            over = 0 if scaling == "channel" else None
            shared[name] = np.broadcast_to(value.max(axis=over, keepdims=True), value.shape)
        return Ranges(shared, scaling)

    def spread(self, name: str, shape: tuple[int, ...], *, position_axis: int = 0) -> Array:
        """Range of each node of an array of `shape`, with margin, and not under a share of its array's median.

        Stored ranges lack the position axis (and trailing axes over which they are one).
        """
        found = np.asarray(self.values[name], float)
        median = np.median(found.reshape(2, -1), axis=1).reshape(2, *(1,) * (found.ndim - 1))
        found = MARGIN * np.maximum(np.maximum(found, SMALLEST_SHARE * median), 1e-12)
        positions = shape[position_axis]
        rows = np.where(np.arange(positions) == 0, 0, 1)
        each = np.moveaxis(found[rows], 0, position_axis)
        each = each.reshape(*each.shape, *(1,) * (len(shape) - each.ndim))
        return each if each.shape == tuple(shape) else np.broadcast_to(each, shape).copy()

    def rest(self) -> Ranges:
        """Of positions after the first only."""
        return Ranges({name: np.stack([value[1], value[1]]) for name, value in self.values.items()})


def unit_for(spread: Array, technology: Technology) -> Array:
    """Volts per logical unit that put `spread` (logical) at swing / headroom."""
    return technology.supply.swing / technology.supply.headroom / spread


def fit_to_devices(circuit: Circuit, technology: Technology) -> tuple[Circuit, dict[str, float]]:
    """Lower units, in feed-forward order, until no coupling needs more than the device's largest conductance.

    Returns the circuit and the lost bits: array -> worst log2(wanted unit / given unit), where any are lost.

    Passive couplings load their node: it gives up swing until they are at most PASSIVE_LOAD of its conductance and
    leave its conveyor what the other terms need; its feedback supplies the rest, so that y = Σ G x / (g + Σ|G|) is
    W x again.

    Raises Error when a node would keep less than 2^-8 of its swing.
    """
    largest = technology.coupling.g_max
    lost: dict[str, float] = {}
    for component in circuit.order():
        for name in component:
            needs = [t.peaks(circuit) for t in circuit.into(name)]
            needed = np.max([n for n in needs if n is not None], axis=0) if any(n is not None for n in needs) else 0.0
            share = np.minimum(1.0, largest / np.maximum(needed, 1e-30))
            node = circuit.arrays[name]
            load = circuit.standing_load(name)
            if np.any(load):
                share = np.minimum(share, _loaded_share(circuit, node, load / node.conductance))
            lost[name] = float(-np.log2(share.min())) if np.ndim(share) else float(-np.log2(share))
            if lost[name] > MOST_LOST_BITS and np.any(load):
                raise Error(
                    f"passive couplings leave {name!r} 2^-{lost[name]:.0f} of its swing: plain resistors have no gain "
                    "to make up for their own load; use coupling 'buffered'"
                )
            if lost[name] > MOST_LOST_BITS:
                raise Error(
                    f"a coupling into {name!r} needs {np.max(needed) * 1e6:.3g} µS, the device has "
                    f"{largest * 1e6:.3g} µS: raise coupling.g_max or rescale the weight"
                )
            if lost[name] > 0:
                unit = circuit.units(name) * share
                full = np.asarray(node.full_scale, float) * share
                node = replace(node, unit=unit, full_scale=full)
            if np.any(load):
                node = replace(node, ratio=1 - load * share / node.conductance)
            circuit = circuit.with_terms((), [node])
    return circuit, {name: bits for name, bits in lost.items() if bits > 0}


def _loaded_share(circuit: Circuit, node: NodeArray, load: Array) -> Array:
    """Share s of its swing that a node keeps under passive couplings of `load` (of its conductance at full swing).

    Its feedback has γ = 1 − s·load left, at least 1 − PASSIVE_LOAD, and the conveyor still has to deliver what the
    other terms push at full scale of all they read, clear of the rail's knee: D ≤ (1 − 2·knee)·γ·V_rail/(s U).
    """
    terms = circuit.into(node.name)
    full = {view.array: circuit.full_scale(view.array)[None] for t in terms for view in t.sources}
    pushed = sum((np.broadcast_to(abs(t.drive(full)), (1, *node.shape))[0] for t in terms if t.conveyed), np.zeros(()))
    bounds, most = node.limits(1.0), load / PASSIVE_LOAD
    if bounds is not None:
        most = np.maximum(most, load + pushed / ((1 - 2 * KNEE) * bounds[1]))
    return 1 / np.maximum(most, 1e-30)
