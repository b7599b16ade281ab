"""The GPU's meter, its kernels compiled for the processor, against the processor's own on the same runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cell_circuits
import numpy as np
import pytest
from energy_circuits import TAU, tile
from small_models import PROMPT, write_small

import dsmachine as ds
from dsmachine.emulator.collocation import Collocation
from dsmachine.emulator.observers import Element
from dsmachine.energy.fused import FusedTally
from dsmachine.energy.integrals import Tally
from dsmachine.energy.report import EnergyReport

Array = Any


def weighed(machine: Any, inputs: dict[str, Array], **options: Any) -> EnergyReport:
    meter = ds.EnergyMeter()
    ds.transient(machine, inputs, observers=[meter], **options)
    return meter.report()


def same(one: EnergyReport, other: EnergyReport, rel: float) -> None:
    for part, costs in one.by("part").items():
        assert np.ravel(other.by("part")[part]) == pytest.approx(np.ravel(costs), rel=rel), part
    assert other.delivered == pytest.approx(one.delivered, rel=rel, abs=1e-25)
    assert other.stored_before == pytest.approx(one.stored_before, rel=rel)
    assert other.stored_after == pytest.approx(one.stored_after, rel=rel)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("chip", [{}, {"mismatch": 0.05, "offset": 0.01}], ids=["ideal", "chip"])
@pytest.mark.parametrize(
    "options",
    [{}, {"softmax": "taylor", "allow_unstable": True}, {"coupling": "passive"}],
    ids=["translinear", "taylor", "passive"],
)
def test_same_joules_of_a_model(
    options: dict[str, Any], chip: dict[str, Any], precision: str, fused: Any, tmp_path: Path
) -> None:
    model = ds.load_model(write_small(tmp_path / "small"))
    circuit = ds.map_model(model, 4, **options)
    machine = ds.fabricate(circuit, seed=0, **chip) if chip else circuit
    batch = [model.encode(PROMPT), model.encode(PROMPT)[::-1]]
    run: dict[str, Any] = {"elements": np.linspace(0, 40 * TAU, 21)[1:], "points": 6, "precision": precision}
    inputs = {"embed": np.stack([model.embed(ids) for ids in batch])}
    ours = weighed(machine, inputs, **run)
    fused()
    same(ours, weighed(machine, inputs, **run), 1e-9 if precision == "float64" else 1e-4)


@pytest.mark.parametrize("case", list(cell_circuits.CASES))
def test_same_joules_of_every_cell(case: str, fused: Any) -> None:
    circuit, inputs = cell_circuits.CASES[case]()
    run: dict[str, Any] = {"duration": 20 * TAU, "settle_bits": 0, "tolerance": 1e-4, "precision": "float64"}
    ours = weighed(circuit, inputs, **run)
    fused()
    same(ours, weighed(circuit, inputs, **run), 1e-6)


def test_a_meter_weighs_run_after_run_of_one_plan(fused: Any) -> None:
    """What it worked out stays, what it weighed does not."""
    circuit, _ = tile()
    rng = np.random.default_rng(0)
    fused()
    plan, meter = ds.prepare(circuit, precision="float64"), ds.EnergyMeter()
    state: Any = None
    for _ in range(3):
        inputs = {"u": rng.normal(size=(2, 3))}
        ds.transient(plan, inputs, duration=9 * TAU, tolerance=1e-5, observers=[meter])
        state = meter.state if state is None else state
        assert meter.state is state
        alone = weighed(circuit, inputs, duration=9 * TAU, tolerance=1e-5, precision="float64")
        same(alone, meter.report(), 1e-12)
    ds.transient(circuit, {"u": np.zeros((3, 2, 3))}, duration=TAU, observers=[meter])
    assert meter.state is not state and meter.report().total.shape == (3,)


def test_steps_in_a_row_are_elements_of_one_point(fused: Any) -> None:
    """∫ by the right end of each step, and every step's way counts."""
    circuit, _ = tile()
    plan = ds.prepare(circuit, precision="float64")
    rng = np.random.default_rng(1)
    x = {name: rng.normal(size=(5, 2, *node.shape)) for name, node in circuit.arrays.items()}
    group = plan.groups[0]
    begun = {stage.name: rng.normal(size=x[stage.name].shape[1:]) for stage in plan.stages}
    initial = {stage.name: begun[stage.name] for stage in group.stages}
    times, radau = TAU * np.arange(1, 6), Collocation(plan.backend, 1)
    steps = Element(group, 0.0, 5 * TAU, times, x, initial, radau, count=5, ends=True)
    for kind in (Tally, FusedTally):
        if kind is FusedTally:
            fused()
        tally = kind(plan, 2)
        tally.restart(begun)
        tally.element(steps)
        sums = tally.sums(5 * TAU, 5 * TAU)
        for name, start in initial.items():
            way = np.abs(np.diff(np.concatenate([start[None], x[name]]), axis=0)).sum(axis=0)
            assert sums.travel[name] == pytest.approx(way)
            assert sums.square[name] == pytest.approx(TAU * (x[name] ** 2).sum(axis=0))
            assert sums.magnitude[name] == pytest.approx(TAU * abs(x[name]).sum(axis=0))
            assert np.array_equal(sums.last[name], x[name][-1]) and np.array_equal(sums.start[name], start)
