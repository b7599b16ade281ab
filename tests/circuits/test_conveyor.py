"""Currents through a node's conveyor and past it: input resistance, rail and noise, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from device_cards import square_feedback, square_pair

import dsmachine as ds
from dsmachine.circuits.cells import machine_of_transistors, with_transistors
from dsmachine.circuits.cells.conveyor_errors import ConveyorErrors
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.followers import with_unequal_conveyors
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.linearized import thermal_intensity
from dsmachine.emulator.plan import make_plan

G0, C, KT = 32.26e-6, 49e-15, 1.380649e-23 * 300.0


def mixed(conveyed: float = 1.0, bare: float = 1.0, **node: float) -> Circuit:
    """One node with a buffered and a passive coupling from the same input."""
    circuit = Circuit("mixed")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,), **node)
    circuit.couple("buffered", "u", "v", conveyed)
    circuit.couple("passive", "u", "v", bare, passive=True)
    return circuit


def test_input_resistance_attenuates_conveyed_currents_only() -> None:
    """r_x = 1/g halves the conveyed 0.1 V·g; the plain resistor g adds its own: (0.05 + 0.1)/(1 + 1) = 0.075 V."""
    circuit = mixed(input_resistance=1 / G0)
    assert ds.operating_point(circuit, {"u": [0.1]}).outputs["v"][0] == pytest.approx([0.075], rel=1e-6)
    assert ds.transient(circuit, {"u": [0.1]}, settle_bits=16).outputs["v"][0] == pytest.approx([0.075], rel=1e-4)


def test_copies_that_lose_current_lose_conveyed_currents_only() -> None:
    """Of 0.1 V·g the conveyor delivers 0.8, of that behind r_x = 1/g half: (0.04 + 0.1)/(1 + 1) = 0.07 V."""
    circuit = mixed(current_gain=0.8)
    assert ds.operating_point(circuit, {"u": [0.1]}).outputs["v"][0] == pytest.approx([0.09], rel=1e-6)
    circuit = mixed(current_gain=0.8, input_resistance=1 / G0)
    assert ds.operating_point(circuit, {"u": [0.1]}).outputs["v"][0] == pytest.approx([0.07], rel=1e-6)
    assert ds.transient(circuit, {"u": [0.1]}, settle_bits=16).outputs["v"][0] == pytest.approx([0.07], rel=1e-4)


def test_copies_of_every_node_have_a_gain_of_their_own() -> None:
    circuit = Circuit("copies")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,), current_gain=np.array([0.8, 1.1]))
    circuit.couple("w", "u", "v", np.eye(2))
    rest = ds.operating_point(circuit, {"u": [0.1, 0.1]}).outputs["v"][0]
    assert rest == pytest.approx([0.08, 0.11], rel=1e-6)
    with pytest.raises(ds.Error, match=r"current_gain of array 'w' is .* somewhere"):
        circuit.nodes("w", (2,), current_gain=np.array([0.0, 1.0]))


def test_unequal_conveyors_by_hand() -> None:
    """σ = 20 mV at a gate of 1 µm², A_Vt 20 mV·µm: c is the mean of both conveyors' e^(1/V δ), i₀ and e as offsets."""
    errors = ConveyorErrors(
        "A", {"1": 1e-12}, {"1": (0.5, 0.0)}, {"1": (1e-5, 0.0)}, {"1": (4.0, 0.0)}, {"1": (2e-6, 0.0)}
    )
    assert errors.sigmas(2e-8, 0.0) == pytest.approx((0.01, 2e-7, 0.08))
    circuit = Circuit("conveyors")
    circuit.clamp("u", (3,))
    circuit.nodes("v", (3,))
    circuit.couple("w", "u", "v", np.eye(3))
    chip = ds.fabricate(with_unequal_conveyors(circuit, errors), seed=1, threshold_area=2e-8).circuit
    node = chip.arrays["v"]
    p, n = (drawn.shift["1"] for drawn in node.conveyors.drawn)
    gain = (np.exp(4 * p) + np.exp(4 * n)) / 2
    offset = (1e-5 * (p - n) / 2 - G0 * 0.5 * (p - n)) / G0
    assert node.conveyors.alike == pytest.approx(1e-6 * (p + n))
    assert node.current_gain == pytest.approx(gain) and np.ptp(gain) > 0.01
    rest = ds.operating_point(chip, {"u": [0.1, 0.1, 0.1]}).outputs["v"][0]
    assert rest == pytest.approx(0.1 * gain + offset, rel=1e-5)


