"""Operating points that repel, against eigenvalues by hand: dx/dt = (w − 1) x/τ of a node on a loop of gain w."""

import logging

import numpy as np
import pytest

import dsmachine as ds
from dsmachine.circuits.units import engineering

TAU = 2e-9


def loop(gain: float) -> ds.Circuit:
    circuit = ds.Circuit("loop")
    circuit.clamp("x", (1,))
    circuit.nodes("y", (1,), conductance=1e-5, capacitance=1e-5 * TAU)
    circuit.couple("in", "x", "y", [[0.01]])
    circuit.couple("round", "y", "y", [[gain]])
    return circuit


def test_a_node_that_drives_itself_over_its_feedback_departs(caplog: pytest.LogCaptureFixture) -> None:
    run = ds.operating_point(loop(1.5), {"x": [1.0]})
    assert run.logical("y") == pytest.approx(0.01 / (1 - 1.5))
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith("operating point of the cycle y is unstable in 1 of 1 sample: ")
    assert f"grow e-fold in {engineering(TAU / 0.5, 's')}, to where transient ends" in said


def test_where_its_rail_holds_it_nothing_grows(caplog: pytest.LogCaptureFixture) -> None:
    """Far beyond its rail, ±0.5 V, more drive changes nothing; of a batch only what repels is counted."""
    run = ds.operating_point(loop(1.5), {"x": [[80.0], [1.0], [-80.0]]})
    assert abs(run.logical("y")[[0, 2], 0]) == pytest.approx(0.5)
    assert "unstable in 1 of 3 samples" in caplog.text


@pytest.mark.parametrize("gain", [0.5, 0.9, -3.0])
def test_loops_that_rest_are_not_warned_of(gain: float, caplog: pytest.LogCaptureFixture) -> None:
    run = ds.operating_point(loop(gain), {"x": [1.0]})
    assert run.logical("y") == pytest.approx(0.01 / (1 - gain))
    assert not caplog.records


@pytest.mark.parametrize(("gain", "grows"), [(1.9, False), (2.1, True)])
def test_time_constants_count_round_a_ring(gain: float, grows: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Three inverting nodes of gain w, time constants τ, τ and τ/8: (1 + sτ₁)(1 + sτ₂)(1 + sτ₃) = −w³ has roots s of
    positive real part from w³ = (τ₁ + τ₂ + τ₃)(1/τ₁ + 1/τ₂ + 1/τ₃) − 1 on (Routh): 20.25, not the 8 of equal ones."""
    taus = TAU * np.array([1.0, 1.0, 0.125])
    limit = (taus.sum() * (1 / taus).sum() - 1) ** (1 / 3)
    ring = ds.Circuit("ring")
    for k, tau in enumerate(taus):
        ring.nodes(f"v{k}", (1,), conductance=1e-5, capacitance=1e-5 * tau)
    for k in range(3):
        ring.couple(f"w{k}", f"v{k}", f"v{(k + 1) % 3}", [[-gain / 2 * limit]])
    ring.bias("h", "v0", 1e-3)
    ds.operating_point(ring)
    assert ("is unstable" in caplog.text) == grows
