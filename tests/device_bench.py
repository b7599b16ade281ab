"""Device-level netlists with another analysis than the transient that they are written with."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsmachine.circuits.cells.mos.design import Transistors
from dsmachine.circuits.circuit import Circuit
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


def noise_rms(circuit: Circuit, inputs: dict[str, Any], devices: Transistors, array: str) -> float:
    """Integrated noise [V rms] of the first node of an array."""
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices, duration=1e-9)
    node = str(netlist.nodes[array].reshape(-1)[0])
    found = analysed(
        netlist, f"Iprobe 0 {node}:p 0 ac 1", f".noise v({node}) Iprobe dec 40 1e3 1e12", ".print noise onoise_spectrum"
    )
    return float(np.sqrt(np.trapezoid(found["onoise_spectrum"].real ** 2, found.axis)))
