"""One machine over several devices, which are threads here: the same numbers as on one, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from host_kernels import HostKernel
from small_models import DEEP, PROMPT, write_small
from systems.system import TAU

import dsmachine as ds
from dsmachine.circuits.chip import Chip
from dsmachine.emulator import kernels
from dsmachine.emulator import plan as plans
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.observers import Element, Probe
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.share import dealt
from dsmachine.emulator.transient import March

Array = Any
Given = tuple[Chip, dict[str, Array]]


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """A chip of four layers and a head, and windows so short that it takes several to settle."""
    monkeypatch.setattr(Backend, "longer", 0)
    monkeypatch.setattr(plans, "STREAMED", 2)
    model = ds.load_model(write_small(tmp_path / "deep", config=DEEP))
    chip = ds.fabricate(ds.map_model(model, 4), seed=0, mismatch=0.01, offset=0.001)
    return chip, {"embed": model.embed(model.encode(PROMPT))}


def pair(machine: Any, count: int, **options: Any) -> tuple[Plan, Plan]:
    """A machine on one device, with the windows of several; on several."""
    several = ds.prepare(machine, device=["numpy"] * count, **options)
    return replace(ds.prepare(machine, **options), first=several.first, growth=several.growth), several


class Witness:
    """Notes what an observer is told, and by whom."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.threads: set[int] = set()

    def begin(self, plan: Plan, start: Mapping[str, Array]) -> None:
        self.told.append(("begin", sorted(start)))
        self.needs = plan.circuit.all_needs()

    def element(self, element: Element) -> None:
        own = [stage.name for stage in element.group.stages]
        reads = sorted(set(own).union(*(self.needs[name] for name in own)))
        sums = [float(element.values[name].sum()) for name in reads]
        self.told.append((own, element.start, element.length, element.ends, sums))
        self.threads.add(threading.get_ident())

    def window(self, time: float) -> None:
        self.told.append(("window", time))


def observed(plan: Plan, inputs: Mapping[str, Array], **options: Any) -> tuple[ds.Run, Probe, Any, Witness]:
    meter, witness = ds.EnergyMeter(), Witness()
    probe = Probe([n for n, node in plan.circuit.arrays.items() if not node.clamped])
    run = ds.transient(plan, inputs, observers=[probe, meter, witness], **options)
    return run, probe, meter, witness


@pytest.mark.parametrize("count", [2, 3, 4, 9])
@pytest.mark.parametrize("stream", [False, True])
def test_same_numbers(chip: Given, count: int, stream: bool) -> None:
    """Outputs, settling, costs, waveforms and joules; windows beyond the one at which it settles leave no trace."""
    machine, inputs = chip
    one, several = pair(machine, count, stream=stream)
    ours, theirs = observed(one, inputs), observed(several, inputs)
    assert 2 <= len(several.parts) <= count
    for name, volts in ours[0].outputs.items():
        assert np.array_equal(theirs[0].outputs[name], volts), name
        assert np.array_equal(theirs[1].volts(name), ours[1].volts(name)), name
    assert np.array_equal(theirs[0].settling_time, ours[0].settling_time)
    assert theirs[0].by_array == ours[0].by_array
    assert theirs[0].duration == ours[0].duration
    costs = ("elements", "points", "rejected", "sweeps", "by_layer")
    assert [theirs[0].statistics[key] for key in costs] == [ours[0].statistics[key] for key in costs]
    assert theirs[2].report().total == ours[2].report().total


def test_observers_are_told_in_order_by_one_thread(chip: Given) -> None:
    machine, inputs = chip
    ours, theirs = (observed(plan, inputs)[3] for plan in pair(machine, 3))
    assert len(theirs.threads) == 1
    assert theirs.told == ours.told


