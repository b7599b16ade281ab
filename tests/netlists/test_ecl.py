"""Weights that move, against ngspice: behavioural, and couplings of transistors with moving gates."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_units import card, transistors
from ecl_layers import RINGING, examples, layer, one_after_another

import dsmachine as ds
from dsmachine.circuits.cells import machine_of_transistors
from dsmachine.circuits.cells.mos.product import gain

NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
pytestmark = [pytest.mark.spice, NGSPICE]
SECONDS = 100e-9


def bench(made: Any, count: int, size: float) -> dict[str, Any]:
    x, t = examples(made, count, size)
    inputs = one_after_another(made, x, t, SECONDS)
    return {"inputs": inputs, "initial": made.initial, "duration": count * SECONDS, "engine": "batch"}


def test_a_row_that_learns_does_in_ngspice_what_it_does_here() -> None:
    """Three presentations, each long enough for its loss to go; the switches leak. Heat too."""
    made = layer(1, 4, time_constant=RINGING, hold="plain")
    found = ds.crosscheck(made.circuit, **bench(made, 3, 1.0), energy=True)
    assert found.passed and found.nrmse <= 1e-4
    assert found.energy_ratio == pytest.approx(1, abs=1e-3)


def test_a_chip_on_its_way_to_its_rails() -> None:
    """Gains and offsets of a chip; targets out of reach take weights to their rails."""
    made = layer(3, 4, time_constant=RINGING, hold="plain", largest_weight=1.7)
    chip = made.on(ds.fabricate(made.circuit, seed=1, mismatch=0.1, offset=0.05))
    given = bench(chip, 4, 1.5)
    found = ds.crosscheck(chip.circuit, **given)
    assert found.passed and found.nrmse <= 1e-4
    run = ds.transient(
        chip.circuit, given["inputs"], initial=made.initial, duration=given["duration"], settle_bits=0
    )  # fmt: skip
    assert np.abs(run.logical(made.control)).max() > 0.99 * made.reach


@pytest.mark.parametrize("unit", ["pair", "quad"])
def test_a_row_of_transistors_whose_gates_learn(unit: str) -> None:
    """I(V_gate, v) of quads as their card has it, feedback a conductance, conveyors and multipliers sources."""
    made = layer(1, 4, swing=0.3, time_constant=RINGING, hold="plain", largest_weight=2.5)
    machine = machine_of_transistors(made.circuit, card(unit), feedback=False)
    devices = transistors(unit, feedback="ideal")
    options = {"level": "device", "transistors": devices}
    found = ds.crosscheck(machine, **bench(made, 3, 1.0), **options, limit=5e-3)
    assert found.passed, found.by_array
    linear = ds.crosscheck(made.circuit, **bench(made, 3, 1.0), **options, limit=1.0)
    assert linear.nrmse > 5 * found.nrmse


def test_a_control_capacitor_that_is_the_gates(tmp_path: Path) -> None:
    """A control swing with which a quad's gates stand at its bias ± V_J/2: the level shifter has no gain."""
    options: dict[str, Any] = {"swing": 0.3, "time_constant": RINGING, "hold": "plain", "largest_weight": 2.5}
    first, bias = layer(1, 4, **options), card("quad").bias
    term, pair = first.circuit.terms["w"], transistors("quad").pair_card
    m, per_volt = gain(pair, bias, term.strongest(first.circuit), "w")
    made = layer(1, 4, **options, control_swing=32.26e-6 * 2.5 / (m * per_volt))
    machine = machine_of_transistors(made.circuit, card("quad"), feedback=False)
    level = {"level": "device", "transistors": transistors("quad", feedback="ideal")}
    found = ds.crosscheck(machine, **bench(made, 3, 1.0), **level, limit=5e-3, folder=tmp_path, keep=True)
    assert found.passed and found.netlist, found.by_array
    gates = re.findall(r"V=(\S+)\+(\S+)\*V\(w.control", found.netlist.read_text())
    assert len(gates) == 8
    for volts, share in gates:
        assert float(volts) == pytest.approx(bias)
        assert abs(float(share)) == pytest.approx(0.5, rel=1e-6)
