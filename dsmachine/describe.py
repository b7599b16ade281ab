"""What a circuit consists of, in numbers: cells, counts, depth, and what limits it. Nothing is simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from .circuits.cells import InnerNode, NodeArray, Term
from .circuits.circuit import Circuit

MAPPED = ("technology", "positions", "softmax", "activation", "coupling", "device_card", "input_resistance", "tokens")
PLURAL = {"coupling": "couplings", "product": "products", "source": "sources", "rectifier": "rectifiers"}


def describe(circuit: Circuit) -> dict[str, Any]:
    """Every array and term, counts, and what limits the circuit."""
    return {
        "model": circuit.name,
        **{key: circuit.notes[key] for key in MAPPED if key in circuit.notes},
        "arrays": [{"name": a.name, "shape": a.shape, "cell": cell_of(a)} for a in circuit.arrays.values()],
        "terms": [_term(circuit, term) for term in circuit.terms.values()],
        "counts": counts(circuit, circuit.terms.values(), circuit.arrays.values()),
        "time_constant_s": _extremes(
            a.time_constant for a in circuit.arrays.values() if not a.clamped and not a.is_inner
        ),
        "score_nats": score_range(circuit),
        "unit_v": unit_ranges(circuit),
        "lost_bits": circuit.notes.get("lost_bits", {}),
        "depth": max(depths(circuit).values(), default=0),
    }


def cell_of(node: NodeArray) -> str:
    """What a node does: input, node, root or division (feedback driven by itself or another), or what it is inside of a
    cell: tail, mirror, transit."""
    if node.clamped:
        return "input"
    if isinstance(node, InnerNode):
        return node.kind
    if node.feedback is None:
        return "node"
    return "root" if node.is_root else "division"


def _term(circuit: Circuit, term: Term) -> dict[str, Any]:
    return {
        "name": term.name,
        "kind": term.kind,
        "shape": term.extent(circuit),
        "from": list(dict.fromkeys(view.array for view in term.sources)),
        "to": term.target,
    }


def counts(circuit: Circuit, terms: Iterable[Term], nodes: Iterable[NodeArray]) -> dict[str, int]:
    """Nodes that exist, and units of each kind of cell, in the plural."""
    found: Counter[str] = Counter(nodes=0, couplings=0, products=0)
    for node in nodes:
        found["nodes"] += node.count
    for term in terms:
        found[PLURAL.get(term.kind, term.kind)] += term.count(circuit)
    return dict(found)


def score_range(circuit: Circuit) -> dict[str, Any] | None:
    """The attention score nearest to its rail, or farthest beyond: largest on the calibration text, and what the node
    reaches [nats]."""
    calibrated: dict[str, float] = circuit.notes.get("score_nats", {})
    nearest: dict[str, Any] | None = None
    for name, node in circuit.arrays.items():
        if name not in calibrated or node.rail is None:
            continue
        found = {"array": name, "calibrated": calibrated[name], "reach": float(node.rail / circuit.units(name).max())}
        if nearest is None or found["calibrated"] * nearest["reach"] > nearest["calibrated"] * found["reach"]:
            nearest = found
    return nearest


def score_line(score: dict[str, Any]) -> str:
    """Nats of the calibration text beside the cell's reach, in words."""
    return "±{calibrated:.1f} of ±{reach:.1f} nats on the calibration text ({array})".format(**score)


def kind_of(name: str, layer: str) -> str:
    """What arrays of all layers that do the same have in common: their name within the layer.

    >>> kind_of("h.0.mlp.act", "h.0")
    'mlp.act'
    """
    return name.removeprefix(f"{layer}.")


def unit_ranges(circuit: Circuit) -> dict[str, dict[str, float]]:
    """Fewest and most volts per logical unit of the nodes of each kind of array, inputs included."""
    found: dict[str, dict[str, float]] = {}
    for name, node in circuit.arrays.items():
        if node.count == 0 or node.is_inner:
            continue
        units = circuit.units(name)[node.present]
        least, most = float(units.min()), float(units.max())
        known = found.setdefault(kind_of(name, node.layer), {"least": least, "most": most})
        known |= {"least": min(least, known["least"]), "most": max(most, known["most"])}
    return found


def depths(circuit: Circuit) -> dict[str, int]:
    """Stages from the inputs to each free array, along the longest way; a cycle is one stage."""
    found: dict[str, int] = {}
    needs = circuit.all_needs()
    for component in circuit.ordered(needs):
        before = {n for name in component for n in needs[name]} - set(component)
        depth = 1 + max((found.get(n, 0) for n in before), default=0)
        found |= dict.fromkeys(component, depth)
    return found


def _extremes(values: Iterable[float]) -> dict[str, float | None]:
    each = list(values)
    return {"shortest": min(each, default=None), "longest": max(each, default=None)}
