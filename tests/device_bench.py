"""Device-level netlists with another analysis than the transient that they are written with."""

from __future__ import annotations

from typing import Any

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


def operating_point(circuit: Circuit, inputs: dict[str, Any], devices: Transistors, node: str) -> float:
    """Voltage of one SPICE node at rest."""
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices, duration=1e-9)
    return float(analysed(netlist, ".op", f".save v({node})", f".print op v({node})")[node].real[0])


def noise_rms(circuit: Circuit, inputs: dict[str, Any], devices: Transistors, array: str) -> float:
    """Integrated noise [V rms] of the first node of an array."""
    netlist = write_netlist(circuit, inputs=inputs, level="device", transistors=devices, duration=1e-9)
    node = str(netlist.nodes[array].reshape(-1)[0])
    found = analysed(
        netlist, f"Iprobe 0 {node}:p 0 ac 1", f".noise v({node}) Iprobe dec 20 1e3 1e12", ".print noise onoise_spectrum"
    )
    return float(found["onoise_total"].real[-1])
