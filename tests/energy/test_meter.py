"""Joules against closed forms: RC, divider, a tile by direct quadrature; independence of elements; shapes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from energy_circuits import TAU, VDD, C, G, tile, weigh
from scipy.integrate import quad_vec
from small_models import PROMPT, write_small

from dsmachine.circuits.cells import Feedback, Softmax, View
from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.circuit import Circuit
from dsmachine.circuits.errors import Error
from dsmachine.circuits.mapping.model import map_model
from dsmachine.circuits.technology import load_technology
from dsmachine.emulator.run import transient
from dsmachine.energy.meter import EnergyMeter, EnergyReport
from dsmachine.netlists.heat import HeatMeter

Array = Any


def annealed(report: EnergyReport) -> Array:
    """Joules dissipated between reset and reading."""
    return report.by("phase")["anneal"][1]


def series_rc() -> Circuit:
    """The textbook's: a source, a resistor, a capacitor, and nothing to ground."""
    circuit = Circuit("series RC")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,), ratio=0.0, rail=None)
    circuit.couple("r", "u", "v", 1.0, passive=True)
    return circuit


# --- one RC -------------------------------------------------------------------------------------------


def test_series_rc_burns_half_of_what_it_draws() -> None:
    report = weigh(series_rc(), {"u": [0.4]}, 40 * TAU)
    assert annealed(report) == pytest.approx(0.5 * C * 0.4**2, rel=1e-6)
    assert report.delivered == pytest.approx(C * 0.4**2, rel=1e-6)
    assert report.stored_after - report.stored_before == pytest.approx(0.5 * C * 0.4**2, rel=1e-6)
    assert report.imbalance is not None and report.imbalance < 1e-6
    assert report.by("part")["coupling"][0] == pytest.approx(VDD * C * 0.4, rel=1e-6)  # class B


def test_series_rc_on_the_way() -> None:
    t = 0.7 * TAU
    report = weigh(series_rc(), {"u": [0.4]}, t)
    assert annealed(report) == pytest.approx(0.5 * C * 0.16 * (1 - np.exp(-2 * t / TAU)), rel=1e-6)
    assert report.duration == pytest.approx(t)


def test_discharge_burns_what_was_stored() -> None:
    report = weigh(series_rc(), {"u": [0.0]}, 40 * TAU, initial={"v": [0.3]})
    assert annealed(report) == pytest.approx(0.5 * C * 0.09, rel=1e-6)
    assert abs(report.delivered) < 1e-9 * report.stored_before


def test_buffered_rc() -> None:
    """v = V(1 − e^(−t/τ)): coupling G V² t, feedback G ∫v², conveyor VDD (I_b t + G ∫v + C V)."""
    circuit = Circuit("rc")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,), layer="L")
    circuit.couple("w", "u", "v", 1.0)
    t, v = 12 * TAU, 0.3
    report = weigh(circuit, {"u": [v]}, t)
    tech, parts = load_technology(), report.by("part")
    e = np.exp(-t / TAU)
    assert parts["coupling"][1] == pytest.approx(G * v * v * t, rel=1e-6)
    assert parts["coupling"][0] == pytest.approx(VDD * G * v * t, rel=1e-6)
    square = v * v * (t - 2 * TAU * (1 - e) + TAU / 2 * (1 - e * e))
    assert parts["feedback"][1] == pytest.approx(G * square, rel=1e-6)
    signal = G * v * (t - TAU * (1 - e)) + C * v * (1 - e)
    assert parts["conveyors"][0] == pytest.approx(VDD * (tech.conveyor.bias_current * t + signal), rel=1e-6)
    wire = 0.111e-9 * 1.6e-6 * VDD * v  # C V of a coupling's piece of row, charged while loading
    assert parts["input drivers"][0] == pytest.approx(tech.buffer.bias_current * t + wire, rel=1e-9)
    assert parts["refresh"][0] == pytest.approx(4e-12 * report.latency / tech.switch.refresh_interval)
    assert parts["retention"][0] == pytest.approx(69e-12 * report.latency)
    assert report.imbalance is None


# --- networks of passive parts ------------------------------------------------------------------------


