"""Every solver on every system with a known answer."""

import numpy as np
import pytest
from systems import everything as small
from systems.everything import everything
from systems.known import SYSTEMS
from systems.lags import lags, late_front
from systems.rc import rc
from systems.ring import ring
from systems.root import HELD, WAIT, waiting_root
from systems.system import FULL_SCALE, TAU, System

from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.run import operating_point, transient

each_system = pytest.mark.parametrize("system", SYSTEMS, ids=str)


@each_system
@pytest.mark.parametrize("tolerance", [1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
def test_adaptive_elements_keep_their_word(system: System, tolerance: float) -> None:
    errors, _ = system.errors(tolerance=tolerance)
    assert max(errors.values()) < 10 * tolerance, errors


@each_system
def test_stepper(system: System) -> None:
    errors, _ = system.errors(method="stepper", step=1 / 4 if len(system.circuit.arrays) > 20 else 1 / 8)
    assert max(errors.values()) < system.stepper, errors


@pytest.mark.parametrize("system", [lags(5), ring(), everything()], ids=str)
def test_stepper_is_of_second_order(system: System) -> None:
    coarse, fine = (max(system.errors(method="stepper", step=s)[0].values()) for s in (1 / 8, 1 / 16))
    assert 3.3 < coarse / fine < 4.7


@each_system
def test_operating_point_is_where_it_ends(system: System) -> None:
    run = operating_point(system.circuit, system.inputs)
    for name, volts in system.sampled()[1].items():
        assert run.outputs[name].reshape(-1) == pytest.approx(volts[-1].reshape(-1), abs=1e-6), name


@pytest.mark.parametrize("points", [2, 3, 4])
def test_fixed_elements_show_their_order(points: int) -> None:
    """Order p inside an element, 2p − 1 at its end (Hairer & Wanner IV.5), the whole cascade included."""
    system = lags(5)
    inside, ends = [], []
    for count in (40, 80):
        edges = np.linspace(0, system.duration, count + 1)[1:]
        inside.append(max(system.errors(elements=edges, points=points)[0].values()))
        ends.append(max(system.errors(count + 1, elements=edges, points=points)[0].values()))
    assert np.log2(inside[0] / inside[1]) > points
    assert np.log2(ends[0] / ends[1]) > 2 * points - 1 - 0.4


def test_against_scipy_radau_on_every_kind_of_cell() -> None:
    errors, run = everything().errors(tolerance=1e-6)
    assert max(errors.values()) < 1e-5, errors
    assert run.settled


def test_rail_is_hit_hard_on_the_way_and_not_at_rest() -> None:
    probe = Probe(["z"], density=16)
    run = transient(small.circuit(), everything().inputs, observers=[probe], precision="float64")
    assert 0.95 * small.RAIL < np.abs(probe.volts("z")).max() <= small.RAIL
    assert run.saturated == {}


def test_kirchhoff() -> None:
    """Σ currents = C dv/dt at every node and any time, from the dense polynomials; currents written out by hand."""
    system = everything()
    rng = np.random.default_rng(0)
    smooth = rng.uniform(0.6, 5.9, 100)  # between the corners of u
    middle, delta = np.sort(smooth) * TAU, 1e-3 * TAU
    times = (middle[:, None] + delta * np.array([-1, 0, 1])).reshape(-1)
    order = np.argsort(times)
    probe = Probe(list(small.NODES), times=times[order])
    transient(system.circuit, system.inputs, duration=8 * TAU, tolerance=1e-8, observers=[probe], precision="float64")
    volts = np.concatenate([probe.volts(n)[:, 0].reshape(len(times), -1) for n in small.NODES], axis=1)
    before, at, after = volts[np.argsort(order)].reshape(-1, 3, volts.shape[1]).transpose(1, 0, 2)
    u = system.inputs["u"].at(middle)
    charging = (after - before) / (2 * delta) * TAU
    flowing = np.stack([small.slope(one, v) for one, v in zip(u, at, strict=True)])
    assert np.sqrt(((charging - flowing) ** 2).mean()) < 1e-4 * FULL_SCALE


def test_a_late_front_is_waited_for() -> None:
    """Between 10 τ and 55 τ nothing moves near the end of the chain; settled is what the closed form says."""
    system = late_front()
    run = transient(system.circuit, system.inputs, precision="float64", settle_bits=8)
    t = np.linspace(0, 200 * TAU, 40001)
    rest = operating_point(system.circuit, system.inputs).outputs
    outside = np.zeros(len(t), bool)
    for name, volts in system.exact(t).items():
        outside |= (np.abs(volts - rest[name][0]) > 2.0**-8 * FULL_SCALE)[:, 0]
    expected = t[np.flatnonzero(outside)[-1]]
    assert run.settling_time == pytest.approx(expected, rel=5e-3)
    assert expected > 60 * TAU


@pytest.mark.parametrize(("method", "within"), [("elements", 0.05), ("stepper", 0.25)])
def test_settling_time_of_one_rc(method: str, within: float) -> None:
    """To a fraction of a collocation gap, and to one step of the stepper."""
    system = rc()
    run = transient(system.circuit, system.inputs, precision="float64", settle_bits=8, method=method)
    assert run.settling_time == pytest.approx(TAU * np.log(0.9 * 2**8), abs=within * TAU)


@pytest.mark.parametrize("method", ["elements", "stepper"])
def test_a_root_that_waited_recovers(method: str) -> None:
    system = waiting_root()
    probe = Probe(["s"], times=np.array([WAIT * 0.999, system.duration]))
    transient(
        system.circuit, system.inputs, duration=system.duration, observers=[probe], precision="float64", method=method
    )
    waiting, after = probe.volts("s")[:, 0, 0]
    assert waiting > HELD / 0.02
    assert after == pytest.approx(0.3, abs=1e-6)


def test_clamped_batches_solve_side_by_side() -> None:
    circuit = Circuit("two")
    circuit.clamp("u", (2,))
    circuit.nodes("v", (2,))
    circuit.couple("w", "u", "v", np.array([[0.5, 0.2], [0.1, -0.4]]))
    u = np.array([[0.1, 0.2], [0.3, -0.1], [0.0, 0.3]])
    together = transient(circuit, {"u": u}, precision="float64", duration=3 * TAU).outputs["v"]
    for k in range(3):
        alone = transient(circuit, {"u": u[k]}, precision="float64", duration=3 * TAU).outputs["v"]
        assert together[k] == pytest.approx(alone[0], abs=1e-9)
