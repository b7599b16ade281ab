"""The GPU's solver, its kernels compiled for the processor, against the processor's own on the same elements."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import PROMPT, write_small
from systems.known import SYSTEMS
from systems.system import TAU, System

import dsmachine as ds
from dsmachine.circuits.chip import Chip
from dsmachine.circuits.circuit import Circuit
from dsmachine.emulator.fused import FusedSolver
from dsmachine.emulator.inputs import checked_inputs
from dsmachine.emulator.kernels import apart
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.transient import March

Array = Any


def marched(machine: Circuit | Chip, inputs: Mapping[str, Any], **options: Any) -> tuple[dict[str, Array], ds.Run]:
    circuit = machine.circuit if isinstance(machine, Chip) else machine
    probe = Probe([n for n, node in circuit.arrays.items() if not node.clamped])
    run = ds.transient(machine, inputs, precision="float64", observers=[probe], **options)
    return {name: probe.volts(name) / circuit.arrays[name].full_scale for name in probe.index}, run


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
@pytest.mark.parametrize("points", [4, 6])
def test_same_polynomials(system: System, points: int, fused: Any) -> None:
    corners = [v.breakpoints for v in system.inputs.values() if hasattr(v, "breakpoints")]
    edges = np.unique(np.concatenate([np.linspace(0, min(system.duration, 40 * TAU), 41)[1:], *corners]))
    options = {"elements": edges[edges > 0], "points": points, "initial": system.initial, "settle_bits": 0}
    ours, _ = marched(system.circuit, system.inputs, **options)
    fused()
    theirs, _ = marched(system.circuit, system.inputs, **options)
    for name, values in ours.items():
        np.testing.assert_allclose(theirs[name], values, rtol=0, atol=2e-9, err_msg=name, equal_nan=False)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"softmax": "taylor", "allow_unstable": True},
        {"coupling": "passive"},
        {"input_resistance": 18.0},
        {"technology": ds.load_technology(overrides={"conveyor.current_gain": 0.95, "buffer.gain": 0.97})},
    ],
    ids=["translinear", "taylor", "passive", "loaded", "followers"],
)
def test_same_model(options: dict[str, Any], fused: Any, tmp_path: Path) -> None:
    """Offsets, a time constant of each node's own, tails, division, and the same elements by error control."""
    model = ds.load_model(write_small(tmp_path / "small"))
    machine = ds.fabricate(ds.map_model(model, 4, **options), seed=0, offset=0.01)
    inputs = {"embed": model.embed(model.encode(PROMPT))}
    ours, run = marched(machine, inputs, tolerance=1e-4)
    fused()
    theirs, again = marched(machine, inputs, tolerance=1e-4)
    assert again.statistics["elements"] == run.statistics["elements"]
    assert again.settling_time == pytest.approx(run.settling_time, rel=1e-6)
    for name, values in ours.items():
        np.testing.assert_allclose(theirs[name], values, rtol=0, atol=1e-7, err_msg=name, equal_nan=False)


def test_errors_are_of_the_batch_they_were_made_with(fused: Any, tmp_path: Path) -> None:
    """A replay looks at its error squares after other runs of the plan, of other batches."""
    model = ds.load_model(write_small(tmp_path / "small"))
    circuit, one = ds.map_model(model, 4), model.embed(model.encode(PROMPT))
    fused()
    plan = ds.prepare(circuit, precision="float64")
    values = checked_inputs(circuit, plan.backend, {"embed": one})
    march = March(plan, values, starts(plan, 1), points=6, tolerance=1e-3, first_element=8.0, observers=[])
    march.window(0.0, 8 * TAU)
    _, found = march.follow(march.taken)[0]
    assert isinstance(march.solver, FusedSolver)
    found.fetch()
    before = found.worst
    ds.transient(plan, {"embed": np.stack([one] * 3)}, duration=4 * TAU, settle_bits=0)
    found.fetch()
    assert np.array_equal(found.worst, before)


def test_a_full_scale_that_columns_share(fused: Any) -> None:
    """Given as (width,) it is every position's."""
    circuit = Circuit("columns")
    circuit.clamp("u", (5, 3))
    circuit.nodes("v", (5, 3), full_scale=np.array([0.1, 0.3, 2.0]))
    circuit.couple("w", "u", "v", 1.0)
    inputs = {"u": np.random.default_rng(0).uniform(-0.3, 0.3, (5, 3))}
    ours = ds.transient(circuit, inputs, precision="float64")
    fused()
    theirs = ds.transient(circuit, inputs, precision="float64")
    assert theirs.settling_time == pytest.approx(ours.settling_time, rel=1e-6)


def starts(plan: Plan, batch: int) -> dict[str, Array]:
    return {stage.name: np.zeros((batch, *stage.node.shape)) for stage in plan.stages}


def test_a_run_can_be_sent_to_another_process() -> None:
    circuit = SYSTEMS[0].circuit
    run = ds.transient(circuit, SYSTEMS[0].inputs, duration=4 * TAU, settle_bits=0, initial=SYSTEMS[0].initial)
    again = pickle.loads(pickle.dumps(run))
    assert all(np.array_equal(again.outputs[name], volts) for name, volts in run.outputs.items())


def test_rows_that_lie_apart() -> None:
    """Which they are: not those one after another, nor of heads, nor of what is spread or turned."""
    wide = np.zeros((3, 4, 7), np.float32)
    assert apart(wide[..., :5]) == 7
    assert apart(wide[:1, :, :5]) == 7
    assert apart(wide[0, :, :5]) == 7
    for other in (wide, wide[:, :2, :5], wide.swapaxes(1, 2), np.broadcast_to(wide[0, 0], (3, 4, 7)), wide[0, 0, :5]):
        assert apart(other) is None
