"""Common-mode amplifiers of nodes of driven feedback: noise, supply and area that the emulator states, in ngspice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_bench import analysed
from device_units import transistors
from law_circuits import NODE, cards

import dsmachine as ds
from dsmachine.circuits.cells import Feedback, machine_of_transistors
from dsmachine.circuits.cells.mos import common_mode
from dsmachine.circuits.circuit import BOLTZMANN, Circuit
from dsmachine.netlists.writer import write_netlist

NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
pytestmark = [pytest.mark.spice, NGSPICE]


def divided(control: float, volts: float = 0.0) -> tuple[Circuit, dict[str, Any]]:
    """A node whose γ is ten times the control, behind one unit coupling."""
    circuit = Circuit("divided", temperature=300.15)
    circuit.clamp("u", (1,), **NODE)
    circuit.clamp("r", (1,), **NODE)
    circuit.nodes("v", (1,), feedback=Feedback("r", 10.0, 0.02), **NODE)
    circuit.couple("w", "u", "v", 1.0)
    return machine_of_transistors(circuit, cards()), {"u": np.array([volts]), "r": np.array([control])}


@pytest.mark.parametrize("control", [0.05, 0.1, 0.2])
def test_noise_of_a_node_of_driven_feedback(control: float) -> None:
    """As a current between the sides: feedback, coupling and amplifier within 3 %, and the amplifier's part alone."""
    machine, inputs = divided(control)
    found = []
    for amplified in (True, False):
        netlist = write_netlist(machine, inputs=inputs, level="device", transistors=transistors(), duration=1e-9)
        kept = [line for line in netlist.text.split("\n") if amplified or not line.endswith(" common_mode")]
        node = str(netlist.nodes["v"][0])
        waves = analysed(
            replace(netlist, text="\n".join(kept)), f"Iprobe {node}:n {node}:p 0 ac 1",
            f".noise v({node}) Iprobe dec 2 1e4 1e6", ".print noise inoise_spectrum",
        )  # fmt: skip
        found.append(waves["inoise_spectrum"].real[0] ** 2 / (4 * BOLTZMANN * 300.15))
    node, term = machine.arrays["v"], machine.terms["v.feedback"]
    amplifier = float(term.noise(machine).still)
    law = node.noise_conductance(10 * control, 0.0) + node.conductance + amplifier
    assert found[0] == pytest.approx(law, rel=0.03)
    assert found[0] - found[1] == pytest.approx(amplifier, rel=0.03)


def test_supply_and_area() -> None:
    """What the supply delivers less without the amplifier, over the swing; W L of its twelve gates."""
    for volts in (0.0, 0.2):
        machine, inputs = divided(0.1, volts)
        drawn = []
        for amplified in (True, False):
            netlist = write_netlist(machine, inputs=inputs, level="device", transistors=transistors(), duration=1e-9)
            kept = [line for line in netlist.text.split("\n") if amplified or not line.endswith(" common_mode")]
            waves = analysed(replace(netlist, text="\n".join(kept)), ".op", ".save i(vvdd)", ".print op i(vvdd)")
            drawn.append(-waves["i(vvdd)"].real[0])
        bend = machine.terms["v.feedback"]
        assert drawn[0] - drawn[1] == pytest.approx(bend.meter(machine).standing, rel=0.02)
    gates = 4 * (2.4 * 1.0) + 4 * (0.66 * 0.15) + (2 + 2 * 0.943) * 4.8 * 0.3
    assert pytest.approx(gates * 1e-12) == common_mode.AREA
    technology = ds.load_technology()
    assert bend.area(machine, technology) == pytest.approx(common_mode.AREA)
