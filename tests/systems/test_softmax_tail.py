"""A row of N branches with its tail in volts, N C_j dV/dt = Σ I_j − I_T, by scipy's Radau and ngspice."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from systems.system import TAU, System, integrated

from dsmachine.circuits.chip import fabricate
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.run import operating_point
from dsmachine.netlists.crosscheck import crosscheck

NAT, PROB, TAIL, JUNCTION = 0.029, 0.3, 5e-6, 0.2e-15  # V, V, A, F
NGSPICE = pytest.mark.skipif(shutil.which("ngspice") is None, reason="NGSPICE IS MISSING: apt-get install ngspice")
Array = Any


def row(width: int, junction: float = JUNCTION, **cell: Any) -> Circuit:
    """Scores that two stages bring up, and the pair they drive."""
    circuit = Circuit("row")
    circuit.clamp("u", (width,))
    for name, source in (("pre", "u"), ("score", "pre")):
        circuit.nodes(name, (width,), unit=NAT, rail=None, full_scale=10 * NAT)
        circuit.couple(name, source, name, 1.0)
    circuit.nodes("prob", (width,), unit=PROB, rail=None)
    circuit.softmax("softmax", "score", "prob", tail_current=TAIL, junction_capacitance=junction, **cell)
    return circuit


def scores(width: int) -> Array:
    return np.random.default_rng(width).uniform(-10, 10, width)


def system(width: int, junction: float = JUNCTION) -> System:
    """With the tail's own equation in volts and amperes."""
    u = NAT * scores(width)
    farads = width * junction

    def slope(t: float, v: Array) -> Array:
        pre, score, tail, prob = v[:width], v[width : 2 * width], v[2 * width], v[2 * width + 1 :]
        current = TAIL / width * np.exp((score - tail) / NAT)
        pole = TAU * (current.sum() - TAIL) / farads
        return np.concatenate([u - pre, pre - score, [pole], PROB * current / TAIL - prob])

    sizes = {"pre": width, "score": width, "softmax.tail": 1, "prob": width}

    def exact(times: Array) -> dict[str, Array]:
        return integrated(slope, np.zeros(3 * width + 1), times, np.zeros(0), sizes)

    return System(f"row of {width}", row(width, junction), exact, 15 * TAU, {"u": scores(width)})


@pytest.mark.parametrize(("width", "junction"), [(8, JUNCTION), (64, JUNCTION), (128, JUNCTION), (128, 8 * JUNCTION)])
def test_the_tail_is_a_node_of_its_own(width: int, junction: float) -> None:
    """τ of the tail: 0.6 to 62 % of the nodes'."""
    case = system(width, junction)
    found, _ = case.errors(tolerance=1e-5)
    assert max(found.values()) < 1e-4, found
    stepped, _ = case.errors(method="stepper", step=1 / 16)
    assert max(stepped.values()) < 1e-3, stepped


def test_a_slow_tail_lets_more_than_its_current_through_while_scores_rise() -> None:
    """The sign that a lag of the branches would get wrong: their sum overshoots and comes back to 1."""
    times, exact = system(128, 8 * JUNCTION).sampled()
    total = exact["prob"].sum(axis=1) / PROB
    at_once = system(128, 1e-3 * JUNCTION).sampled()[1]["prob"].sum(axis=1) / PROB
    assert (total - at_once).max() > 0.3
    assert (total - at_once).min() > -1e-6
    assert total[-1] == pytest.approx(1 - np.exp(-times[-1] / TAU), abs=0.01)


@pytest.mark.spice
@NGSPICE
@pytest.mark.parametrize("width", [1, 8, 64, 128])
def test_ngspice_with_a_capacitor_on_the_tail(width: int) -> None:
    found = crosscheck(row(width), inputs={"u": scores(width)}, engine="batch")
    assert "softmax.tail" in found.by_array
    assert found.passed, found.by_array


def test_time_constant_grows_with_the_branches_of_the_row() -> None:
    """τ = N C_j nV_T / I_T: 1.16 ps a branch; a causal row has as many branches as keys, shut ones count."""
    circuit = Circuit("causal")
    circuit.clamp("score", (3, 3), unit=NAT)
    exists = np.tril(np.ones((3, 3), bool))
    for name, here, branches in (("prob", exists, np.arange(1, 4)), ("shut", None, np.full(3, 3))):
        circuit.nodes(name, (3, 3), exists=here)
        circuit.softmax(name, "score", name, exists=exists, junction_capacitance=JUNCTION)
        tail = circuit.arrays[f"{name}.tail"]
        assert np.asarray(tail.time_constants)[:, 0] == pytest.approx(1.16e-12 * branches, rel=1e-9, abs=0)


def test_at_rest_the_tail_changes_nothing() -> None:
    width = 16
    chips = [fabricate(row(width, j, floor=6.0), seed=3, branch_offset=0.01) for j in (0.0, JUNCTION)]
    one, other = (operating_point(chip, {"u": scores(width)}).logical("prob") for chip in chips)
    assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("junction", [0.0, JUNCTION])
@pytest.mark.parametrize("floor", [None, 3.0])
def test_derivatives(junction: float, floor: float | None) -> None:
    rng = np.random.default_rng(4)
    circuit = row(6, junction, floor=floor, gain=1.2, shift=0.1 * rng.normal(size=6))
    x = {"score": rng.normal(size=(1, 6)), "softmax.tail": rng.normal(size=(1, 1))}
    dx = {"score": rng.normal(size=(1, 6)), "softmax.tail": rng.normal(size=(1, 1))}
    h = 1e-6
    for name in ("softmax", *(["softmax.tail"] if junction else [])):
        term = circuit.terms[name]
        up, down = (term.drive({n: v + s * h * dx[n] for n, v in x.items()}) for s in (1, -1))
        assert term.jvp(x, dx) == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-9)


def test_offsets_are_volts_at_the_gate_and_gain_is_a_temperature() -> None:
    """10 mV on 29 mV a nat is 0.345 nats; at gain 1.2, a colder chip, 1.2 times as many."""
    spreads = []
    for gain in (1.0, 1.2):
        terms = fabricate(row(20_000, gain=gain), seed=1, branch_offset=0.01).circuit.terms
        shift: Any = terms["softmax"].shift  # type: ignore[attr-defined]
        spreads.append(float(shift.std()))
        assert (terms["softmax.tail"].pair.shift == shift).all()  # type: ignore[attr-defined]
    assert spreads[0] == pytest.approx(0.01 / NAT, rel=0.02)
    assert spreads[1] == pytest.approx(1.2 * spreads[0], rel=1e-9)
