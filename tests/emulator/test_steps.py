"""The noise engine's blocks: as long as they please, and on a GPU's kernels, compiled for the processor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
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
from dsmachine.emulator.errors_by_layer import ErrorByLayer
from dsmachine.emulator.observers import Probe
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.prepare import planned
from dsmachine.emulator.quickest import shortest_time_constant
from dsmachine.emulator.stochastic import Stepper

Array = Any
MODELS: list[dict[str, Any]] = [
    {}, {"softmax": "taylor", "allow_unstable": True}, {"coupling": "passive"}, {"input_resistance": 18.0},
]  # fmt: skip


def stepped(machine: Circuit | Chip, inputs: Mapping[str, Any], noise: Any, **options: Any) -> dict[str, Array]:
    """Full scales of every array at some times, and the meter's rms."""
    circuit = machine.circuit if isinstance(machine, Chip) else machine
    probe = Probe([n for n, node in circuit.arrays.items() if not node.clamped], times=np.linspace(0, 20 * TAU, 33))
    if noise == "off":
        options |= {"method": "stepper", "duration": 20 * TAU}
    else:
        options |= {"noise": noise, "noise_seed": 5, "samples": 3, "read_window": 20 * TAU}
    run = ds.transient(machine, inputs, precision="float64", observers=[probe], **options)
    found = {name: probe.volts(name) / circuit.arrays[name].full_scale for name in probe.index}
    return found | {f"rms of {name}": np.array(rms) for name, rms in run.noise_rms.items()}


def same(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(theirs[name], values, rtol=0, atol=1e-9, err_msg=name)


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Blocks of so many steps, wherever looks and counters begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "sizes", lambda self, count: [min(size, count - k) for k in range(0, count, size)])
        patch.setattr("dsmachine.emulator.run.check_memory", lambda *run: {})  # it would walk these blocks, too
        yield


def small_chip(folder: Path, options: dict[str, Any]) -> tuple[Chip, dict[str, Any]]:
    model = ds.load_model(write_small(folder / "small"))
    machine = ds.fabricate(ds.map_model(model, 4, **options), seed=0, offset=0.01, mismatch=0.02)
    return machine, {"embed": model.embed(model.encode(PROMPT))}


@pytest.mark.parametrize("noise", ["thermal", 0.01, "off"])
@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_systems(system: System, noise: Any, fused: Any) -> None:
    """Roots, rails, cycles, passive load, pace: blocks of many steps, of one, and by the kernels."""
    options = {"initial": system.initial}
    many = stepped(system.circuit, system.inputs, noise, **options)
    with blocks_of(1):
        same(many, stepped(system.circuit, system.inputs, noise, **options))
    fused()
    same(many, stepped(system.circuit, system.inputs, noise, **options))


@pytest.mark.parametrize("options", MODELS, ids=["translinear", "taylor", "passive", "loaded"])
@pytest.mark.parametrize("noise", ["thermal", 0.01])
def test_models(options: dict[str, Any], noise: Any, tmp_path: Path, fused: Any) -> None:
    """Offsets, masks, tails, division, a time constant of each node's own, conductances that move."""
    machine, inputs = small_chip(tmp_path, options)
    many = stepped(machine, inputs, noise)
    with blocks_of(1):
        same(many, stepped(machine, inputs, noise))
    fused()
    same(many, stepped(machine, inputs, noise))
    with blocks_of(11):
        same(many, stepped(machine, inputs, noise))


def test_rows_that_lie_apart(tmp_path: Path, fused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of currents whose rows a product has laid further apart than they are long are read where they lie."""
    machine, inputs = small_chip(tmp_path, {})
    fused()
    known = stepped(machine, inputs, "thermal")

    def apart(a: Array, b: Array) -> Array:
        wide = np.full((len(a), b.shape[1] + 3), np.nan)
        wide[:, : b.shape[1]] = np.matmul(a, b)
        return wide[:, : b.shape[1]]

    monkeypatch.setattr(import_module("dsmachine.circuits.cells.coupling"), "matmul", apart)
    same(known, stepped(machine, inputs, "thermal"))


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_quickest_node(system: System, fused: Any) -> None:
    """The same time constant by the kernels, at the operating point and elsewhere."""
    still = {name: value for name, value in system.inputs.items() if not hasattr(value, "at")}
    if len(still) < len(system.inputs):
        pytest.skip("its inputs move")
    values = [solve_operating_point(planned(system.circuit, "float64", None), still)]
    values.append({name: 0.7 * value for name, value in values[0].items()})
    found = [shortest_time_constant(planned(system.circuit, "float64", None), x) for x in values]
    fused()
    plan = planned(system.circuit, "float64", None)
    assert [shortest_time_constant(plan, x) for x in values] == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("noise", ["thermal", "off"])
def test_observers_see_the_same_in_blocks(noise: Any, tmp_path: Path) -> None:
    """Joules, errors by layer, waveforms and settling times do not depend on how many steps are shown together."""
    machine, inputs = small_chip(tmp_path, {})
    many = observed(machine, inputs, noise)
    with blocks_of(1):
        same(many, observed(machine, inputs, noise))


def observed(machine: Chip, inputs: Mapping[str, Any], noise: Any) -> dict[str, Array]:
    meter, errors = ds.EnergyMeter(), ErrorByLayer()
    probe = ds.Probe(["logits"], times=np.linspace(0, 30 * TAU, 50))
    options: dict[str, Any] = {"method": "stepper"} if noise == "off" else {"noise": noise, "read_window": 30 * TAU}
    run = ds.transient(machine, inputs, precision="float64", observers=[meter, errors, probe], **options)
    found = {name: trace.values for name, trace in errors.traces().items()}
    found |= {"joules": np.array(meter.report().total * 1e9), "logits": probe.volts("logits")}
    return found if noise != "off" else found | {"settled": np.asarray(run.settling_time) * 1e9}
