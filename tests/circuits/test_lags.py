"""Poles inside cells: mirrors against SciPy, channels' charge in closed form, and the same in steps and in kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import device_cards
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import dsmachine as ds
from dsmachine.circuits.cells import Feedback, machine_of_transistors
from dsmachine.circuits.cells.mos.node import driven_line
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.devices.cell_card import cell_card
from dsmachine.circuits.devices.lag import Lag, lag
from dsmachine.circuits.devices.transit_card import TransitCard
from dsmachine.circuits.errors import Error
from dsmachine.circuits.waveforms import PiecewiseLinear
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.operating_point import decay, solve_operating_point
from dsmachine.emulator.plan import make_plan

T = np.linspace(-1, 1, 41)
RATIO = 32.26e-6 * 0.2 / 5e-6  # of the mirrors: g U over the tail's current
LAG = Lag(np.array([[0.9e-10, 0.3e-10], [2.2e-10, -0.2e-10]]), 0.05)
WEAK, STRONG = 0.9e-10 + 0.3e-10 * RATIO, 2.2e-10 - 0.2e-10 * RATIO  # s
END, KNOTS = 2e-8, [0.0, 2e-9, 8e-9, 9e-9, 1.0]
SWING = np.array([1.0, -0.4, 3.0])  # logical units: the last all but shuts a branch


def tanhs() -> tuple[Circuit, dict[str, Any]]:
    """Tanh pairs that go up in 2 ns, and back at 8 ns in one."""
    circuit = Circuit("tanh", temperature=300.15)
    circuit.clamp("u", (3,), unit=0.1, rail=0.4, full_scale=0.3)
    circuit.nodes("t", (3,), unit=0.2, rail=0.3, full_scale=0.2)
    circuit.tanh("t", "u", "t", 1.0)
    card = replace(device_cards.resistor(), cells={"tanh": cell_card("tanh", T, T, 5e-6, LAG)})
    values = np.array([0.0, 1.0, 1.0, -0.5, -0.5])[:, None] * SWING
    machine = machine_of_transistors(circuit, card, feedback=False)
    return machine, {"u": PiecewiseLinear(np.array(KNOTS), values)}


def by_scipy(times: Any, tau: float) -> Any:
    """(w/y + s) dy/dt = d − y for both branches of each pair, and the node they drive: (times, 3)."""

    def rate(time: float, x: Any) -> Any:
        up, down, v = x.reshape(3, 3)
        share = np.tanh(np.interp(time, KNOTS, [0.0, 1.0, 1.0, -0.5, -0.5]) * SWING)
        moved = [((1 + sign * share) / 2 - y) * y / (WEAK + STRONG * y) for sign, y in ((1, up), (-1, down))]
        return np.concatenate([*moved, (up - down - v) / tau])

    start = np.concatenate([np.full(6, 0.5), np.zeros(3)])
    return solve_ivp(rate, (0, END), start, "Radau", times, rtol=1e-9, atol=1e-11, max_step=1e-10).y[6:].T


def test_mirrors_of_a_tanh_pair() -> None:
    machine, inputs = tanhs()
    times = np.linspace(0, END, 101)
    probe = ds.Probe(["t"], times=times)
    ds.transient(machine, inputs, duration=END, tolerance=1e-5, precision="float64", observers=[probe])
    known = by_scipy(times, machine.arrays["t"].time_constant)
    assert probe.volts("t")[:, 0] / 0.2 == pytest.approx(known, abs=1e-4)


def test_steps_are_of_second_order() -> None:
    machine, inputs = tanhs()
    known = by_scipy([END / 2], machine.arrays["t"].time_constant)[0]
    missed = []
    for step in (0.05, 0.025):
        found = ds.transient(machine, inputs, duration=END / 2, method="stepper", step=step, precision="float64")
        missed.append(float(np.abs(found.outputs["t"][0] / 0.2 - known).max()))
    assert missed[0] < 5e-4 and missed[1] < 0.35 * missed[0]


@pytest.mark.parametrize("options", [{"tolerance": 1e-5}, {"method": "stepper"}])
def test_kernels_have_the_same_lags(options: dict[str, Any], fused: Callable[[], None]) -> None:
    machine, inputs = tanhs()
    plain = ds.transient(machine, inputs, duration=END, precision="float64", **options).outputs["t"]
    fused()
    found = ds.transient(machine, inputs, duration=END, precision="float64", **options).outputs["t"]
    assert found == pytest.approx(plain, abs=1e-5)


def test_mirrors_rest_where_they_are_driven_to() -> None:
    machine, _ = tanhs()
    rest = ds.operating_point(machine, {"u": SWING}).outputs["t"][0]
    assert rest == pytest.approx(0.2 * np.tanh(SWING), abs=1e-6)


def test_a_mirror_near_its_rest_has_the_pace_of_its_current() -> None:
    """−∂(dy/dt)/∂y = 1/(w/y + s): what noise analysis takes."""
    machine, _ = tanhs()
    plan = make_plan(machine, Backend(precision="float64"))
    x = solve_operating_point(plan, {"u": SWING})
    stage = next(stage for stage in plan.stages if stage.name == "t.up")
    pace = decay(stage, x)[0] / machine.arrays["t.up"].time_constant
    assert pace == pytest.approx(1 / (WEAK * 2 / (1 + np.tanh(SWING)) + STRONG), rel=1e-5)


def test_a_lag_is_found_again() -> None:
    seconds = np.array([[1.2e-10, 1e-11], [9e-11, 8e-11]])
    shares, ratios = np.array([0.05, 0.2, 0.5, 1.0]), np.array([0.5, 1.0, 2.0])
    weak, strong = Lag(seconds, 0.0).at(ratios)
    found = lag(shares, ratios, weak[:, None] / shares + strong[:, None])
    assert found.seconds == pytest.approx(seconds)
    assert found.error < 1e-9


def test_transit_of_channels_in_the_square_law() -> None:
    """C = C_ox/6, G = β(V − V_t): a device is late by C/G; two that are subtracted by dC/dG."""
    gates = np.linspace(0.6, 1.0, 5)
    card = TransitCard(gates, 2e-5 * (gates - 0.6), np.full(5, 4e-16))
    assert card.late(np.array([0.9])) == pytest.approx(4e-16 / 6e-6)
    two = np.array([0.8, 1.0])
    assert card.late(two) == pytest.approx(4e-16 * (4e-6 + 8e-6) / (4e-6**2 + 8e-6**2))
    assert card.late(np.array(0.9), np.array(0.7)) == pytest.approx(0.0, abs=1e-18)


def test_a_late_coupling_is_a_lag_more() -> None:
    """A step through a node of τ and a coupling of τ_c: of unit weight, two lags in a row and a third."""
    circuit = Circuit("late", temperature=300.15)
    circuit.clamp("u", (1,), rail=0.3, full_scale=0.2)
    for name in ("v", "w"):
        circuit.nodes(name, (1,), rail=None, full_scale=0.2)
    circuit.couple("v", "u", "v", 1.0)
    circuit.couple("w", "v", "w", 1.0)
    late, gates = 2e-10, np.linspace(0, 1, 5)
    cells = {"transit": TransitCard(gates, 1e-5 * gates + 1e-12, late * (1e-5 * gates + 1e-12))}
    machine = machine_of_transistors(circuit, replace(device_cards.resistor(), cells=cells), feedback=False)
    tau, end = machine.arrays["v"].time_constant, 4e-9
    assert "v.transit" not in machine.arrays  # its driver is an input
    found = ds.transient(machine, {"u": [0.1]}, duration=end, tolerance=1e-6, precision="float64").outputs["w"][0, 0]
    known = solve_ivp(
        lambda _, x: [(1 - x[0]) / tau, (x[0] - x[1]) / late, (x[1] - x[2]) / tau], (0, end), [0, 0, 0], rtol=1e-9
    ).y[2, -1]
    assert found == pytest.approx(0.1 * known, abs=1e-5)


@pytest.mark.parametrize("method", ["elements", "stepper", "kernels"])
def test_roots_and_norms_find_their_gates_late(method: str, fused: Callable[[], None]) -> None:
    """γ felt: K (x − ρ (x − y)), τ dy/dt = x − y, ρ = m χ C_p/2C, τ = 2C/g_c, of straight devices; against SciPy."""
    circuit = Circuit("root", temperature=300.15)
    circuit.clamp("u", (2,), rail=0.3, full_scale=0.2)
    circuit.nodes("r", (2,), rail=None, full_scale=0.2, feedback=Feedback("r", 10.0, 0.02))
    circuit.nodes("n", (2,), rail=None, full_scale=0.2, feedback=Feedback("r", 10.0, 0.02))
    circuit.couple("r", "u", "r", np.eye(2))
    circuit.couple("n", "u", "n", np.eye(2)[::-1])
    card = replace(device_cards.square_pair(), cells={"feedback": device_cards.square_feedback()})
    machine = machine_of_transistors(circuit, card)
    node, bend = machine.arrays["r"], machine.terms["r.feedback"]
    m = driven_line(card, node, circuit).fingers
    lost, tau = m * 1.2 * 7e-15 / (2 * node.capacitance), 2 * node.capacitance / 54e-6
    assert bend.lost == pytest.approx(lost) and lost > 0.05
    u, end, bare = np.array([0.1, 0.2]), 6e-9, node.time_constant

    def rate(_: float, x: Any) -> Any:
        r, n, y, z = x.reshape(4, 2)
        gamma = [node.feedback.ratio(r - lost * (r - late)) for late in (y, z)]
        driven = [(u - gamma[0] * r) / bare, (u[::-1] - gamma[1] * n) / bare]
        return np.concatenate([*driven, (r - y) / tau, (r - z) / tau])

    known = solve_ivp(rate, (0, end), np.zeros(8), "Radau", rtol=1e-9, atol=1e-12).y[:4, -1]
    if method == "kernels":
        fused()
    options: dict[str, Any] = {"method": "stepper", "step": 0.01} if method == "stepper" else {"tolerance": 1e-6}
    found = ds.transient(machine, {"u": u}, duration=end, precision="float64", **options).outputs
    assert np.concatenate([found["r"][0], found["n"][0]]) == pytest.approx(known, abs=2e-5)
    rest = ds.operating_point(machine, {"u": u}).outputs
    assert rest["r"][0] == pytest.approx(np.sqrt(u / 10), rel=1e-5)
    assert rest["n"][0] == pytest.approx(u[::-1] / np.sqrt(10 * u), rel=1e-5)


def test_lags_that_are_none() -> None:
    with pytest.raises(Error, match="lag of the mirrors is not positive"):
        Lag(np.array([[1e-10, -1e-10], [1e-10, 0]]), 0.0)
    with pytest.raises(Error, match="lag of the mirrors has shape"):
        Lag(np.zeros(3), 0.0)
    with pytest.raises(Error, match="transit card has holes"):
        TransitCard(T, T + 2, np.full(41, np.nan))
    circuit, card = tanhs()[0], cell_card("tanh", T, T, 5e-6)
    with pytest.raises(Error, match="card of the tanh has no lag"):
        machine_of_transistors(circuit, replace(device_cards.resistor(), cells={"tanh": card}))