@pytest.mark.parametrize("name", ["threshold_area", "beta_area", "threshold_gradient", "beta_gradient"])
def test_a_spread_of_transistors_is_refused_where_there_are_none(name: str) -> None:
    circuit = Circuit("linear")
    circuit.clamp("u", (3,))
    circuit.nodes("v", (3,))
    circuit.couple("w", "u", "v", np.eye(3))
    with pytest.raises(ds.Error, match=f"{name} 3.5e-08 is about transistors and circuit 'linear' has none"):
        ds.fabricate(circuit, seed=1, **{name: 3.5e-8})
    ds.fabricate(circuit, seed=1, **{name: 0.0})
    ds.fabricate(with_transistors(circuit, square_pair()), seed=1, **{name: 3.5e-8})


def test_unequal_conveyors_lift_the_sides_of_their_feedback() -> None:
    """δ + χ c for δ, c = ½ (i₁p + i₁n)/2h over resistors of h = 0.3 g; χ is 1.2."""
    errors = ConveyorErrors("A", {"1": 1e-12}, *({"1": (0.0, 0.0)},) * 3, {"1": (2e-6, 0.0)})
    circuit = Circuit("lifted")
    circuit.clamp("u", (3,))
    circuit.nodes("v", (3,), full_scale=0.2)
    circuit.couple("w", "u", "v", np.eye(3))
    card = replace(square_pair(), cells={"feedback": square_feedback()})
    machine = with_unequal_conveyors(machine_of_transistors(circuit, card), errors)
    chip = ds.fabricate(machine, seed=1, threshold_area=2e-8).circuit
    bend, p, n = chip.terms["v.feedback"], *(drawn.shift["1"] for drawn in chip.arrays["v"].conveyors.drawn)
    above = 1e-6 * (p + n) / (2 * 0.3 * G0)
    assert bend.moved == pytest.approx(bend.unequal.shift["1"] + 1.2 * above) and np.ptp(above) > 1e-4


def test_the_rail_limits_conveyed_currents_only() -> None:
    """Driven 100 times too hard the conveyor stops at g·0.5 V; the resistor adds 0.2 V·g: (0.5 + 0.2)/2 = 0.35 V."""
    circuit = mixed(conveyed=250.0)
    probe = ds.Probe(["v"], density=8)
    run = ds.transient(circuit, {"u": [0.2]}, duration=50e-9, observers=[probe])
    assert run.outputs["v"][0] == pytest.approx([0.35], rel=1e-4)
    assert np.abs(probe.volts("v")).max() <= 0.5
    assert ds.operating_point(circuit, {"u": [0.2]}).saturated == {"v": 1}


def intensity(circuit: Circuit) -> float:
    """ΣG [S] that a node's noise comes from, read back from 2kT ΣG/C²."""
    plan = make_plan(circuit, Backend(precision="float64"))
    at_rest = {"u": np.zeros((1, 1)), "v": np.zeros((1, 1))}
    return float(thermal_intensity(plan, at_rest)[0]) * C**2 / (2 * KT)


def test_noise_through_an_input_resistance_is_that_of_resistors_in_series() -> None:
    """Coupling 3g behind r_x = 1/g: 1/(1/3g + 1/g) = 0.75 g; feedback g and a passive 0.5 g add in full."""
    assert intensity(mixed(3.0, 0.5, input_resistance=1 / G0)) == pytest.approx(2.25 * G0, rel=1e-9)


def test_noise_through_copies_that_lose_current() -> None:
    """Half of a coupling's current is a quarter of its density: g + 0.5 g + 3g/4."""
    assert intensity(mixed(3.0, 0.5, current_gain=0.5)) == pytest.approx(2.25 * G0, rel=1e-9)


def test_a_cell_that_does_not_load_the_conveyor_is_attenuated_in_power() -> None:
    """Tanh pair beside couplings of 3g and r_x = 1/g: a quarter of its current arrives, a sixteenth of its density."""
    circuit = mixed(3.0, 0.5, input_resistance=1 / G0)
    without = intensity(circuit)
    circuit.tanh("t", "u", "v", gain=0.2)
    shot = G0 * 0.2 / (2 * KT / 1.602176634e-19)
    assert intensity(circuit) - without == pytest.approx(shot / 16, rel=1e-9)