def test_static_divider() -> None:
    """At rest a divider of G₁ to 0.4 V and g to ground takes V² G₁g/(G₁ + g), from the start on and for ever."""
    circuit = Circuit("divider")
    circuit.clamp("u", (1,))
    circuit.nodes("v", (1,), rail=None)
    circuit.couple("r", "u", "v", 3.0, passive=True)
    rest = 0.4 * 3 / 4
    report = weigh(circuit, {"u": [0.4]}, 10 * TAU, initial={"v": [rest]})
    watts = 0.16 * G * 3 / 4
    assert annealed(report) == pytest.approx(watts * 10 * TAU, rel=1e-6)
    assert report.delivered == pytest.approx(watts * 10 * TAU, rel=1e-6)
    assert report.power > report.delivered / report.duration


@pytest.mark.parametrize("balanced", [False, True])
def test_a_passive_network_closes_its_balance(balanced: bool) -> None:
    rng = np.random.default_rng(0)
    circuit = Circuit("mesh")
    circuit.clamp("u", (3, 5), unit=0.2)
    circuit.nodes("a", (3, 4), unit=rng.uniform(0.1, 0.4, (3, 4)), rail=None, ratio=rng.uniform(0, 1, (3, 4)))
    circuit.nodes("b", (3, 4), unit=0.3, rail=None)
    circuit.couple("dense", "u", "a", rng.normal(size=(4, 5)), passive=True, balanced=balanced)
    circuit.couple("each", "a", "b", rng.normal(size=4), passive=True)
    circuit.couple("part", View("u", 1, 5, (2, 2)), "b", rng.normal(size=(4, 4)), passive=True)
    report = weigh(circuit, {"u": rng.normal(size=(2, 3, 5))}, 3 * TAU)
    assert report.imbalance is not None and report.imbalance.shape == (2,)
    assert np.all(report.imbalance < 1e-6)


# --- a tile, by direct quadrature ---------------------------------------------------------------------


def test_tile_against_direct_quadrature() -> None:
    circuit, weight = tile()
    u = np.random.default_rng(2).normal(size=(2, 3))
    t = 5 * TAU
    report = weigh(circuit, {"u": u}, t)
    unit, scale = circuit.units("a"), G * 0.5 * 0.5
    siemens = G * np.abs(weight) * unit[:, :, None] / 0.3  # (position, out, in)
    rest = u @ weight.T
    mask = circuit.arrays["p"].exists
    assert mask is not None

    def watts(time: float) -> Array:
        x = rest * (1 - np.exp(-time / TAU))
        drive = np.abs(x)[:, None, :] * scale  # A of a device per |x_b|
        heat = sum(float((drive[i, 0] * x[j] ** 2 * unit[j]).sum()) for i in range(2) for j in range(2) if mask[i, j])
        amps = sum(float((drive[i, 0] * np.abs(x[j])).sum()) for i in range(2) for j in range(2) if mask[i, j])
        coupling = float((siemens * (0.3 * u[:, None, :]) ** 2).sum())
        signal = float((siemens * np.abs(0.3 * u[:, None, :])).sum())
        return np.array([heat, amps, coupling, signal, float((G * (unit * x) ** 2).sum())])

    heat, amps, coupling, signal, feedback = quad_vec(watts, 0, t, epsrel=1e-10)[0]
    parts, layers = report.by("part"), report.by("layer")
    assert parts["product"][1] == pytest.approx(heat, rel=1e-6)
    assert parts["product"][0] == pytest.approx(VDD * amps, rel=1e-6)
    assert parts["coupling"][1] == pytest.approx(coupling, rel=1e-6)
    assert parts["coupling"][0] == pytest.approx(VDD * signal, rel=1e-6)
    left = 0.5 * C * float(((unit * rest * (1 - np.exp(-t / TAU))) ** 2).sum())  # ½CV², which the reset discharges
    assert layers["1"][1] == pytest.approx(coupling + feedback + left, rel=1e-6)


def test_meters_agree_with_themselves_point_by_point() -> None:
    """A cell's law as the meter integrates it equals the law evaluated at each point."""
    circuit, _ = tile()
    rng = np.random.default_rng(3)
    x = {name: rng.normal(size=(5, *node.shape)) for name, node in circuit.arrays.items()}
    law = circuit.terms["w"].meter(circuit)
    power = law(x)
    assert power.heat.shape == power.supply.shape == (5,)
    siemens = [circuit.terms["w"].siemens(circuit, p) for p in range(2)]  # type: ignore[attr-defined]
    want = sum((np.abs(siemens[p]) * (0.3 * x["u"][:, p, None, :]) ** 2).sum(axis=(1, 2)) for p in range(2))
    assert power.heat == pytest.approx(want)


