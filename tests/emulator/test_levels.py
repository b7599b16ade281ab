"""Levels of noise side by side: what each ends with is its own run, to the last bit."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from host_kernels import HostKernel
from runs import chain
from systems import everything, ring
from systems.system import TAU

import dsmachine as ds
from dsmachine.emulator import kernels, memory, prepare
from dsmachine.emulator.backend import Backend
from dsmachine.emulator.levels import ends_of_levels
from dsmachine.emulator.linearized import stationary_covariance
from dsmachine.emulator.operating_point import solve_operating_point
from dsmachine.emulator.steps import Noise

Array = Any
LEVELS: list[str | float] = ["thermal", 0.01, 0.2]
READ: dict[str, Any] = {"noise_seed": 5, "read_window": 61.3 * TAU, "step": 0.7}
CASES: list[tuple[Callable[[], ds.Circuit], dict[str, Array]]] = [
    (chain, {"u": np.array([[1.0, -1.0, 0.5, 0.2], [0.3, 0.3, -0.7, 0.0]])}),
    (ring.circuit, {}),
    (everything.circuit, {"u": everything.weights()[-1]}),
]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("machine", "inputs"), CASES, ids=["chain", "cycle", "every cell"])
def test_each_ends_as_its_own_run(machine: Callable[[], ds.Circuit], inputs: dict[str, Array], precision: str) -> None:
    plan = ds.prepare(machine(), precision=precision)
    found = ends_of_levels(plan, inputs, LEVELS, **READ)
    for level, outputs in zip(LEVELS, found.outputs, strict=True):
        alone = ds.transient(plan, inputs, noise=level, **READ)
        assert found.saturated == alone.saturated
        for name, volts in alone.outputs.items():
            np.testing.assert_array_equal(outputs[name], volts)


@pytest.mark.parametrize(("machine", "inputs"), CASES, ids=["chain", "cycle", "every cell"])
def test_by_kernels_too(
    machine: Callable[[], ds.Circuit], inputs: dict[str, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's way, its kernels compiled for the processor; they draw for themselves."""
    monkeypatch.setattr(Backend, "fused", property(lambda self: True))
    monkeypatch.setattr(kernels, "compiled", HostKernel)
    test_each_ends_as_its_own_run(machine, inputs, "float32")


def test_random_numbers_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    normals = Noise.normals

    def counted(self: Noise, *given: Any) -> Array:
        drawn.append(1)
        return normals(self, *given)

    monkeypatch.setattr(Noise, "normals", counted)
    machine, inputs = CASES[0]
    plan = ds.prepare(machine(), precision="float64")
    ends_of_levels(plan, inputs, LEVELS[:1], **READ)
    alone = len(drawn)
    ends_of_levels(plan, inputs, LEVELS, **READ)
    assert alone > 0 and len(drawn) == 2 * alone


@pytest.fixture(scope="module")
def grid() -> tuple[ds.Circuit, dict[str, Array], list[str | float]]:
    """The bundled model, four prompts, eight levels."""
    model = ds.load_model("tiny-shakespeare")
    text = model.calibration_text
    embed = np.stack([model.embed(model.encode(text[50 * k : 50 * k + 16])) for k in range(4)])
    return ds.map_model(model, 16), {"embed": embed}, [0.01 * (k + 1) for k in range(8)]


@pytest.mark.parametrize("count", [1, 8])
def test_a_grid_is_refused_where_it_does_not_fit(count: int, grid: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fits into what is said to be needed, which is within a tenth of what tracemalloc sees it take, and is
    refused with a byte less."""
    circuit, inputs, levels = grid
    asked: list[memory.Memory] = []
    true_check = memory.check_room

    def checked(name: str, needed: memory.Memory, *where: Any) -> None:
        asked.append(needed)
        true_check(name, needed, *where)

    monkeypatch.setattr(prepare, "check_room", checked)
    gc.collect()
    gc.freeze()
    tracemalloc.start()
    try:
        plan = ds.prepare(circuit)
        gc.collect()
        tracemalloc.reset_peak()
        ends_of_levels(plan, inputs, levels[:count], read_window=10e-9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    said = asked[-1]
    assert 0.95 * peak < said.total < 1.1 * peak
    new = said.total - said.weights
    monkeypatch.setattr(memory, "room", lambda _: new)
    ends_of_levels(plan, inputs, levels[:count], read_window=1e-9)
    monkeypatch.setattr(memory, "room", lambda _: new - 1)
    with pytest.raises(ds.Error, match="of memory"):
        ends_of_levels(plan, inputs, levels[:count], read_window=1e-9)


def test_noise_has_come_through_when_it_is_read() -> None:
    """At the end of the default window every node strays as Lyapunov's equation has it of the stationary machine: 12
    lags in a row, 4,000 samples of each of 4 nodes, which tell a σ to 0.6 %."""
    plan = ds.prepare(chain(12), precision="float64")
    covariance = stationary_covariance(plan, solve_operating_point(plan, {"u": np.zeros((1, 4))}))
    known = np.sqrt(np.diag(covariance).reshape(12, 4).mean(axis=1))
    (outputs,) = ends_of_levels(plan, {"u": np.zeros((4000, 4))}, ["thermal"]).outputs
    for stage, sigma in zip(plan.stages, known, strict=True):
        found = outputs[stage.name] / plan.circuit.units(stage.name)
        assert np.sqrt((found**2).mean()) == pytest.approx(sigma, rel=0.02), stage.name


def test_what_is_refused() -> None:
    plan = ds.prepare(chain())
    with pytest.raises(ds.Error, match=r"noise 3\.0 is unknown"):
        ends_of_levels(plan, {"u": np.zeros(4)}, [0.1, 3.0])
    with pytest.raises(ds.Error, match="read_window"):
        ends_of_levels(plan, {"u": np.zeros(4)}, [0.1], read_window=-1.0)
