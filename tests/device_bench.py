"""Device-level netlists with another analysis than the transient that they are written with."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsmachine.circuits.cells.conveyor_loop import share_of
from dsmachine.circuits.cells.mos.design import Transistors
from dsmachine.circuits.circuit import BOLTZMANN, Circuit
from dsmachine.netlists.ngspice import Waveforms, run_netlist
from dsmachine.netlists.writer import Netlist, write_netlist

ANALYSIS = (".tran", ".ic", ".save", ".print", ".end")


def analysed(netlist: Netlist, *cards: str) -> Waveforms:
    """A netlist run with these cards instead of its transient."""
    kept: list[str] = []
    dropped = False
    for line in netlist.text.split("\n"):
        dropped = dropped if line.startswith("+") else line.split(" ")[0] in ANALYSIS
        kept += [] if dropped or not line else [line]
    return run_netlist("\n".join([*kept, *cards, ".end", ""]), engine="batch")


def settled(circuit: Circuit, inputs: dict[str, Any], devices: Transistors) -> dict[str, Any]:
    """Voltages of the free arrays at the operating point of their transistors."""
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices, duration=1e-9)
    found = analysed(netlist, ".op", ".print op v(vcm)")
    names = {array: netlist.nodes[array] for array in netlist.saved}
    return {
        array: np.array([found[node].real[0] for node in nodes.reshape(-1)]).reshape(nodes.shape)
        for array, nodes in names.items()
    }


def noise(
    circuit: Circuit, inputs: dict[str, Any], devices: Transistors, array: str, *more: str
) -> tuple[float, float]:
    """(ΣG [S] of the density far under the poles, variance [V²]) of the first node of an array; more: elements.

    ΣG: of the current noise that makes it with the node's g, S = 4kT ΣG / g².
    """
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices, duration=1e-9)
    node = str(netlist.nodes[array].reshape(-1)[0])
    found = analysed(
        netlist, *more, f"Iprobe 0 {node}:p 0 ac 1", f".noise v({node}) Iprobe dec 40 1e3 1e12",
        ".print noise onoise_spectrum",
    )  # fmt: skip
    density = found["onoise_spectrum"].real ** 2
    siemens = density[0] * circuit.arrays[array].conductance ** 2 / (4 * BOLTZMANN * circuit.temperature)
    return float(siemens), float(np.trapezoid(density, found.axis))


def law(circuit: Circuit, inputs: dict[str, Any], array: str) -> tuple[float, float]:
    """The same as cells and node state it: ΣG of the white noise that they have the variance of, and kT/C ΣG/g."""
    node, x = circuit.arrays[array], {name: np.asarray(value, float)[None] for name, value in inputs.items()}
    terms = circuit.into(array)
    load = sum(np.broadcast_to(term.loading(circuit)[0], node.shape).reshape(-1)[0] for term in terms)
    share = share_of(node, load)
    each = (np.broadcast_to(term.noise(circuit)(x), (1, *node.shape)).reshape(-1)[0] for term in terms)
    siemens = float(np.max(node.noise_conductance(1.0, load) + share * sum(each)))
    ktc = BOLTZMANN * circuit.temperature / float(np.max(node.capacitance))
    return siemens, ktc * siemens / node.conductance


def hung(circuit: Circuit, inputs: dict[str, Any], devices: Transistors, array: str) -> tuple[float, float]:
    """(L [S] of the first node's couplings, C [F] that they hang on an input of its conveyors), the mean of both:
    half of Re Y, and Im Y/ω, where both are held at the voltage at which these conveyors hold them."""
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices, duration=1e-9)
    parts = netlist.text.split("* ---- ")
    kept = [part for part in parts if not part.startswith(("node units", "analysis"))]
    node, volts = str(netlist.nodes[array].reshape(-1)[0]), devices.card.common_mode
    volts += 0.0 if devices.support is None else devices.support.offset
    held = [f"V{end} {node}:{end} 0 {volts:.12g} ac 1" for end in ("xp", "xn")]
    lines = [*held, ".ac lin 1 1e6 1e6", ".save i(vxp) i(vxn)", ".print ac i(vxp)", ".end", ""]
    found = run_netlist("* ".join(kept) + "\n".join(lines), engine="batch")
    admittance = -np.mean([found[f"i(v{end})"][0] for end in ("xp", "xn")])
    return float(admittance.real) / 2, float(admittance.imag / (2 * np.pi * 1e6))
