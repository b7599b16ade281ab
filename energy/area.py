"""Silicon area of a circuit, by part [m²]: every cell states its own, buffers, conveyors and converters come on top."""

from __future__ import annotations

from ..circuits.circuit import Circuit
from ..circuits.technology import Technology
from .account import driver_counts


def area(circuit: Circuit, technology: Technology) -> dict[str, float]:
    """Area [m²] by part: nodes, each kind of term, buffers, conveyors, converters.

    Wiring and the digital controller are not in it.
    """
    parts: dict[str, float] = {"nodes": sum(node.area(technology) for node in circuit.arrays.values())}
    for term in circuit.terms.values():
        parts[term.kind] = parts.get(term.kind, 0.0) + term.area(circuit, technology)
    parts["buffers"] = sum(driver_counts(circuit, technology).values()) * technology.buffer.area
    targets = {term.target for term in circuit.terms.values() if term.conveyed}
    parts["conveyors"] = sum(circuit.arrays[name].count for name in targets) * technology.conveyor.area
    dacs = technology.converter.dac_count if any(not node.stored for node in circuit.inputs()) else 0.0
    adcs = technology.converter.adc_count if circuit.output is not None else 0.0
    parts["converters"] = dacs * technology.converter.dac_area + adcs * technology.converter.adc_area
    return parts
