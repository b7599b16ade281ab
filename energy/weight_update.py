"""What moving the weights by one sample costs, on control capacitors or through converters.

    capacitors   each weight at each position has an ECL multiplier (`circuits/cells/ecl.py`) of a gain such that a
                 sample moves the weight by −(η/B) a x; it draws its full-scale current for the step:

                     E = VDD Σ I_T T = VDD C_J U_J (η/B) Σ_ij Σ_p a_fs,pi x_fs,pj,       U_J = swing / (2 max|w|)

    converters   what no capacitor does, such as AdamW, reads each gradient and writes each weight and its copies once
                 a step of B samples:  E = (W E_ADC + W_copies E_write)/B,   t = (⌈W/n_ADC⌉ t_ADC + ⌈W_c/n_DAC⌉ t_DAC)/B

a_fs, x_fs: full scales of the adjoint node and of the driving node. A step lasts one step of the controller.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..circuits.adjoint import AdjointCircuit
from ..circuits.cells import Coupling
from ..circuits.cells.ecl import charge_of_step
from ..circuits.circuit import Circuit
from ..circuits.technology import Technology
from ..circuits.units import engineering
from ..circuits.words import counted
from .account import conversions

Array = Any
REACH = 2.0  # the weight at its control capacitor's rail, over the largest there is: as `ecl_layer`
PART = "weight update"


@dataclass(frozen=True)
class Update:
    """Of one sample: seconds; joules by layer; driven: whether both machines stay driven; assumed: in words."""

    seconds: float
    driven: bool = True
    joules: Mapping[str, float] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


def by_capacitors(circuit: Circuit, back: AdjointCircuit, technology: Technology, *, rate: float, batch: int) -> Update:
    """An update by −(rate/batch) dL/dw of each weight, as a control capacitor does it.

    circuit: the forward machine, of which `back` is the adjoint, with volts. Dense couplings are counted; biases, one
    a row of them, are not.
    """
    vdd, joules = technology.supply.vdd, dict.fromkeys((node.layer for node in circuit.arrays.values()), 0.0)
    for term, volts in _learning(circuit, back, technology):
        node = circuit.arrays[term.target]
        scales = {p.name: _full(back, p.name) for p in back.parts[term.target]}
        loss, source = back.of(term.target, scales, node.shape)[0], term.source.of(_full(circuit, term.source.array))[0]
        charge = charge_of_step(loss, source, volts * rate / batch, technology.switch.hold_capacitance)
        joules[node.layer] += vdd * charge
    said = (
        f"weights move on their control capacitors, learning rate {rate:g} over {counted(batch, 'sample')}, in one "
        f"step of the controller, {engineering(technology.controller.step, 's')}; a multiplier for each weight and "
        "position draws its full-scale current all that time; capacitors of a weight's copies are joined"
    )
    moved = {layer: each for layer, each in joules.items() if each}
    return Update(technology.controller.step, True, moved, (said,))


def by_converters(circuit: Circuit, technology: Technology, *, batch: int) -> Update:
    """An update whose arithmetic is digital: gradients read, weights written, once a step of `batch` samples."""
    converter, distinct, copies = technology.converter, 0, 0
    joules: dict[str, float] = {}
    for term in circuit.terms.values():
        node, held = circuit.arrays[term.target], term.weights(circuit)
        if held:
            once = held // math.prod(node.shape[:-1])
            each = once * converter.adc_energy + held * technology.switch.refresh_energy
            joules[node.layer] = joules.get(node.layer, 0.0) + each / batch
            distinct, copies = distinct + once, copies + held
    reading = conversions(distinct, converter.adc_count) * converter.adc_time
    writing = conversions(copies, converter.dac_count) * converter.dac_time
    said = (
        f"a digital optimizer: gradients through {converter.adc_count:g} ADCs, weights and copies through "
        f"{converter.dac_count:g} DACs, once in {counted(batch, 'sample')}; its arithmetic and memory not counted"
    )
    return Update((reading + writing) / batch, False, joules, (said,))


def _learning(circuit: Circuit, back: AdjointCircuit, technology: Technology) -> Iterator[tuple[Coupling, float]]:
    """(dense couplings that learn, U_J [V]: volts of a control capacitor per unit of the weight)."""
    for term in circuit.terms.values():
        if isinstance(term, Coupling) and term.programmable and not term.elementwise and term.target in back.parts:
            most = REACH * float(max(np.max(term.weight), -np.min(term.weight)))
            if most > 0:
                yield term, technology.supply.swing / most


def _full(circuit: Circuit, name: str) -> Array:
    """Full scales of an array's nodes, logical, (1, *shape); 0 of those that are not there."""
    return (circuit.full_scale(name) * circuit.arrays[name].present)[None]


__all__ = ["PART", "Update", "by_capacitors", "by_converters"]
