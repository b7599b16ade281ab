"""Cells by the laws of transistors, whose law is known on paper: a resistor and the square law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import device_cards
import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.cells import Feedback, machine_of_transistors
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.branch_card import BranchCard
from dsmachine.circuits.devices.cell_card import cell_card
from dsmachine.circuits.devices.feedback_card import FeedbackCard
from dsmachine.circuits.devices.lag import Lag
from dsmachine.circuits.devices.laws import between_sides, fitted, quad_law
from dsmachine.circuits.devices.transit_card import TransitCard
from dsmachine.circuits.errors import Error
from dsmachine.describe import cell_of

Array = Any
NODE = {"rail": 0.3, "full_scale": 0.2}
PELGROM = {"threshold_area": 3.5e-9, "beta_area": 1.5e-8}
T = np.linspace(-1, 1, 41)
LAG = Lag(np.array([[1e-10, 1e-11], [1e-10, 1e-11]]), 0.05)


def all_cells(unit: float = 0.5) -> tuple[Circuit, dict[str, Array]]:
    """One of each, two of them roots and divisions."""
    circuit = Circuit("cells", temperature=300.15)
    circuit.clamp("u", (2, 3), unit=0.1, **NODE)
    for name in ("v", "w", "square", "t", "r", "x"):
        circuit.nodes(name, (2, 3), unit=unit, **NODE)
    circuit.nodes("root", (2, 1), feedback=Feedback("root", 10.0, 0.02), **NODE)
    circuit.nodes("norm", (2, 3), feedback=Feedback("root", 10.0, 0.02), **NODE)
    circuit.couple("v", "u", "v", np.array([[0.1, -0.05, 0.1], [0.0, 0.1, 0.1], [-0.1, 0.1, 0.0]]))
    circuit.couple("w", "v", "w", 0.8)
    circuit.multiply("square", "w", "v", "square", "pd,pd->pd", gain=2.0)
    circuit.multiply("root", "v", "v", "root", "pd,pd->p", gain=3.0)
    circuit.bias("one", "root", 0.05, programmable=False)
    circuit.couple("norm", "w", "norm", 0.2)
    circuit.couple("x", "norm", "x", np.array([[0.5, -0.2, 0.1], [0.3, 0.2, -0.4], [-0.3, 0.6, 0.2]]))
    circuit.tanh("t", "u", "t", 0.2)
    circuit.rectify("r", "v", "r")
    circuit.nodes("p", (2, 3), unit=0.2, **NODE)
    circuit.softmax("p", "u", "p", junction_capacitance=0.2e-15)
    return circuit, {"u": np.array([[0.9, -0.5, 0.7], [0.4, 1.0, -0.8]])}


def narrow(card: Any) -> Any:
    """Known over ±0.3 V, where the square law rises."""
    inside = np.abs(card.volts) < 0.301
    even = None if card.even is None else narrow(card.even)
    return replace(card, volts=card.volts[inside], surface=card.surface[:, inside], even=even, full_scale=0.2)


def with_cells(card: Any) -> Any:
    card = narrow(card)
    cells = {"tanh": cell_card("tanh", T, T + 0.05 * (T - T**3), 5e-6, LAG)}
    cells["rectifier"] = cell_card("rectifier", (T + 1) / 2, (T + 1) / 2 - 0.02 * (T + 1) ** 2, 20e-6)
    branch = (np.array([0.0, 34.0, 0.0]), np.array([0.0, 0.7, 0.0, 0.0]), np.array([1.0, 0.02, 0.0]), np.eye(3)[0])
    cells["softmax"] = BranchCard(*branch, 0.01, LAG, np.array([3e-11, 2e-11]))
    cells["feedback"] = device_cards.square_feedback()
    cells["transit"] = TransitCard(np.linspace(0, 1, 5), np.linspace(0, 1e-5, 5), np.linspace(0, 8e-16, 5))
    return replace(card, cells=cells)


def straight(card: Any) -> Any:
    return replace(narrow(card), cells={name: cell_card(name, T, T, 20e-6, LAG) for name in ("tanh", "rectifier")})


def test_transistors_that_are_linear_are_the_ideal_cells() -> None:
    circuit, inputs = all_cells()
    ideal, built = (
        ds.operating_point(c, inputs).outputs
        for c in (circuit, machine_of_transistors(circuit, straight(device_cards.resistor())))
    )
    for name in ideal:
        if name != "r":  # half of a resistor's current goes through a rectifier's device
            assert built[name] == pytest.approx(ideal[name], abs=2e-6), name


def test_feedback_in_the_square_law() -> None:
    """A device of 2β between V_CM ± v/2 is straight, 2β(V − V_t)v: F(v/2) − F(−v/2) with F(u) = G u − βu²."""
    gate, v = 0.8, np.linspace(0, 0.4, 9)
    g = 2 * device_cards.BETA * (gate - device_cards.THRESHOLD)
    assert between_sides(narrow(device_cards.square_pair()), np.array(gate), 3, v) == pytest.approx(
        3 * g * v, abs=1e-10
    )


def test_a_feedback_card_is_taken_for_its_device() -> None:
    """Of a surface G(V)(v − v³): between the points, and in a straight line beyond them."""
    gates, volts = np.linspace(0.5, 1.1, 13), np.linspace(0, 0.3, 16)
    siemens = 1e-5 * (gates - 0.4)
    charge = 1e-15 * gates[:, None] * (volts - volts**2)
    card = FeedbackCard(gates, volts, siemens[:, None] * (volts - volts**3), charge, 1e-15 * gates, 1 + gates)
    cards = replace(device_cards.resistor(), cells={"feedback": card})
    v = np.array([0.0, 0.11, 0.29, 0.4])
    inside = np.minimum(v, 0.3)
    known = inside - inside**3 + (1 - 3 * 0.3**2) * (v - inside)
    assert between_sides(cards, np.array(0.83), 2, v) == pytest.approx(2 * 4.3e-6 * known, rel=1e-6, abs=1e-15)
    assert card.hung(np.array([0.83, 9.0]), 0.2) == pytest.approx(np.array([0.83, 1.1]) * 0.8e-15)
    assert card.hung(0.83, 0.5) == pytest.approx(0.83 * 0.7e-15)  # of the volts that are known
    assert card.pushes(0.8) == pytest.approx(0.8e-15)
    assert card.weighs(np.array([0.8, 1.0])) == pytest.approx(1.9)
    with pytest.raises(Error, match="surface of shape"):
        replace(card, surface=card.surface.T)
    with pytest.raises(Error, match="charge of shape"):
        replace(card, charge=np.full(card.charge.shape, np.nan))
    with pytest.raises(Error, match="what some gates push"):
        replace(card, pushed=np.zeros(3))


def test_a_quad_in_the_square_law_is_a_product() -> None:
    law = quad_law(device_cards.square_pair(), 0.8, 0.4, 0.3)
    assert law.error < 1e-9
    assert law.current(0.3, 0.2) == pytest.approx(device_cards.BETA * 0.3 * 0.2)


def test_a_surface_of_powers_is_found() -> None:
    a, v = np.linspace(0, 2, 9), np.linspace(0, 0.3, 9)
    found = fitted(a, v, a[:, None] * v - 0.1 * a[:, None] ** 3 * v**3, (1, 3))
    assert found.error < 1e-9
    assert found.rows[1][3] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    "name",
    ["v", "w", "square", "root", "norm", "t", "t.up", "t.down", "r", "v.feedback", "root.feedback", "norm.feedback"]
    + ["w.transit", "x.transit", "x", "p", "p.mirrors", "p.tail"],
)
@pytest.mark.parametrize("unequal", [False, True])
def test_derivatives(name: str, unequal: bool) -> None:
    """Central differences of each law, roots and driven feedback included, of a chip too."""
    circuit, _ = all_cells()
    machine = machine_of_transistors(circuit, with_cells(device_cards.square_pair()))
    machine = ds.fabricate(machine, seed=1, **PELGROM).circuit if unequal else machine
    term = machine.terms[name]
    rng = np.random.default_rng(1)
    x, dx = ({n: rng.uniform(0.05, 0.2, (3, *a.shape)) for n, a in machine.arrays.items()} for _ in range(2))
    step = 1e-5
    ahead, back = (term.drive({n: x[n] + s * step * dx[n] for n in x}) for s in (1, -1))
    slope = (ahead - back) / (2 * step)
    assert term.jvp(x, dx) == pytest.approx(slope, abs=1e-6 * np.abs(slope).max())


@pytest.mark.parametrize("unequal", [False, True])
def test_kernels_have_the_same_laws(fused: Callable[[], None], unequal: bool) -> None:
    circuit, inputs = all_cells()
    machine: Any = machine_of_transistors(circuit, with_cells(device_cards.square_pair()))
    machine = ds.fabricate(machine, seed=1, **PELGROM) if unequal else machine
    plain = ds.transient(machine, inputs, duration=2e-8, tolerance=1e-4).outputs
    fused()
    for name, found in ds.transient(machine, inputs, duration=2e-8, tolerance=1e-4).outputs.items():
        assert found == pytest.approx(plain[name], abs=1e-5), name


def test_a_machine_comes_to_rest_at_its_operating_point() -> None:
    circuit, inputs = all_cells()
    machine = machine_of_transistors(circuit, with_cells(device_cards.square_pair()))
    rest = ds.operating_point(machine, inputs).outputs
    for name, found in ds.transient(machine, inputs, duration=2e-7, tolerance=1e-5).outputs.items():
        assert found == pytest.approx(rest[name], abs=1e-4), name


def test_inner_nodes_are_told_apart() -> None:
    machine = machine_of_transistors(all_cells()[0], with_cells(device_cards.square_pair()))
    named = {cell_of(node) for node in machine.arrays.values() if node.is_inner}
    assert named == {"tail", "mirror", "transit"}


def test_chips_of_lines_err_as_linear_ones() -> None:
    circuit, inputs = all_cells()
    cards = straight(device_cards.resistor())
    ideal, built = (
        ds.operating_point(ds.fabricate(c, mismatch=0.02, seed=3), inputs).outputs["w"]
        for c in (circuit, machine_of_transistors(circuit, cards))
    )
    assert built == pytest.approx(ideal, abs=2e-6)


def test_cards_of_cells_that_are_none() -> None:
    with pytest.raises(Error, match="cell 'log' is unknown"):
        replace(cell_card("tanh", T, T, 1e-6), cell="log")
    with pytest.raises(Error, match="does not rise"):
        cell_card("tanh", T, -T, 1e-6)
    with pytest.raises(Error, match="holes"):
        replace(cell_card("tanh", T, T, 1e-6), measured=np.full(41, np.nan))
