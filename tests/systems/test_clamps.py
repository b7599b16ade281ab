"""A free array held by the run, and let go from where it stands; an input set free."""

from typing import Any

import numpy as np
import pytest
from systems.lags import chain
from systems.system import TAU

import dsmachine as ds

U, HELD = 0.3, -0.1
SHARP: dict[str, Any] = {"precision": "float64", "tolerance": 1e-7}


def test_a_clamped_array_is_an_input_and_released_starts_from_there() -> None:
    """u → x0 → x1 → x2 with x1 held: x2 follows what x1 is held at. Then x1 falls to u, and x2 behind it,

    x1 = u + (x1(0) − u) e^(−t/τ),    x2 = u + [x2(0) − u + (x1(0) − u) t/τ] e^(−t/τ)
    """
    free = chain(3)
    held = ds.transient(free.clamped("x1"), {"u": [U], "x1": [HELD]}, settle_bits=30, **SHARP)
    assert "x1" not in held.outputs
    assert held.outputs["x0"][0, 0] == pytest.approx(U, abs=1e-6)
    assert held.outputs["x2"][0, 0] == pytest.approx(HELD, abs=1e-6)

    start = {name: held.logical(name) for name in held.outputs} | {"x1": [HELD]}
    times = np.linspace(0, 8 * TAU, 161)
    probe = ds.Probe(["x1", "x2"], times=times)
    ds.transient(
        free.clamped("x1").unclamped("x1"), {"u": [U]}, initial=start, duration=8 * TAU, observers=[probe], **SHARP
    )
    t = times / TAU
    np.testing.assert_allclose(probe.volts("x1")[:, 0, 0], U + (HELD - U) * np.exp(-t), atol=1e-6)
    np.testing.assert_allclose(probe.volts("x2")[:, 0, 0], U + (HELD - U) * (1 + t) * np.exp(-t), atol=1e-6)


def test_an_input_set_free_decays() -> None:
    circuit = chain(1).unclamped("u")
    run = ds.transient(circuit, initial={"u": [U]}, duration=2 * TAU, **SHARP)
    assert run.outputs["u"][0, 0] == pytest.approx(U * np.exp(-2), abs=1e-6)
    assert run.outputs["x0"][0, 0] == pytest.approx(U * 2 * np.exp(-2), abs=1e-6)


def test_copies_leave_the_circuit_as_it_was() -> None:
    circuit = chain(3)
    held = circuit.clamped("x0", "x2")
    assert [node.name for node in held.inputs()] == ["u", "x0", "x2"]
    assert [node.name for node in circuit.inputs()] == ["u"]
    again = held.unclamped("x0", "x2")
    assert again.order() == circuit.order() and again.terms == circuit.terms
    with pytest.raises(ds.Error, match=r"'y' is no array of circuit '3 lags': use u, x0, x1, x2"):
        circuit.clamped("y")


def test_holding_one_array_opens_a_cycle() -> None:
    ring = ds.Circuit("ring")
    ring.nodes("a", (1,))
    ring.nodes("b", (1,))
    ring.couple("ab", "a", "b", 0.5)
    ring.couple("ba", "b", "a", 0.5)
    assert ring.order() == [("a", "b")] or ring.order() == [("b", "a")]
    assert ring.clamped("a").order() == [("b",)]
    assert ds.operating_point(ring.clamped("a"), {"a": [0.2]}).outputs["b"][0, 0] == pytest.approx(0.1)


def test_the_netlist_of_a_clamped_array_has_a_source_and_nothing_that_drives_it() -> None:
    text = ds.write_netlist(chain(3).clamped("x1"), inputs={"u": [U], "x1": [HELD]}, duration=TAU).text
    assert "-> x2" in text and "-> x1" not in text