def test_feedback_driven_by_another_node_and_by_itself() -> None:
    """At rest: division v = d/γ(s), root v² = d; heat g γ v² in each."""
    circuit = Circuit("feedback")
    circuit.clamp("u", (2, 1))
    circuit.nodes("s", (2, 1), rail=None, feedback=Feedback("s"))
    circuit.nodes("y", (2, 3), rail=None, feedback=Feedback("s"))
    circuit.couple("a", "u", "s", 1.0)
    circuit.bias("d", "y", 0.1)
    u = np.array([[0.09], [0.25]])
    root = np.sqrt(u)
    t = 4 * TAU
    report = weigh(circuit, {"u": u}, t, initial={"s": root, "y": np.broadcast_to(0.1 / root, (2, 3))})
    heat = G * t * ((root**3).sum() + 3 * (0.01 / root).sum())
    assert report.by("part")["feedback"][1] == pytest.approx(heat, rel=1e-6)
    assert report.by("part")["source"][0] == pytest.approx(VDD * G * 0.1 * 6 * t, rel=1e-6)


def test_what_ngspice_confirms_is_what_users_read(tmp_path: Path) -> None:
    """`HeatMeter`, whose joules the cross-check compares with ngspice, and `EnergyMeter` agree part by part."""
    model = load_model(str(write_small(tmp_path)))
    tokens = model.encode(PROMPT)
    circuit = map_model(model, len(tokens))
    energy, heat = EnergyMeter(), HeatMeter()
    transient(circuit, {"embed": model.embed(tokens)}, precision="float64", observers=[energy, heat])
    want: dict[str, float] = {}
    for part, joules in heat.joules.items():
        kind = circuit.terms[part].kind if part in circuit.terms else "feedback"
        want[kind] = want.get(kind, 0.0) + joules
    found = energy.report().by("part")
    assert {"coupling", "product", "feedback"} <= want.keys()
    for kind, joules in want.items():
        assert found[kind][1] == pytest.approx(joules, rel=1e-9, abs=1e-25), kind


def test_tails_are_what_transfer_cells_deliver() -> None:
    """Standing current: the cell's own tail, and the output mirrors, which carry the largest current it delivers."""
    circuit = Circuit("transfers")
    circuit.clamp("u", (2, 3))
    unit = np.array([[0.2, 0.3, 0.3], [0.1, 0.2, 0.4]])
    circuit.nodes("t", (2, 3), unit=unit)
    tanh = circuit.tanh("tanh", "u", "t", gain=1.5, tail_current=2e-6)
    circuit.nodes("p", (2, 3), unit=unit)
    softmax = circuit.add(Softmax("softmax", "p", View("u"), tail_current=3e-6))
    circuit.nodes("r", (2, 3), unit=unit)
    rectifier = circuit.rectify("relu", "u", "r", bias_current=1e-6)
    driven = {"u": np.full((1, 2, 3), 40.0)}  # the pair is on one side
    delivered = G * float((unit * tanh.drive(driven)[0]).sum())
    assert tanh.meter(circuit)(driven).supply == pytest.approx(6 * 2e-6 + delivered)
    assert softmax.meter(circuit)(driven).supply == pytest.approx(2 * 3e-6 + G * (0.3 + 0.4))
    delivered = G * float((unit * rectifier.drive(driven)[0]).sum())
    assert rectifier.meter(circuit)(driven).supply == pytest.approx(6 * 1e-6 + 2 * delivered)  # both branches
    assert rectifier.meter(circuit)({"u": -driven["u"]}).supply == pytest.approx(6e-6)


# --- independence, batches, tables --------------------------------------------------------------------