@pytest.mark.parametrize("options", [{"duration": 40 * TAU}, {"elements": np.linspace(0, 60 * TAU, 31)[1:]}], ids=str)
def test_other_runs(chip: Given, options: dict[str, Any]) -> None:
    machine, inputs = chip
    batch = {"embed": np.stack([inputs["embed"], np.roll(inputs["embed"], 1, axis=0)])}
    ours, theirs = (
        observed(plan, batch, settle_bits=0, **options)[0] for plan in pair(machine, 2, precision="float64")
    )
    assert theirs.duration == ours.duration
    assert all(np.array_equal(theirs.outputs[name], volts) for name, volts in ours.outputs.items())


def test_operating_point(chip: Given) -> None:
    machine, inputs = chip
    ours, theirs = (ds.operating_point(machine, inputs, device=device) for device in ("numpy", ["numpy", "numpy"]))
    assert theirs.saturated == ours.saturated
    assert all(np.array_equal(theirs.outputs[name], volts) for name, volts in ours.outputs.items())


def test_windows_overlap(chip: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first device marches a window while the second is still busy with the one before."""
    machine, inputs = chip
    plan, window = ds.prepare(machine, device=["numpy", "numpy"]), March.window
    begun = threading.Event()

    def slow(march: March, begin: float, length: float, *given: Any) -> None:
        if march.plan is plan.parts[0] and begin > 0:
            begun.set()
        if march.plan is plan.parts[1] and begin == 0:
            assert begun.wait(20)
        window(march, begin, length, *given)

    monkeypatch.setattr(March, "window", slow)
    assert ds.transient(plan, inputs).settled


@pytest.mark.parametrize("place", [0, 1])
def test_what_fails_on_a_device_fails(chip: Given, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, inputs = chip
    plan, window = ds.prepare(machine, device=["numpy", "numpy"]), March.window

    def failing(march: March, begin: float, length: float, *given: Any) -> None:
        if march.plan is plan.parts[place] and begin > 0:
            raise ds.Error("the second window is bad")
        window(march, begin, length, *given)

    with monkeypatch.context() as patch:
        patch.setattr(March, "window", failing)
        with pytest.raises(ds.Error, match="second window"):
            ds.transient(plan, inputs)
    assert ds.transient(plan, inputs).settled  # the threads are free again


def test_same_kernels(chip: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's solver, which watches settling in its kernels; its kernels on the processor."""
    machine, inputs = chip
    monkeypatch.setattr(Backend, "fused", property(lambda self: True))
    monkeypatch.setattr(kernels, "compiled", HostKernel)
    ours, theirs, streamed = (
        ds.transient(plan, inputs, tolerance=1e-3) for plan in (*pair(machine, 2), ds.prepare(machine, stream=True))
    )
    assert np.array_equal(theirs.settling_time, ours.settling_time)
    assert streamed.settling_time == pytest.approx(ours.settling_time, rel=0.05)
    assert all(np.array_equal(theirs.outputs[name], volts) for name, volts in ours.outputs.items())


def test_shares() -> None:
    def shares(costs: list[float], count: int) -> list[list[float]]:
        return [costs[share] for share in dealt(costs, count)]

    assert shares([1, 1, 1, 1], 2) == [[1, 1], [1, 1]]
    assert shares([1, 1, 1, 5], 2) == [[1, 1, 1], [5]]
    assert shares([5, 1, 1, 1, 1, 1], 3) == [[5], [1, 1], [1, 1, 1]]
    assert shares([2, 3], 4) == [[2], [3]]


def test_what_cannot_be_shared(chip: Given) -> None:
    machine, inputs = chip
    plan = ds.prepare(machine, device=["numpy", "numpy"])
    with pytest.raises(ds.Error, match="noise engine runs on one device"):
        ds.transient(plan, inputs, noise="thermal")
    with pytest.raises(ds.Error, match="checkpoints are of runs on one device"):
        ds.transient(plan, inputs, checkpoint="run.h5")
    with pytest.raises(ds.Error, match="prepare it again"):
        ds.transient(plan, inputs, device="numpy")
    with pytest.raises(ds.Error, match="empty list"):
        ds.prepare(machine, device=[])
    with pytest.raises(ds.Error, match="cupy:1 is a GPU by its number"):
        ds.prepare(machine, device=["numpy", "gpu"])
