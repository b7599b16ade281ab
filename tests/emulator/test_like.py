"""Chip after chip of one circuit on a device: what both have stays there, and what comes out is the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_models import DEEP, PROMPT, write_small

import dsmachine as ds
from dsmachine.emulator.learning import Learner
from dsmachine.emulator.optimizers import Sgd

Array = Any


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[ds.Circuit, dict[str, Array]]:
    model = ds.load_model(write_small(tmp_path_factory.mktemp("deep"), config=DEEP))
    return ds.map_model(model, 4), {"embed": model.embed(model.encode(PROMPT))}


@pytest.mark.parametrize("spread", [{"offset": 0.001}, {"mismatch": 0.01, "offset": 0.001}])
def test_runs_are_those_of_a_chip_alone(machine: Any, spread: dict[str, float], monkeypatch: Any) -> None:
    circuit, inputs = machine
    plan = ds.prepare(ds.fabricate(circuit, seed=0, **spread))
    first = ds.transient(plan, inputs)
    for seed in (1, 2):
        chip = ds.fabricate(circuit, seed=seed, **spread)
        alone = ds.transient(chip, inputs)
        monkeypatch.setattr("dsmachine.emulator.prepare.needed", None)  # it is not asked for again
        plan = ds.prepare(chip, like=plan)
        run = ds.transient(plan, inputs)
        monkeypatch.undo()
        for name, volts in alone.outputs.items():
            assert np.array_equal(run.outputs[name], volts)
            assert not np.array_equal(run.outputs[name], first.outputs[name])
        assert run.statistics["predicted_bytes"] == alone.statistics["predicted_bytes"]


def test_what_both_have_is_there_once(machine: Any) -> None:
    """Weights are the same arrays on chips whose nodes are off, and others on chips whose couplings are."""
    circuit, _ = machine
    ideal = ds.prepare(circuit)
    weight = circuit.terms["h.0.mlp.c_fc"].weight
    chips = (ds.fabricate(circuit, **spread) for spread in ({"offset": 0.1}, {"mismatch": 0.1}))
    off, other = (ds.prepare(chip, like=ideal) for chip in chips)
    assert off.brought[id(weight)][1] is ideal.brought[id(weight)][1]
    assert id(weight) not in other.brought
    assert off.needs is not ideal.needs  # offsets take memory


def test_longer_time_constants_are_other_memory(machine: Any) -> None:
    """A window is as long as they are, and what is taken in it depends on that."""
    circuit, inputs = machine
    slow = circuit.with_terms(
        (), [replace(node, capacitance=10 * node.capacitance) for node in circuit.arrays.values()]
    )
    plan, options = ds.prepare(circuit), {"duration": 3e-7, "settle_bits": 0}
    ds.transient(plan, inputs, **options)
    found = [ds.transient(each, inputs, **options) for each in (slow, ds.prepare(slow, like=plan))]
    assert found[0].statistics["predicted_bytes"] == found[1].statistics["predicted_bytes"]


def test_a_machine_that_learns_keeps_its_weights_to_itself(machine: Any) -> None:
    circuit, _ = machine
    chip = ds.fabricate(circuit)
    assert ds.prepare(chip).brought
    assert not Learner(circuit, chip, ds.load_technology(), Sgd(0.01)).plan.brought


def test_errors(machine: Any) -> None:
    circuit, _ = machine
    plan = ds.prepare(circuit)
    other = ds.Circuit("other")
    other.nodes("s", (2,))
    for wanted, options in (
        ("like is 'plan': give what prepare returned", {"like": "plan"}),
        ("device 'cupy' is not what the machine was prepared for, 'numpy'", {"like": plan, "device": "cupy"}),
        ("precision 'float64' is not what", {"like": plan, "precision": "float64"}),
        ("like is for machines that one device holds", {"like": plan, "stream": True}),
        ("like is for machines that one device holds", {"like": ds.prepare(circuit, device=["numpy", "numpy"])}),
        (
            r"like has other arrays than 'deep0' \(s of shape \(2,\)\): give a plan of the same",
            {"like": ds.prepare(other)},
        ),
    ):
        with pytest.raises(ds.Error, match=wanted):
            ds.prepare(circuit, **options)  # type: ignore[arg-type]