def test_energy_does_not_depend_on_elements() -> None:
    circuit, _ = tile()
    inputs = {"u": np.random.default_rng(2).normal(size=(2, 3))}
    end = 8 * TAU
    exact = weigh(circuit, inputs, end, tolerance=1e-9)
    for options in ({"elements": np.linspace(0, end, 9)[1:], "points": 7}, {"tolerance": 1e-5}):
        found = weigh(circuit, inputs, end, **options)
        assert found.dissipated == pytest.approx(exact.dissipated, rel=1e-5)
        assert found.total == pytest.approx(exact.total, rel=1e-5)
    single = weigh(circuit, inputs, end, tolerance=1e-4, precision="float32")
    assert single.total == pytest.approx(exact.total, rel=1e-3)


def test_joules_are_the_machines_not_the_solvers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Up to a stated time they depend neither on the solver's windows nor on how long it went on."""
    model = load_model(str(write_small(tmp_path)))
    tokens = model.encode(PROMPT)
    circuit, inputs = map_model(model, len(tokens)), {"embed": model.embed(tokens)}
    ends, found = set(), []
    for window, bits in ((16.0, 8), (16.0, 10), (7.0, 8), (40.0, 8)):
        monkeypatch.setattr("dsmachine.emulator.duration.WINDOW", window)
        meter = EnergyMeter()
        run = transient(circuit, inputs, settle_bits=bits, tolerance=1e-4, observers=[meter])
        if not found:
            assert run.settling_time is not None
            until = float(run.settling_time.max())
        ends.add(meter.duration)
        found.append([meter.report(until=share * until) for share in (1.0, 1.5)])
    assert len(ends) >= 3
    for reports in found:
        for report, want in zip(reports, found[0], strict=True):
            assert report.total == pytest.approx(want.total, rel=1e-3)
            assert annealed(report) == pytest.approx(want.dissipated, rel=1e-3)
            for part, costs in want.by("part").items():
                assert np.ravel(report.by("part")[part]) == pytest.approx(np.ravel(costs), rel=3e-3), part


def test_at_rest_energy_grows_with_power() -> None:
    circuit, _ = tile()
    meter = EnergyMeter()
    transient(
        circuit, {"u": np.ones((2, 3))}, duration=30 * TAU, tolerance=1e-7, precision="float64", observers=[meter]
    )
    told = meter.report(until=45 * TAU, basis="timer time")
    longer = weigh(circuit, {"u": np.ones((2, 3))}, 45 * TAU)
    assert told.duration == pytest.approx(45 * TAU) and "timer time" in str(told)
    assert told.to_json()["until"] == "timer time" and meter.report().basis == "end of the run"
    for part, costs in longer.by("part").items():
        assert np.ravel(told.by("part")[part]) == pytest.approx(np.ravel(costs), rel=1e-6), part
    for until, words in {
        "10n": r"until is '10n': give .* such as run\.settling_time",
        -1e-9: "until is -1e-09: give",
        (1e-9, 2e-9): r"until has shape \(2,\): .*one number or one of each of 1 sample$",
        (float("nan"),): r"until is NaN or infinite at \[0\]: .* of one that has settled",
    }.items():
        with pytest.raises(Error, match=words):
            meter.report(until=until)
    with pytest.raises(Error, match="until is nan"):
        meter.report(until=float("nan"))


def test_samples_are_read_when_the_last_has_settled() -> None:
    circuit, _ = tile()
    u = np.random.default_rng(4).normal(size=(3, 2, 3))
    meter = EnergyMeter()
    run = transient(circuit, {"u": u}, observers=[meter])
    assert run.settling_time is not None
    latest = float(run.settling_time.max())
    assert run.settling_time.shape == (3,) and run.settling_time.min() < latest < run.duration
    report = meter.report(until=run.settling_time, basis="oracle time")
    assert report.duration == latest and meter.report(until=run.settling_time.max(keepdims=True)).duration == latest
    np.testing.assert_array_equal(report.total, meter.report(until=latest).total)
    assert {"stage": "anneal", "basis": "oracle time", "seconds": latest} in report.stages()


def test_batch_gives_each_sample_its_own_joules() -> None:
    circuit, _ = tile()
    u = np.random.default_rng(4).normal(size=(3, 2, 3))
    together = weigh(circuit, {"u": u}, 4 * TAU)
    assert together.total.shape == together.dissipated.shape == (3,)
    for k in range(3):
        alone = weigh(circuit, {"u": u[k]}, 4 * TAU)
        assert together.total[k] == pytest.approx(alone.total[0], rel=1e-6)
