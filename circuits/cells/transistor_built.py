"""Linear couplings built of transistors: which units they need, and at which volts each stands."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Error
from ..rows import row_peaks
from .channel import check_poles_come_later
from .coupling import Coupling
from .crossbar import Runs, rows_of
from .transistor import TransistorCoupling
from .transistor_units import check_reach, fingers_for

if TYPE_CHECKING:
    from ..circuit import Circuit
    from ..devices.card import DeviceCard

Array = Any


def of_transistors(term: Coupling, circuit: Circuit, card: DeviceCard) -> TransistorCoupling:
    """A dense coupling as units of a card's transistors, for the units that the circuit has.

    Raises Error for passive, balanced and one-to-one couplings, and for nodes that go beyond the card's volts.
    """
    if term.elementwise or term.passive or term.balanced:
        what = "one a node" if term.elementwise else "passive" if term.passive else "balanced"
        raise Error(f"term {term.name!r} is a coupling {what}: transistors make dense, buffered, one-sided ones")
    node, source = circuit.arrays[term.target], circuit.arrays[term.source.array]
    limit = source.rail if source.rail is not None else np.max(source.full_scale)
    check_reach(card, source.name, float(limit))
    lead, (out, width) = node.shape[:-1], term.weight.shape
    u_in = rows_of(term.source, circuit.units(source.name)[None], lead, width)[0]
    u_out = circuit.units(term.target).reshape(-1, out)
    runs, places = neighbours(np.concatenate([u_out, u_in], axis=1))
    volts = u_in[:1] if (u_in == u_in[0]).all() else u_in
    weight = np.asarray(term.weight)
    weight = weight if weight.dtype.kind == "f" else weight.astype(float)
    strongest = float((row_peaks(weight, 1 / u_in[places]) * u_out[places]).max()) * node.conductance
    bare = TransistorCoupling(
        term.source, lead, runs, volts.copy(), np.empty((len(places), out, 0)), (), term.name, term.target, weight,
        card, fingers_for(card, strongest), np.zeros(0), programmable=term.programmable,
    )  # fmt: skip
    return bare.programmed(circuit)


def neighbours(rows: Array) -> tuple[Runs, list[int]]:
    """(runs of equal rows, as `Crossbar` has them; a place of each set)."""
    edges = [0, *(1 + np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1))).tolist(), len(rows)]
    sets: dict[bytes, int] = {}
    places: list[int] = []
    runs = []
    for a, b in pairwise(edges):
        if rows[a].tobytes() not in sets:
            sets[rows[a].tobytes()] = len(places)
            places.append(a)
        runs.append((a, b, sets[rows[a].tobytes()]))
    return tuple(runs), places


def with_transistors(circuit: Circuit, card: DeviceCard) -> Circuit:
    """A copy whose programmable couplings, matrices of weights, are built of a card's transistors."""
    check_poles_come_later(circuit, "with_transistors")
    terms: list[Any] = [t for t in circuit.terms.values() if isinstance(t, Coupling) and not t.elementwise]
    return circuit.with_terms([of_transistors(term, circuit, card) for term in terms if term.programmable])
