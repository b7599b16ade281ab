"""Weights that pass by: the same numbers as when they stay, and no more than two groups' on the device at a time."""

from __future__ import annotations

import ctypes
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_models import DEEP, PROMPT, write_small
from systems.known import SYSTEMS
from systems.system import TAU

import dsmachine as ds
from dsmachine.circuits.cells import Coupling
from dsmachine.circuits.chip import Chip
from dsmachine.emulator import store
from dsmachine.emulator.inputs import checked_inputs
from dsmachine.emulator.plan import Plan
from dsmachine.emulator.store import DeviceRoom, Room
from dsmachine.emulator.transient import March

Array = Any


@pytest.fixture
def chip(tmp_path: Path) -> tuple[Chip, dict[str, Array]]:
    model = ds.load_model(write_small(tmp_path / "deep", config=DEEP))
    chip = ds.fabricate(ds.map_model(model, 4), seed=0, mismatch=0.01, offset=0.001)
    return chip, {"embed": model.embed(model.encode(PROMPT))}


def marched(plan: Plan, inputs: dict[str, Array], count: int) -> tuple[dict[str, Array], March]:
    """Where `count` windows lead; of a length that does not depend on where weights are."""
    start = {stage.name: np.zeros((1, *stage.node.shape), plan.backend.dtype) for stage in plan.stages}
    values = checked_inputs(plan.circuit, plan.backend, inputs)
    march = March(plan, values, start, points=6, tolerance=1e-3, first_element=8.0, observers=[])
    march.stretch_to(8)
    for k in range(count):
        march.window(64 * TAU * k, 64 * TAU)
    return march.x, march


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_same_numbers(chip: tuple[Chip, dict[str, Array]], precision: str) -> None:
    machine, inputs = chip
    stays, passes = (ds.prepare(machine, precision=precision, stream=stream) for stream in (False, True))
    ours, march = marched(stays, inputs, 3)
    theirs, again = marched(passes, inputs, 3)
    assert again.counts == march.counts
    assert all(np.array_equal(theirs[name], ours[name]) for name in ours)


