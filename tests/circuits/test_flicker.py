"""1/f noise of a run: a frozen voltage at every gate, by the noise seed, on top of what trim left."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_cards import THRESHOLD, square_pair, square_quad, square_single

from dsmachine.circuits.cells.mos.tanh_pair import SLOPE_FACTOR
from dsmachine.circuits.chip import fabricate, flickered
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.run import operating_point

G0, AREA = 32.26e-6, 120e-9 * 1e-6
A_F = 1e-9  # V·m, some thirty times a real one's: 2.9 mV of a coupling's gate


def equal(device: Any, control: float) -> Circuit:
    """30,000 equal units of one finger."""
    circuit = Circuit("equal units")
    circuit.clamp("u", (100,))
    circuit.nodes("v", (300,))
    circuit.couple("w", "u", "v", np.full((300, 100), float(device.conductance(control)) / G0), device_card=device)
    return circuit


def siemens(machine: Any) -> Any:
    return machine.circuit.terms["w"].siemens(machine.circuit)


@pytest.mark.parametrize(
    ("device", "control", "swing"),
    [(square_single(), 0.8, 0.45), (square_pair(), 0.8, 0.45 * math.sqrt(2)), (square_quad(), 0.2, 0.2)],
    ids=["single", "pair", "quad"],
)
def test_conductances_move_by_the_gates(device: Any, control: float, swing: float) -> None:
    """σ(ΔG)/G = A_F/√(W L) over the overdrive, of a quad over its control, on a chip that is trimmed exactly too."""
    wanted = float(device.conductance(control))
    trimmed = fabricate(equal(device, control), threshold_area=3.5e-9, beta_area=1e-8, trim={"write-verify": 0.0})
    assert siemens(trimmed) == pytest.approx(wanted, rel=1e-9)
    for machine in (equal(device, control), trimmed):
        found = siemens(flickered(machine, A_F)) / wanted - 1
        assert found.std() == pytest.approx(A_F / math.sqrt(AREA) / swing, rel=0.03)
        assert abs(found.mean()) < 4 * found.std() / math.sqrt(found.size)
    assert control > THRESHOLD or device.unit == "quad"


def test_each_run_has_its_own() -> None:
    chip = fabricate(equal(square_pair(), 0.8), seed=3, threshold_area=3.5e-9)
    first, again, other = (siemens(flickered(chip, A_F, noise_seed=seed)) - siemens(chip) for seed in (0, 0, 1))
    assert (first == again).all()
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 4 / math.sqrt(first.size)
    assert flickered(chip, 0.0) is chip


def test_pairs_and_nodes_are_off_by_theirs() -> None:
    """Branches of 8 µm / 60 nm at 5 µA, two gates of a tanh pair, a node's conveyors as a gate of 0.01 µm²."""
    circuit = Circuit("cells")
    circuit.clamp("u", (50, 40))
    for name in ("p", "t", "v"):
        circuit.nodes(name, (50, 40))
    circuit.softmax("p", "u", "p", junction_capacitance=0.2e-15)
    circuit.tanh("t", "u", "t")
    circuit.couple("v", "u", "v", 0.0)
    found: Any = flickered(circuit, A_F, conveyor_area=1e-14).circuit
    gate, error = A_F / math.sqrt(8e-6 * 60e-9), 4 / math.sqrt(2 * 2000)
    assert found.terms["p"].shift.std() == pytest.approx(gate, rel=error)  # a score is 1 V a nat here
    pair = math.sqrt(2) * gate / (2 * SLOPE_FACTOR * circuit.thermal_voltage)
    assert found.terms["t"].shift.std() == pytest.approx(pair, rel=error)
    assert found.arrays["v"].offset.std() == pytest.approx(A_F / 1e-7, rel=error)
    tails = found.terms[found.terms["p"].tail.array]
    assert (tails.pair.shift == found.terms["p"].shift).all()
    volts = operating_point(found, {"u": np.zeros((50, 40))}).outputs["v"][0]
    assert volts == pytest.approx(found.arrays["v"].offset, abs=1e-9)


def test_band_of_the_technology() -> None:
    """A_F² = D ln(T_obs/T_run)."""
    own = load_technology().flicker
    assert own.area == pytest.approx(math.sqrt(50e-24 * math.log(3600 / 1e-6)))
    assert replace(own, slowest=1e-9).area == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"flicker": -1e-11}, "flicker is -1e-11: it is A_F in volts times metres"),
        ({"flicker": 1e-3}, "flicker is 0.001: it is A_F in volts times metres"),
        ({"flicker": 1e-11, "conveyor_area": -1.0}, "conveyor_area is -1.0: it is a gate area"),
        ({"flicker": 1e-11, "noise_seed": 1.5}, "noise_seed is 1.5"),
    ],
)
def test_bad_numbers(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Error, match=said):
        flickered(equal(square_pair(), 0.8), **options)


def test_not_twice() -> None:
    once = flickered(equal(square_pair(), 0.8), A_F)
    with pytest.raises(Error, match="the machine flickers already: take the chip that it was made of"):
        flickered(once, A_F, noise_seed=1)
