"""A layer that trains itself: electric-current loss on one array of couplings (the paper's fig. 4, eq. 15; DESIGN §8).

    held output    I_L = Σ_j w_ij x_j + b_i − γ t_i            through the sampling resistors, r C_r dI_L/dt = … − I_L
    weights        τ dw_ij/dt = −I_L,i x_j · c(w) − leak       on control capacitors, τ = C_J U_J/(k U_r U_x)

`ecl_layer` makes such a circuit of any other that has dense couplings into an array: the array becomes an input that
carries the target, the couplings a product of control capacitors and driving nodes. All of it is one Circuit: solved,
weighed, written and fabricated like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import checks
from .cells import Coupling, EclMultiplier, HoldLeak, NodeArray, View, product
from .cells.ecl import POSITIONS
from .cells.hold import leakage
from .chip import Chip, circuit_of
from .circuit import Circuit
from .errors import Error, shown
from .technology import Technology, as_technology

Array = Any


@dataclass(frozen=True)
class EclLayer:
    """A circuit whose couplings `term` learn. target: the held output, an input of the circuit; loss: what flows
    through its sampling resistors; control: the weights, (out, in). weight: what they were before.

    time_constant: τ [s] of the control capacitors. reach: R, largest |w| of each.
    """

    circuit: Circuit
    term: str
    target: str
    loss: str
    control: str
    weight: Array
    time_constant: float
    reach: float

    @property
    def initial(self) -> dict[str, Array]:
        """Where a run begins: the weights as they were, for `transient(initial=…)`."""
        return {self.control: self.weight}

    @property
    def multiplier_gain(self) -> Array:
        """k [A/V²] of each multiplier, (*positions, out, in)."""
        multiplier = self.circuit.terms[f"{self.term}.ecl"]
        assert isinstance(multiplier, EclMultiplier)
        node, units = self.circuit.arrays[self.control], self.circuit.units
        loss, source = (view.of(units(view.array)[None])[0] for view in (multiplier.loss, multiplier.source))
        return node.conductance * node.unit / (loss[..., :, None] * source[..., None, :])

    def rate(self, seconds: float) -> float:
        """η = T/τ: what a presentation of `seconds` is as a learning rate, Δw = −η I_L xᵀ."""
        return seconds / self.time_constant

    def on(self, machine: Chip | Circuit) -> EclLayer:
        """This layer on a chip of its circuit."""
        circuit = circuit_of(machine)
        if self.control not in circuit.arrays:
            raise Error(f"{circuit.name!r} is no chip of {self.circuit.name!r}: fabricate the layer's own circuit")
        return replace(self, circuit=circuit)


def ecl_layer(
    circuit: Circuit,
    term: str,
    *,
    time_constant: float = 1e-6,
    largest_weight: float | None = None,
    control_swing: float | None = None,
    sampling_resistor: float | None = None,
    hold: str = "plain",
    output_ratio: float = 1e-4,
    technology: Technology | str = "cmos45",
) -> EclLayer:
    """The circuit in which the couplings `term` learn while their output is held at its target.

    time_constant τ [s]: η = T/τ of a presentation of T seconds. largest_weight: |w| at the control's rail; None: twice
    the largest there is. control_swing [V]: that rail; None: the technology's swing. sampling_resistor r [Ω]; None: 1/g
    of the output. hold: switch of the control capacitors, "plain", "low-leakage" or "ideal" (no leak). output_ratio:
    the multiplier's output conductance over C_J/τ, by which weights decay too. technology: control capacitor, swing,
    switches, gates.

    Other terms into the same array stay as they are and take part in the loss. Sampling nodes, and the nodes that the
    couplings read, are slower by the gates of the multipliers.
    Raises Error for a term that is not there, not dense or passive, and for an output whose feedback a node drives.
    """
    checks.made("circuit", circuit, Circuit, "give a Circuit; that of a chip is its .circuit")
    tech = as_technology(technology)
    coupling = _learnable(circuit, term)
    out, (rows, width) = circuit.arrays[coupling.target], coupling.weight.shape
    checks.number("time_constant", time_constant, "give seconds, above 0", above=0)
    checks.number("output_ratio", output_ratio, "give a share of C_J/τ, 1e-8 or more", least=1e-8)
    swing = checks.number(
        "control_swing", tech.supply.swing if control_swing is None else control_swing, "give volts, above 0", above=0
    )
    ohms = 1 / out.conductance if sampling_resistor is None else sampling_resistor
    checks.number("sampling_resistor", ohms, "give ohms, above 0", above=0)
    weight = np.asarray(coupling.weight, float)
    reach = _reach(term, weight, largest_weight)
    target, loss, control = out.name, f"{out.name}.loss", f"{term}.control"

    made = Circuit(f"{circuit.name}, {term} learns", temperature=circuit.temperature, output=circuit.output)
    made.notes.update(circuit.notes)
    for node in circuit.arrays.values():
        if node is out:
            node = replace(node, clamped=True, offset=0.0)
        elif node.name == coupling.source.array:
            node = replace(node, capacitance=node.capacitance + rows * tech.wire.gate_capacitance)
        made.add_nodes(node)
    seen = coupling.source.of(circuit.units(coupling.source.array)[None])[0]
    made.add_nodes(_sampling(out, loss, ohms, width * tech.wire.gate_capacitance))
    unit = swing / reach
    made.add_nodes(_capacitors(control, (rows, width), unit, swing, time_constant, output_ratio, tech))
    for each in circuit.terms.values():
        if each is coupling:
            p = POSITIONS[: seen.ndim - 1]
            made.add(product(term, control, coupling.source, loss, f"oi,{p}i->{p}o", made.arrays[loss].shape))
        else:
            made.add(replace(each, target=loss) if each.target == target else each)  # type: ignore[type-var]
    made.couple(f"{target}.held", target, loss, -np.asarray(out.ratio, float), elementwise=True, programmable=False)
    thermal = made.thermal_voltage / unit
    made.add(EclMultiplier(f"{term}.ecl", control, View(loss), coupling.source, reach, thermal))
    if amperes := leakage(tech, hold):
        node = made.arrays[control]
        share = amperes / (node.conductance * unit)
        made.add(HoldLeak(f"{term}.leak", control, View(control), share, thermal))
    return EclLayer(made, term, target, loss, control, weight, time_constant, reach)


def _learnable(circuit: Circuit, term: str) -> Coupling:
    """The couplings of that name. Raises Error where they are none that can learn."""
    if not checks.among(term, circuit.terms):
        raise Error(f"{circuit.name!r} has no term {shown(term)}: it has {', '.join(circuit.terms) or 'none'}")
    found = circuit.terms[term]
    if not isinstance(found, Coupling) or found.elementwise or found.passive or found.balanced:
        raise Error(f"term {term!r} cannot learn: give dense couplings, buffered and one-sided")
    out = circuit.arrays[found.target]
    if out.feedback is not None:
        raise Error(f"{out.name!r}, which {term!r} drives, has its feedback driven by {out.feedback.control!r}: "
                    "learn couplings into nodes of constant feedback")  # fmt: skip
    width = found.source.of(circuit.units(found.source.array)[None]).shape[-1]
    if width != found.weight.shape[1]:
        raise Error(f"term {term!r} reads several axes of {found.source.array!r} as one: give a view of {width} nodes")
    return found


def _reach(term: str, weight: Array, largest: float | None) -> float:
    """R, the weight at the control's rail."""
    most = float(np.abs(weight).max())
    if largest is None:
        if most == 0:
            raise Error(f"weights of {term!r} are all 0: say largest_weight, the weight at the control's rail")
        return 2 * most
    checks.number("largest_weight", largest, "give the weight at the control's rail, above 0", above=0)
    if largest < most:
        raise Error(f"largest_weight is {largest:g}, but {term!r} holds a weight of {most:g}: raise it")
    return largest


def _sampling(out: NodeArray, name: str, ohms: float, gates: float) -> NodeArray:
    """Sampling resistors of an array: C_r dV/dt = I_L − V/r, logical I_L/(g U) of the array itself."""
    scale = out.conductance * ohms
    rail = None if out.rail is None else out.rail * scale
    return replace(
        out, name=name, conductance=1 / ohms, unit=out.unit * scale, rail=rail, full_scale=out.full_scale * scale,
        capacitance=out.capacitance + gates, ratio=1.0, clamped=False, stored=False,
    )  # fmt: skip


def _capacitors(
    name: str, shape: tuple[int, ...], unit: float, swing: float, seconds: float, ratio: float, technology: Technology
) -> NodeArray:
    """Control capacitors, whose C_J/τ [S] is what a normalised current is counted in. Rails are the multipliers'."""
    farads = technology.switch.hold_capacitance
    return NodeArray(
        name, shape, unit=unit, capacitance=farads, conductance=farads / seconds, ratio=ratio, rail=None,
        full_scale=swing / technology.supply.headroom, layer="weights", stored=True,
    )  # fmt: skip