def test_two_at_a_time(chip: tuple[Chip, dict[str, Array]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every group's block is brought once a window, into a room that the one before has left; never into a third."""
    machine, inputs = chip
    rooms: dict[Room, list[str]] = {}
    for what in ("fill", "wait", "leave"):
        before = getattr(Room, what)

        def noted(room: Room, *block: Array, what: str = what, before: Any = before) -> None:
            rooms.setdefault(room, []).append(what)
            before(room, *block)

        monkeypatch.setattr(Room, what, noted)
    plan = ds.prepare(machine, stream=True)
    assert plan.store
    blocks = plan.store.blocks
    assert blocks > 2  # or all of them would stay
    marched(plan, inputs, 5)
    assert len(rooms) == 2
    for history in rooms.values():
        assert all(after == "leave" for now, after in pairwise(history) if now == "wait")
        assert all(after == "wait" for now, after in pairwise(history) if now == "fill")
    assert plan.store.loads == 5 * blocks + (blocks % 2 == 0)  # of an even number the first is on its way again
    host, device = plan.store.nbytes
    cells = machine.circuit.terms.values()
    dense = [cell.weight for cell in cells if isinstance(cell, Coupling) and not cell.elementwise]
    assert host >= 4 * sum(weight.size for weight in dense if min(weight.shape) > 1)
    assert device < 0.8 * host


def test_an_operating_point_brings_each_block_once(chip: tuple[Chip, dict[str, Array]]) -> None:
    """Nodes on their rails are counted as they come to rest: weights do not pass by again for that."""
    machine, inputs = chip
    plan = ds.prepare(machine, stream=True)
    assert plan.store
    blocks = plan.store.blocks
    ds.operating_point(plan, inputs)
    assert plan.store.loads == blocks + (blocks % 2 == 0)  # of an even number the first is on its way again


class Copier:
    """A GPU's stream that copies: at once, or as late as it may."""

    prompt = True

    def __init__(self, **options: Any) -> None:
        self.waiting: list[Any] = []

    def wait_event(self, event: Event) -> None:
        assert event.recorded, "nothing to wait for"
        self.ask(lambda: None)

    def ask(self, task: Any) -> None:
        self.waiting.append(task)
        if self.prompt:
            self.catch_up()

    def catch_up(self) -> None:
        for task in self.waiting:
            task()
        self.waiting.clear()


class Present:
    """The stream that computes: at once."""

    def wait_event(self, event: Event) -> None:
        event.of.catch_up()


class Event:
    def __init__(self, **options: Any) -> None:
        self.recorded = 0

    def record(self, stream: Any) -> None:
        self.of, self.recorded = stream, self.recorded + 1


class Memory(np.ndarray[Any, Any]):
    """A GPU's array, as far as its memory is written to."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(copy_from_host_async=self.copy_in)

    def copy_in(self, source: int, size: int, stream: Copier) -> None:
        stream.ask(lambda: ctypes.memmove(self.ctypes.data, source, size))


class Elsewhere(DeviceRoom):
    """The room of a GPU, whose streams are these."""

    def __init__(self, backend: Any, size: int) -> None:
        cuda = SimpleNamespace(Stream=Copier, Event=Event, get_current_stream=lambda: PRESENT)
        xp = SimpleNamespace(cuda=cuda, empty=lambda *shape: np.empty(*shape).view(Memory))
        super().__init__(SimpleNamespace(xp=xp, dtype=backend.dtype), size)  # type: ignore[arg-type]


PRESENT = Present()


@pytest.mark.parametrize("prompt", [True, False])
def test_copies_as_early_and_as_late_as_they_may_be(
    chip: tuple[Chip, dict[str, Array]], prompt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that comes at once spoils nothing that is still at work; one that dawdles is waited for."""
    machine, inputs = chip
    ours, _ = marched(ds.prepare(machine), inputs, 3)
    monkeypatch.setattr(Copier, "prompt", prompt)
    monkeypatch.setattr(store, "Room", Elsewhere)
    theirs, _ = marched(ds.prepare(machine, stream=True), inputs, 3)
    assert all(np.array_equal(theirs[name], ours[name]) for name in ours)


def test_whole_runs(chip: tuple[Chip, dict[str, Array]]) -> None:
    """Settling, operating point and meter, windows being longer."""
    machine, inputs = chip
    meters = [ds.EnergyMeter(), ds.EnergyMeter()]
    stays, passes = (
        ds.transient(ds.prepare(machine, precision="float64", stream=stream), inputs, tolerance=1e-6, observers=[meter])
        for stream, meter in zip((False, True), meters, strict=True)
    )
    assert passes.settling_time == pytest.approx(stays.settling_time, rel=1e-3)
    assert passes.saturated == stays.saturated
    for name, volts in stays.outputs.items():
        assert passes.outputs[name] == pytest.approx(volts, abs=1e-2 * float(abs(volts).max())), name
    until = float(stays.settling_time.max())
    assert meters[1].report(until=until).total == pytest.approx(meters[0].report(until=until).total, rel=1e-3)
    assert passes.statistics["engine"] == "numpy streamed finite elements"


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_systems(system: Any) -> None:
    corners = [v.breakpoints for v in system.inputs.values() if hasattr(v, "breakpoints")]
    edges = np.unique(np.concatenate([np.linspace(0, min(system.duration, 20 * TAU), 21)[1:], *corners]))
    options = {"elements": edges[edges > 0], "initial": system.initial, "settle_bits": 0}
    stays, passes = (
        ds.transient(ds.prepare(system.circuit, stream=stream), system.inputs, **options) for stream in (False, True)
    )
    assert all(np.array_equal(passes.outputs[name], volts) for name, volts in stays.outputs.items())


def test_noise_engine(chip: tuple[Chip, dict[str, Array]]) -> None:
    machine, inputs = chip
    options: dict[str, Any] = {"noise": "thermal", "noise_seed": 3, "read_window": 8 * TAU}
    stays, passes = (ds.transient(ds.prepare(machine, stream=stream), inputs, **options) for stream in (False, True))
    assert all(np.array_equal(passes.outputs[name], volts) for name, volts in stays.outputs.items())
    assert passes.noise_rms == stays.noise_rms


def test_what_wants_all_weights_says_so(chip: tuple[Chip, dict[str, Array]]) -> None:
    machine, inputs = chip
    with pytest.raises(ds.Error, match="noise wants it all on one"):
        ds.noise(ds.prepare(machine, precision="float64", stream=True), inputs)
